"""The RabbitMQ user and its permissions on a virtual host."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import SecretStr
from pyinfra import host
from pyinfra.api import StringCommand, operation
from pyinfra.api.command import QuoteString

from pyinfra_nova.redact import SecretInput
from pyinfra_nova.resources.host_script import ScriptFact, ask
from pyinfra_nova.resources.steps import Commands, Step, taken


@dataclass(frozen=True)
class BrokerUser:
    """A user who may configure, write and read everything in a virtual host."""

    name: str
    password: SecretStr
    virtual_host: str = "/"
    port: int = 5672


class BrokerLogin(ScriptFact):
    """Whether the broker on a host listens, accepts the user, and opens the virtual host."""

    script = "messaging"


def set_user(user: BrokerUser) -> StringCommand:
    name = QuoteString(user.name)
    return StringCommand(
        "if rabbitmqctl -q list_users --no-table-headers </dev/null | cut -f 1 | grep -Fxq",
        name,
        "; then rabbitmqctl -q change_password",
        name,
        "; else rabbitmqctl -q add_user",
        name,
        "; fi",
        _stdin=SecretInput(user.password.get_secret_value()),
    )


def _permit(user: BrokerUser) -> tuple[StringCommand, ...]:
    name, virtual_host = QuoteString(user.name), QuoteString(user.virtual_host)
    make = (
        "rabbitmqctl -q list_vhosts --no-table-headers | grep -Fxq",
        virtual_host,
        "|| rabbitmqctl -q add_vhost",
        virtual_host,
    )
    allow = ("rabbitmqctl -q set_permissions -p", virtual_host, name, "'.*' '.*' '.*'")
    return StringCommand(*make), StringCommand(*allow)


@operation()
def present(user: BrokerUser, address: str) -> Commands:
    """Have USER on the broker of this host, with its password and full permissions.

    Tried first by logging in at ADDRESS; ``rabbitmqctl`` runs only when that fails. Passwords reach
    it over stdin.
    """
    password = user.password.get_secret_value()
    request = {
        "host": address,
        "port": user.port,
        "user": user.name,
        "password": password,
        "virtual_host": user.virtual_host,
    }
    login = ask(host, BrokerLogin, request)
    steps = []
    if not login.get("authenticated"):
        steps.append(Step(f"set broker user {user.name} and its password", (set_user(user),)))
    if not login.get("opened"):
        text = f"let broker user {user.name} use virtual host {user.virtual_host}"
        steps.append(Step(text, _permit(user)))
    yield from taken(steps)
