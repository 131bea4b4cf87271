"""Stages 7 and 8: services, each with the configuration that its file holds now."""

from __future__ import annotations

from pyinfra.api.deploy import deploy

from pyinfra_nova.resources import http_answers, units
from pyinfra_nova.resources.http_answers import Answering
from pyinfra_nova.target import Target


@deploy("Controller services")
def start_controller(target: Target) -> None:
    """Have the controller's daemons run, then wait until the APIs answer."""
    if not target.host.is_controller:
        return
    units.running(
        name="Enable and start the controller's units",
        units=target.units("controller"),
        databases=target.databases,
    )
    http_answers.answering(name="Wait for the APIs", urls=_urls(target))


@deploy("Compute services")
def start_compute(target: Target) -> None:
    """Have libvirt and nova-compute run."""
    if target.host.is_compute:
        units.running(
            name="Enable and start the compute's units",
            units=target.units("compute"),
        )


def _urls(target: Target) -> list[Answering]:
    urls = []
    if "osapi_compute" in target.serves:
        urls.append(Answering("the compute API", "http://127.0.0.1:8774/", '"versions"'))
    if "metadata" in target.serves:
        urls.append(Answering("the metadata API", "http://127.0.0.1:8775/", "latest"))
    if target.site.settings.vnc.enabled:
        urls.append(Answering("noVNC", f"{target.console_url}/vnc_lite.html", "noVNC"))
    return urls
