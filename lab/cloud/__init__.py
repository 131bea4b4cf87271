"""What Nova builds on, as files and desired state: no host is touched here."""

from __future__ import annotations

from dataclasses import dataclass

from lab.passwords import LabSecrets
from lab.settings import LabHost, LabSettings
from pyinfra_nova.knowledge import releases
from pyinfra_nova.site.settings import Site
from pyinfra_nova.site.tls import TRUST


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

    @property
    def has_tls(self) -> bool:
        """Whether what the services say to anybody is encrypted."""
        return self.site.settings.tls.is_on

    @property
    def scheme(self) -> str:
        """Of all URLs."""
        return "https" if self.has_tls else "http"

    @property
    def broker_port(self) -> int:
        """AMQP's own, or the one of AMQP over TLS."""
        return 5671 if self.has_tls else 5672

    @property
    def broker(self) -> str:
        """Where RabbitMQ is."""
        return f"{self.controller}:{self.broker_port}"

    @property
    def cafile(self) -> str | None:
        """The file with the authorities that clients take certificates from; None without TLS."""
        return TRUST if self.has_tls else None

    @property
    def has_glance_proxy(self) -> bool:
        """Whether something has to speak TLS for Glance.

        Its own server does not since Rocky; uwsgi, which serves it in sid, does.
        """
        return self.has_tls and not self.lab.has_wsgi_modules

    @property
    def has_memcached_tls(self) -> bool:
        """Whether keystonemiddleware, Nova's included, speaks TLS to memcached."""
        table = releases.load(self.site.settings.release)
        option = table.option("keystone_authtoken", "memcache_tls_enabled")
        return self.has_tls and option is not None

    def is_controller(self, name: str) -> bool:
        return name == self.site.primary_controller.name

    def host(self, name: str) -> LabHost:
        return next(host for host in self.lab.hosts if host.name == name)
