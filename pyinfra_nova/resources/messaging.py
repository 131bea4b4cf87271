"""The RabbitMQ user and its permissions on a virtual host."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, SecretStr
from pyinfra import host
from pyinfra.api import StringCommand, operation

from pyinfra_nova.session.host_script import ScriptFact, ask, script_command
from pyinfra_nova.session.steps import Commands, Step, refused, taken
from pyinfra_nova.site.run_scope import cut_off
from pyinfra_nova.site.settings import HostSettings, Site


@dataclass(frozen=True)
class BrokerUser:
    """A user who may configure, write and read everything in a virtual host."""

    name: str
    password: SecretStr
    virtual_host: str = "/"
    port: int = 5672


def as_nova(site: Site) -> dict[str, Any]:
    """How Nova's own user of SITE reaches the nodes of the broker."""
    messaging = site.settings.messaging
    return {
        "hosts": messaging.hosts,
        "port": messaging.port,
        "user": messaging.user,
        "password": site.secrets.messaging_password.get_secret_value(),
        "virtual_host": messaging.virtual_host,
    }


class BrokerLogin(ScriptFact):
    """Whether the broker on a host listens, accepts the user, and lets it do everything."""

    script = "messaging"
    uses = ("trust", "streams")


class BrokerUsers(ScriptFact):
    """The broker's users and what one of them may do, as `rabbitmqctl` on its host lists them."""

    script = "broker_users"


class Login(BaseModel):
    """How a login at the broker went.

    Attributes:
        refused: the broker itself does not accept the name with this password.
        forbidden: the broker itself does not let the user into the virtual host, or has none.
        denied: what the user may not do there.
        error: what kept the broker from saying more.
    """

    listens: bool = False
    authenticated: bool = False
    refused: bool = False
    opened: bool = False
    forbidden: bool = False
    denied: list[str] = []
    error: str | None = None

    @property
    def is_told(self) -> bool:
        """Whether the broker has said yes or no, and not only broken off."""
        return self.refused or self.forbidden or (self.opened and self.error is None)


def _request(
    user: BrokerUser, *, set_password: bool = False, permit: bool = False
) -> Mapping[str, Any]:
    return {
        "user": user.name,
        "password": user.password.get_secret_value(),
        "virtual_host": user.virtual_host,
        "set_password": set_password,
        "permit": permit,
        "apply": set_password or permit,
    }


def set_user(user: BrokerUser) -> StringCommand:
    """The command that makes USER, or changes the password that the broker has of it."""
    return script_command("broker_users", "apply", _request(user, set_password=True))


def _permit(user: BrokerUser) -> StringCommand:
    return script_command("broker_users", "apply", _request(user, permit=True))


@operation()
def present(user: BrokerUser, address: str, left_out: Sequence[HostSettings] = ()) -> Commands:
    """Have USER on the broker of this host, with its password and full permissions.

    Tried first by logging in at ADDRESS; ``rabbitmqctl`` runs only when the broker refuses that,
    and again asks before it changes anything. A broker that breaks off ends the run.
    A password that LEFT_OUT hosts use, which this run does not reach, is not changed.
    """
    place = f"{address}:{user.port}"
    login = Login.model_validate(
        ask(host, BrokerLogin, {**_request(user), "host": address, "port": user.port})
    )
    # A plan is also made for a host whose broker an earlier operation of the run starts.
    if host.state.is_executing and not login.listens:
        remedy = "see `systemctl status rabbitmq-server` there"
        yield from refused(f"RabbitMQ does not answer at {place}; {remedy}")
        return
    if login.listens and not login.is_told:
        yield from refused(
            f"RabbitMQ at {place} does not say whether it lets {user.name} in: {login.error}"
        )
        return
    steps = []
    is_permitted = login.opened and not login.denied
    if not login.authenticated:
        users = ask(host, BrokerUsers, _request(user)) if login.refused else {}
        # Who is refused is not told what he may do.
        is_permitted = bool(users.get("permitted"))
        if left_out and users.get("error"):
            yield from refused(users["error"])
            return
        if left_out and user.name in users.get("users", []):
            yield from refused(cut_off(f"the password of broker user {user.name}", left_out))
            return
        steps.append(Step(f"set broker user {user.name} and its password", (set_user(user),)))
    if not is_permitted:
        text = f"let broker user {user.name} use virtual host {user.virtual_host}"
        steps.append(Step(text, (_permit(user),)))
    yield from taken(steps)
