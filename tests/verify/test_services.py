"""The cloud as a whole: APIs, console proxy, cells, services, hypervisors, upgrade check."""

from __future__ import annotations

import pytest
from openstack.connection import Connection
from testinfra.host import Host

from pyinfra_nova.console import greet
from pyinfra_nova.resources.compute_api import ComputeApiState
from pyinfra_nova.resources.http_answers import SilentUrls
from pyinfra_nova.resources.hypervisors import faults
from pyinfra_nova.resources.nova_state import NovaState
from pyinfra_nova.settings import HostSettings, Site

from .conftest import Cloud


@pytest.fixture(scope="module")
def api_state(cloud: Cloud) -> ComputeApiState:
    return cloud.api_state()


def silent(cloud: Cloud, controller: HostSettings, url: str, holds: str) -> list[dict[str, str]]:
    request = {"urls": [{"name": url, "url": url, "holds": holds}]}
    found: list[dict[str, str]] = cloud.ask(controller.name, SilentUrls, request)["failing"]
    return found


def test_the_compute_api_answers_with_its_versions(cloud: Cloud, controller: HostSettings) -> None:
    url = f"http://{controller.my_ip}:8774/"
    assert silent(cloud, controller, url, '"versions"') == [], "look at /var/log/nova/nova-api.log"


def test_the_metadata_api_answers(cloud: Cloud, controller: HostSettings) -> None:
    url = f"http://{controller.my_ip}:8775/"
    assert silent(cloud, controller, url, "latest") == [], "look at nova-api-metadata's log"


def test_nova_novncproxy_serves_its_page(cloud: Cloud, controller: HostSettings) -> None:
    vnc = cloud.site.settings.vnc
    if not vnc.enabled:
        pytest.skip("vnc.enabled is False")
    page = vnc.novncproxy_base_url.rsplit("/", 1)[1]
    url = f"http://{controller.my_ip}:{vnc.novncproxy_port}/{page}"
    assert silent(cloud, controller, url, "noVNC") == [], "nova-novncproxy does not serve noVNC"


def test_nova_novncproxy_speaks_websocket_and_refuses_a_wrong_token(
    cloud: Cloud, known_names: None
) -> None:
    vnc = cloud.site.settings.vnc
    if not vnc.enabled:
        pytest.skip("vnc.enabled is False")
    greeting = greet(f"{vnc.novncproxy_base_url}?path=%3Ftoken%3Dwrong")
    assert greeting.first_words == "", "nova-novncproxy let a wrong token in"
    assert greeting.status.startswith("HTTP/1.1 "), f"nova-novncproxy said {greeting.status!r}"


def test_the_api_answers_from_here_over_its_public_endpoint(admin: Connection, site: Site) -> None:
    assert list(admin.compute.services()), f"{site.settings.endpoints.public} lists no service"


def test_cells_are_exactly_cell0_and_cell1_with_the_right_targets(cloud: Cloud) -> None:
    target = cloud.target(cloud.site.primary_controller.name)
    state = cloud.ask(target.host.name, NovaState, target.databases.as_request())
    assert state["error"] is None, state["error"]
    assert sorted(cell["name"] for cell in state["cells"]) == ["cell0", "cell1"]
    wrong = [cell["name"] for cell in state["cells"] if not cell["right"]]
    assert not wrong, f"{wrong} point elsewhere; see `nova-manage cell_v2 list_cells`"
    assert state["schemas"] == {"api": "current", "cell0": "current", "cell1": "current"}


def test_every_service_is_up_and_every_hypervisor_listed_with_its_inventory(
    api_state: ComputeApiState, site: Site
) -> None:
    controllers = [host.nova_host for host in site.controllers]
    computes = {host.nova_host: str(host.my_ip) for host in site.computes}
    assert faults(api_state, controllers, computes) == []


def test_no_unexpected_service_is_down(api_state: ComputeApiState) -> None:
    down = [f"{s.binary} on {s.host}" for s in api_state.services if s.state != "up"]
    assert not down, f"{down}; if a host is gone for good: openstack compute service delete"


def test_every_inventory_has_cpus_memory_and_disk(
    api_state: ComputeApiState, compute: HostSettings
) -> None:
    assert api_state.error is None, api_state.error
    names = [h.name for h in api_state.hypervisors if h.host == compute.nova_host]
    assert names, f"{compute.name} is in no hypervisor list"
    classes = set(api_state.inventories.get(names[0], []))
    assert {"VCPU", "MEMORY_MB", "DISK_GB"} <= classes, f"{compute.name} offers only {classes}"


def test_the_upgrade_check_finds_no_failure(primary: Host) -> None:
    result = primary.run("runuser -u nova -- nova-status upgrade check 2>/dev/null")
    # 0 is success, 1 a warning, 2 a failure, 255 a crash (nova/cmd/status.py).
    assert result.rc in (0, 1), (
        f"nova-status upgrade check ended with {result.rc}:\n{result.stdout}"
    )
    assert "Failure" not in result.stdout, result.stdout
