"""What the compute and placement APIs answer, asked from a host as the nova service user."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, SecretStr
from pyinfra.api.host import Host

from pyinfra_nova.session.host_script import NO_ANSWER, ScriptFact, ask
from pyinfra_nova.site.settings import Settings, Site

Places = Mapping[str, Mapping[str, Any]]
"""The region and the interfaces of services that the settings may put elsewhere, by their type."""


def places(settings: Settings) -> Places:
    """Where Nova itself finds Placement, Glance and Neutron in the catalogue."""
    return {
        service: {"region": section.region_name, "interfaces": list(section.valid_interfaces)}
        for service, section in (
            ("placement", settings.placement),
            ("image", settings.glance),
            ("network", settings.neutron),
        )
    }


@dataclass(frozen=True)
class ComputeApi:
    """How to log in, and which endpoints of the catalogue to ask."""

    auth_url: str
    username: str
    password: SecretStr
    project: str
    user_domain: str
    project_domain: str
    region: str
    places: Places
    interface: str = "internal"

    @classmethod
    def of(cls, site: Site) -> ComputeApi:
        """As Nova's own user of SITE."""
        keystone = site.settings.keystone
        return cls(
            keystone.auth_url,
            keystone.username,
            site.secrets.nova_password,
            keystone.project_name,
            keystone.user_domain_name,
            keystone.project_domain_name,
            site.settings.region,
            places(site.settings),
        )

    def as_request(self) -> dict[str, Any]:
        return {
            "auth_url": self.auth_url,
            "region": self.region,
            "interface": self.interface,
            "places": self.places,
            "login": {
                "username": self.username,
                "password": self.password.get_secret_value(),
                "project": self.project,
                "user_domain": self.user_domain,
                "project_domain": self.project_domain,
            },
        }


class ComputeApiAnswers(ScriptFact):
    """Services, hypervisors and their inventories, as JSON."""

    script = "compute_api"
    uses = ("trust", "rest", "keystone")


class Service(BaseModel):
    """A row of ``openstack compute service list``."""

    binary: str
    host: str
    state: str
    status: str


class Hypervisor(BaseModel):
    """A row of ``openstack hypervisor list --long``, with the service host it belongs to."""

    name: str
    host: str
    state: str
    status: str
    address: str | None


class ComputeApiState(BaseModel):
    """The answers of both APIs, or the error that kept them from answering."""

    error: str | None
    services: list[Service] = []
    hypervisors: list[Hypervisor] = []
    inventories: dict[str, list[str]] = {}

    @classmethod
    def of(
        cls, host: Host, api: ComputeApi, inventories: Collection[str] | None = None
    ) -> ComputeApiState:
        """Their state, asked from HOST.

        Args:
            inventories: the hosts of nova-compute whose inventories are asked for; without it those
                of all.
        """
        request = api.as_request()
        if inventories is not None:
            request["inventories"] = sorted(inventories)
        answer = ask(host, ComputeApiAnswers, request)
        return cls.model_validate(answer or {"error": NO_ANSWER})
