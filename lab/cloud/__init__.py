"""What Nova builds on, as files and desired state: no host is touched here."""

from __future__ import annotations

from dataclasses import dataclass

from lab.passwords import LabSecrets
from lab.settings import LabHost, LabSettings
from pyinfra_nova.site.settings import Site


@dataclass(frozen=True)
class Cloud:
    """The prerequisites of one lab.

    Attributes:
        site: what the Nova deployment expects of them.
        lab: the hosts and ranges.
        secrets: passwords that only the prerequisites know.
        block_storage: whether Cinder, and the Ceph that its volumes are on, are among them.
    """

    site: Site
    lab: LabSettings
    secrets: LabSecrets
    block_storage: bool = False

    @property
    def controller(self) -> str:
        """The name that services are reached by."""
        return self.site.settings.controller_host

    def is_controller(self, name: str) -> bool:
        return name == self.site.primary_controller.name

    def host(self, name: str) -> LabHost:
        return next(host for host in self.lab.hosts if host.name == name)
