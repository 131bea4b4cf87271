"""The cloud as a whole: APIs, console proxy, cells, services, hypervisors, upgrade check."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import pytest
from openstack.connection import Connection
from testinfra.backend.base import CommandResult

from pyinfra_nova.knowledge.platforms import EndpointName, platforms_of
from pyinfra_nova.proof import dead_computes, drained_computes, site_proof
from pyinfra_nova.proof.console import greet
from pyinfra_nova.proof.deployed_site import DeployedSite, NoAnswerError
from pyinfra_nova.resources import (
    compute_states,
    drains,
    evacuations,
    retirements,
    stopped_units,
)
from pyinfra_nova.resources.compute_api import ComputeApiState
from pyinfra_nova.resources.http_answers import SilentUrls
from pyinfra_nova.resources.nova_state import NovaState
from pyinfra_nova.resources.stopped_units import StoppedUnits
from pyinfra_nova.run.host_plan import HostPlan
from pyinfra_nova.run.retired import question_of
from pyinfra_nova.session.host_script import Answer
from pyinfra_nova.site.settings import HostSettings, Site

from .conftest import require
from .questions import proof

LATE = 5
"""Seconds that a heartbeat may be late."""


def silent_urls(cloud: DeployedSite, target: HostPlan) -> dict[str, str]:
    """What a controller's ports do not answer as they should: by endpoint, URL and answer."""
    pages = {name: endpoint.page for name, endpoint in target.endpoints.items()}
    # The page that users are sent to.
    pages["novncproxy"] = cloud.site.settings.vnc.novncproxy_base_url.rpartition("/")[2]
    urls = [
        {"name": name, "url": endpoint.url + pages[name], "holds": endpoint.holds}
        for name, endpoint in target.endpoints.items()
    ]
    if not urls:
        return {}
    failing = cloud.ask(target.host.name, SilentUrls, {"urls": urls})["failing"]
    return {url["name"]: url["detail"] for url in failing}


def require_answer(cloud: DeployedSite, controller: HostSettings, name: EndpointName) -> None:
    target = cloud.target(controller)
    if name not in target.endpoints:
        pytest.skip(
            "vnc.enabled is False" if name == "novncproxy" else "enabled_apis leaves it out"
        )
    silent = cloud.answer(silent_urls, controller)
    title, unit = target.endpoints[name].title, target.platform.unit_serving(name)
    found = [f"{controller.name}: {title}: {silent[name]}"] if name in silent else []
    remedy = f"see {target.platform.log_of(unit)} and `systemctl status {unit.name}`"
    require(found, f"{remedy} on {controller.name}")


def test_the_compute_api_answers_with_its_versions(
    cloud: DeployedSite, controller: HostSettings
) -> None:
    require_answer(cloud, controller, "osapi_compute")


def test_the_metadata_api_answers(cloud: DeployedSite, controller: HostSettings) -> None:
    require_answer(cloud, controller, "metadata")


def test_nova_novncproxy_serves_its_page(cloud: DeployedSite, controller: HostSettings) -> None:
    require_answer(cloud, controller, "novncproxy")


def test_nova_novncproxy_speaks_websocket_and_keeps_a_wrong_token_out(
    site: Site,
) -> None:
    if not site.settings.vnc.enabled:
        pytest.skip("vnc.enabled is False")
    url = site.settings.vnc.novncproxy_base_url
    try:
        greeting = greet(f"{url}?path=%3Ftoken%3Dwrong")
    except OSError as error:
        pytest.fail(f"{url} does not answer from here: {error}", pytrace=False)
    found = []
    if " 101 " not in f"{greeting.status} ":
        found.append(f"{url}: no WebSocket, but {greeting.status!r}")
    if greeting.first_words:
        found.append(f"{url}: a wrong token is let in")
    require(found, "see nova-novncproxy.log on the controllers, and what stands before them")


def test_the_public_endpoint_answers_from_here(admin: Connection, site: Site) -> None:
    listed = list(admin.compute.services())
    require([] if listed else [f"{site.settings.endpoints.public} lists no service"], "see the log")


def test_cells_are_exactly_cell0_and_cell1_with_the_right_targets(cloud: DeployedSite) -> None:
    target = cloud.target(cloud.site.primary_controller)
    state = cloud.ask(target.host.name, NovaState, target.databases.as_request())
    if state["error"]:
        pytest.fail(f"{target.host.name}: the database: {state['error']}", pytrace=False)
    found = [f"{cell['name']} points elsewhere" for cell in state["cells"] if not cell["right"]]
    found += [f"{cell['name']} takes no guests" for cell in state["cells"] if cell["disabled"]]
    names = sorted(cell["name"] or cell["uuid"] for cell in state["cells"])
    found += [f"schema of {n} is {state['schemas'][n]}" for n in state["schemas"]
              if state["schemas"][n] != "current"]  # fmt: skip
    if names != ["cell0", "cell1"]:
        found.append(f"there are the cells {names} instead of cell0 and cell1")
    require(found, f"see `nova-manage cell_v2 list_cells` on {target.host.name}, or deploy again")


@pytest.fixture(scope="module")
def api_state(cloud: DeployedSite) -> ComputeApiState:
    state = cloud.api_state()
    if state.error:
        pytest.fail(state.error, pytrace=False)
    return state


