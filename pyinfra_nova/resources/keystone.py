"""What a service has in Keystone: its user, the user's roles, the service and its endpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from pydantic import BaseModel, SecretStr
from pyinfra import host
from pyinfra.api import operation
from pyinfra.api.host import Host

from pyinfra_nova.session.host_script import NO_ANSWER, ScriptFact, ask, script_command
from pyinfra_nova.session.steps import Commands, changing, refused, say
from pyinfra_nova.site.run_scope import cut_off
from pyinfra_nova.site.settings import HostSettings, Site


@dataclass(frozen=True)
class KeystoneAdmin:
    """The administrator's login, scoped to a project."""

    auth_url: str
    username: str
    password: SecretStr
    project: str = "admin"
    user_domain: str = "Default"
    project_domain: str = "Default"

    def as_login(self) -> dict[str, str]:
        """What a host script logs in with; it goes over standard input."""
        return {
            "username": self.username,
            "password": self.password.get_secret_value(),
            "project": self.project,
            "user_domain": self.user_domain,
            "project_domain": self.project_domain,
        }

    def as_request(self, region: str, places: Mapping[str, Any]) -> dict[str, Any]:
        """What ``files/cloud_session.py`` asks a cloud with; PLACES are of other services."""
        return {
            "auth_url": self.auth_url,
            "region": region,
            "interface": "internal",
            "places": places,
            "admin": self.as_login(),
        }

    @classmethod
    def of(cls, site: Site) -> KeystoneAdmin:
        """The administrator of SITE."""
        admin = site.settings.keystone.admin
        return cls(
            site.settings.keystone.auth_url,
            admin.username,
            site.secrets.admin_password,
            admin.project_name,
            admin.user_domain_name,
            admin.project_domain_name,
        )


def network_login(site: Site) -> dict[str, str]:
    """How Nova of SITE logs in for Neutron; it goes over standard input."""
    neutron = site.settings.neutron
    return {
        "auth_url": neutron.auth_url,
        "username": neutron.username,
        "password": site.secrets.neutron_password.get_secret_value(),
        "project": neutron.project_name,
        "user_domain": neutron.user_domain_name,
        "project_domain": neutron.project_domain_name,
    }


@dataclass(frozen=True)
class KeystoneUser:
    """A user with ROLES in PROJECT, in the domains of the set it belongs to."""

    name: str
    password: SecretStr
    project: str
    roles: tuple[str, ...]


@dataclass(frozen=True)
class KeystoneService:
    """An entry of the service catalogue."""

    type: str
    name: str
    description: str


@dataclass(frozen=True)
class KeystoneEndpoint:
    """Where the service of TYPE is reached: one URL for an interface of a region."""

    type: str
    interface: str
    url: str
    region: str


@dataclass(frozen=True)
class KeystoneEntries:
    """Everything that a deployment keeps in Keystone; DOMAIN is that of its users."""

    domain: str = "Default"
    project_domain: str = "Default"
    projects: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    users: tuple[KeystoneUser, ...] = ()
    services: tuple[KeystoneService, ...] = ()
    endpoints: tuple[KeystoneEndpoint, ...] = field(default=())


class KeystoneDifferences(ScriptFact):
    """Whether Keystone answers the administrator, and the changes that would bring it in line."""

    script = "keystone"
    uses = ("trust", "rest")


class KeystoneState(BaseModel):
    """What ``KeystoneDifferences`` answers.

    Attributes:
        answers: whether Keystone let the administrator in and everything could be compared.
        refuses: whether Keystone itself refused the administrator's login.
        error: why nothing could be compared.
        changes: what would be changed, in order.
        new_passwords: users who have another password than they should.
    """

    answers: bool
    refuses: bool = False
    error: str | None = None
    changes: list[str] = []
    new_passwords: list[str] = []

    @classmethod
    def of(
        cls, host: Host, admin: KeystoneAdmin, entries: KeystoneEntries | None = None
    ) -> KeystoneState:
        """That of ENTRIES, or of the login alone, asked from HOST."""
        request = _request(admin, entries or KeystoneEntries(), apply=False)
        answer = ask(host, KeystoneDifferences, request)
        return cls.model_validate(answer or {"answers": False, "error": NO_ANSWER})


def _request(admin: KeystoneAdmin, entries: KeystoneEntries, *, apply: bool) -> dict[str, Any]:
    request: dict[str, Any] = asdict(entries)
    request["admin"] = admin.as_login()
    request["auth_url"] = admin.auth_url
    for holder in request["users"]:
        holder["password"] = holder["password"].get_secret_value()
    request["apply"] = apply
    return request


@operation()
def present(
    admin: KeystoneAdmin, entries: KeystoneEntries, left_out: Sequence[HostSettings] = ()
) -> Commands:
    """Have ENTRIES in Keystone: created where missing, brought in line where they differ.

    Passwords are tried, not remembered; an endpoint that moved is changed in place, a second one
    for the same interface and region is removed.
    Keystone that does not answer, or refuses the administrator, ends the run; so does a password
    that LEFT_OUT hosts use, which this run does not reach.
    """
    state = KeystoneState.of(host, admin, entries)
    if not state.answers:
        yield from refused(str(state.error))
        return
    if left_out and state.new_passwords:
        text = f"the password of Keystone user {state.new_passwords[0]}"
        yield from refused(cut_off(text, left_out))
        return
    for change in state.changes:
        say(change)
    if state.changes:
        request = _request(admin, entries, apply=True)
        yield changing(script_command("keystone", "apply", request, KeystoneDifferences.uses))
