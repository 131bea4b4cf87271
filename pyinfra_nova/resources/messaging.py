"""The RabbitMQ user and its permissions on a virtual host."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pydantic import SecretStr
from pyinfra import host
from pyinfra.api import FactBase, StringCommand, operation
from pyinfra.api.command import QuoteString
from typing_extensions import override

from pyinfra_nova.session.host_script import ScriptFact, ask
from pyinfra_nova.session.redaction import SecretInput
from pyinfra_nova.session.steps import Commands, Step, refused, taken
from pyinfra_nova.site.run_scope import cut_off
from pyinfra_nova.site.settings import HostSettings


@dataclass(frozen=True)
class BrokerUser:
    """A user who may configure, write and read everything in a virtual host."""

    name: str
    password: SecretStr
    virtual_host: str = "/"
    port: int = 5672


class BrokerLogin(ScriptFact):
    """Whether the broker on a host listens, accepts the user, and lets it do everything."""

    script = "messaging"


class BrokerUsers(FactBase[list[str]]):
    """The names of the broker's users."""

    default = list

    @override
    def command(self) -> str:
        return "rabbitmqctl -q list_users --no-table-headers </dev/null | cut -f 1"

    @override
    def process(self, output: Iterable[str]) -> list[str]:
        return list(output)


def set_user(user: BrokerUser) -> StringCommand:
    # No -q on what reads the password: RabbitMQ 4 lets a command read its standard input only if it
    # has exactly two words, else it waits for ever (its deps/rabbit/scripts/rabbitmqctl).
    name = QuoteString(user.name)
    return StringCommand(
        "if rabbitmqctl -q list_users --no-table-headers </dev/null | cut -f 1 | grep -Fxq",
        name,
        "; then rabbitmqctl change_password",
        name,
        "; else rabbitmqctl add_user",
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
def present(user: BrokerUser, address: str, left_out: Sequence[HostSettings] = ()) -> Commands:
    """Have USER on the broker of this host, with its password and full permissions.

    Tried first by logging in at ADDRESS; ``rabbitmqctl`` runs only when that fails. Passwords reach
    it over stdin. A password that LEFT_OUT hosts use, which this run does not reach, is not
    changed.
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
    # A plan is also made for a host whose broker an earlier operation of the run starts.
    if host.state.is_executing and not login.get("listens"):
        remedy = "see `systemctl status rabbitmq-server` there"
        yield from refused(f"RabbitMQ does not answer at {address}:{user.port}; {remedy}")
        return
    steps = []
    if not login.get("authenticated"):
        if left_out and user.name in host.get_fact(BrokerUsers):
            yield from refused(cut_off(f"the password of broker user {user.name}", left_out))
            return
        steps.append(Step(f"set broker user {user.name} and its password", (set_user(user),)))
    if not login.get("opened") or login.get("denied"):
        text = f"let broker user {user.name} use virtual host {user.virtual_host}"
        steps.append(Step(text, _permit(user)))
    yield from taken(steps)