@pytest.fixture(scope="module")
def site_answer(cloud: DeployedSite) -> Answer:
    """What the deploy asks last, of the processes that run now."""
    primary = cloud.target(cloud.site.primary_controller)
    answering = [host for host in cloud.hosts if answers(cloud, host)]
    seen = {host.name: cloud.answer(proof, host).seen for host in answering}
    wait = LATE + cloud.site.settings.report_interval
    request = site_proof.question(primary, seen, wait=wait, whole=True)
    with cloud.on(primary.host.name) as host:
        return site_proof.asked(host, request)


def answers(cloud: DeployedSite, host: HostSettings) -> bool:
    """Whether HOST can be asked; that it cannot is another test's finding."""
    try:
        cloud.answer(proof, host)
    except NoAnswerError:
        return False
    return True


def test_every_service_has_shown_what_it_is_for_since_it_started(
    cloud: DeployedSite, site_answer: Answer
) -> None:
    remedy = "see the log of the unit on that host; my_ip is set in the inventory"
    primary = cloud.target(cloud.site.primary_controller)
    require(site_proof.faults(site_answer, primary), remedy)


def test_what_nova_has_and_the_inventory_has_not_is_named(site_answer: Answer) -> None:
    for text in site_proof.strangers(site_answer):
        warnings.warn(text, stacklevel=1)


def test_a_compute_takes_new_guests_or_none_as_the_inventory_says(
    cloud: DeployedSite, site_answer: Answer, compute: HostSettings
) -> None:
    known = site_proof.closed(site_answer)
    found = [step.text for step in compute_states.steps(cloud.site, [compute], known)]
    require(found, "deploy again, or say `state` and `state_reason` of it in the inventory")


def test_a_compute_that_is_drained_has_no_guests(cloud: DeployedSite) -> None:
    primary = cloud.site.primary_controller
    question = drained_computes.question(cloud.target(primary), cloud.target)
    if question is None:
        return
    for compute in question.computes:
        with cloud.on(compute.name):  # connected
            pass
    with cloud.on(primary.name) as host:
        require(drains.faults(host, question), "deploy again; it says what cannot move, and why")


def test_nothing_is_left_of_a_retired_compute(cloud: DeployedSite) -> None:
    """Neither in Nova, its cells and aggregates, nor in Placement, nor at the broker."""
    primary, retired = cloud.target(cloud.site.primary_controller), cloud.site.retired
    if not retired:
        return
    question = question_of(primary, retired)
    with cloud.on(primary.host.name) as host:
        found = retirements.faults(question.asked(host), retired)
    require(found, "deploy again; it says why what is left has to stay")


def test_no_retired_compute_runs_nova_compute(cloud: DeployedSite) -> None:
    primary = cloud.target(cloud.site.primary_controller)
    platforms = platforms_of(primary.site.settings.release)
    known = (unit for platform in platforms for unit in platform.units_for(["compute"]))
    units = sorted({unit.name for unit in known if unit.broker})
    found = []
    for compute in cloud.site.retired:
        if compute.is_dead:
            continue  # that nothing of it is left is another test's
        answer = cloud.ask(compute.name, StoppedUnits, {"units": units, "prove": False})
        found += [f"{compute.name}: {fault}" for fault in stopped_units.faults(answer)]
    require(found, "deploy again")


def test_a_dead_compute_has_no_guests_and_is_called_down(cloud: DeployedSite) -> None:
    """It is not asked itself."""
    target = cloud.target(cloud.site.primary_controller)
    question = dead_computes.question(target)
    for compute in cloud.site.dead:
        warnings.warn(f"{compute.name} is dead, as the inventory says", stacklevel=1)
    if question is None:
        return
    with cloud.on(target.host.name) as host:
        require(
            evacuations.faults(host, question), "deploy again; it says what has to stay, and why"
        )


def test_no_other_service_is_down(api_state: ComputeApiState, site: Site) -> None:
    dead = {host.nova_host for host in site.dead}
    services = [s for s in api_state.services if s.host not in dead]
    down = [f"{s.binary} on {s.host} is {s.state}" for s in services if s.state != "up"]
    require(down, "if that host is gone for good: openstack compute service delete ID")


def test_every_compute_offers_cpus_memory_and_disk(
    api_state: ComputeApiState, compute: HostSettings
) -> None:
    names = [h.name for h in api_state.hypervisors if h.host == compute.nova_host]
    offered = set(api_state.inventories.get(names[0], [])) if names else set()
    # Where all CPUs are for guests that pin them, there are no others.
    wanted = {"PCPU" if "PCPU" in offered else "VCPU", "MEMORY_MB", "DISK_GB"}
    missing = sorted(wanted - offered)
    fault = f"{compute.name}: Placement has no inventory of {', '.join(missing)}"
    require([fault] if missing else [], f"see nova-compute.log on {compute.name}")


def test_the_upgrade_check_finds_no_failure(
    upgrade_check: Callable[[], CommandResult],
) -> None:
    result = upgrade_check()
    if result.rc == 124:
        pytest.fail("nova-status upgrade check did not end within a minute", pytrace=False)
    # 0 is success, 1 a warning, 2 a failure, 255 a crash (nova/cmd/status.py).
    good = result.rc in (0, 1) and "Failure" not in result.stdout
    fault = f"nova-status upgrade check ended with {result.rc}\n{result.stdout}"
    require([] if good else [fault], "its text names the options")
