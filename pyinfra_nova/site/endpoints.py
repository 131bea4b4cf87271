"""What answers HTTP on a controller, described once for all that listens, asks or opens ports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pyinfra_nova.knowledge.platforms import EndpointName
from pyinfra_nova.site.settings import HostSettings, Settings
from pyinfra_nova.site.value_types import EVERYWHERE, MY_IP


@dataclass(frozen=True)
class Endpoint:
    """One HTTP server of Nova on one controller.

    Attributes:
        title: what messages call it.
        scheme: ``http`` or ``https``.
        listen: the address that it binds.
        port: the TCP port there.
        asked_at: the address at which the host itself reaches it.
        page: what is asked for to see that it is healthy, below ``url``.
        holds: a text that the answer then has in it.
    """

    title: str
    scheme: Literal["http", "https"]
    listen: str
    port: int
    asked_at: str
    page: str
    holds: str

    @property
    def url(self) -> str:
        """Its root, asked from the host itself."""
        return f"{self.scheme}://{self.asked_at}:{self.port}/"

    @property
    def bind(self) -> str:
        """Address and port as uwsgi and Apache write them, without an address for all of them."""
        return f"{'' if self.listen == EVERYWHERE else self.listen}:{self.port}"


def own_address(host: HostSettings, address: str) -> str:
    """ADDRESS, or where it stands for the host's own, that."""
    return str(host.my_ip) if address == MY_IP else address


def endpoints(settings: Settings, host: HostSettings) -> Mapping[EndpointName, Endpoint]:
    """Everything that may answer on HOST, a controller, by its name."""
    apis, vnc = settings.apis, settings.vnc

    def endpoint(title: str, address: str, port: int, page: str, holds: str) -> Endpoint:
        listen = own_address(host, address)
        asked_at = str(host.my_ip) if listen == EVERYWHERE else listen
        scheme: Literal["http", "https"] = "https" if settings.tls.is_on else "http"
        return Endpoint(title, scheme, listen, port, asked_at, page, holds)

    return {
        "osapi_compute": endpoint(
            *("the compute API", apis.osapi_compute_listen, apis.osapi_compute_listen_port),
            *("", '"versions"'),
        ),
        "metadata": endpoint(
            *("the metadata API", apis.metadata_listen, apis.metadata_listen_port),
            *("", "latest"),
        ),
        "novncproxy": endpoint(
            *("noVNC", vnc.novncproxy_host, vnc.novncproxy_port),
            *("vnc_lite.html", "noVNC"),
        ),
    }
