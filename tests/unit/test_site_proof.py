"""What the APIs have to answer before a deployment counts as proven, and of whom it is asked."""

from typing import Any

from pyinfra_nova.knowledge.platforms import platform_for
from pyinfra_nova.proof.site_proof import MARGIN, api_faults, question
from pyinfra_nova.resources.compute_api import ComputeApiState
from pyinfra_nova.run.host_plan import HostPlan
from pyinfra_nova.site.run_scope import scope_of
from tests.unit.site_data import HOSTS, site


def state(**changes: Any) -> ComputeApiState:
    services = [("nova-conductor", "controller"), ("nova-scheduler", "controller")]
    services += [("nova-compute", "compute1")]
    return ComputeApiState.model_validate(
        {
            "error": None,
            "services": [
                {"binary": binary, "host": host, "state": "up", "status": "enabled"}
                for binary, host in services
            ],
            "hypervisors": [
                {
                    "name": "compute1.example",
                    "host": "compute1",
                    "state": "up",
                    "status": "enabled",
                    "address": "10.0.0.31",
                }
            ],
            "inventories": {"compute1.example": ["DISK_GB", "MEMORY_MB", "VCPU"]},
            **changes,
        }
    )


def found(**changes: Any) -> list[str]:
    return api_faults(state(**changes), ["controller"], {"compute1": "10.0.0.31"})


def test_a_whole_cloud_has_no_fault() -> None:
    assert found() == []


def test_an_api_error_is_the_fault() -> None:
    assert found(error="http://controller:8774 answers 500") == [
        "http://controller:8774 answers 500"
    ]


def test_a_missing_service_is_named_with_its_host() -> None:
    texts = found(services=[])
    assert "nova-conductor on controller is not up" in texts
    assert "nova-compute on compute1 is not up" in texts


def test_an_unmapped_compute_is_said_to_be_unmapped() -> None:
    assert any("not mapped" in text for text in found(hypervisors=[]))


def test_a_wrong_address_and_a_missing_inventory_are_faults() -> None:
    hypervisor = state().hypervisors[0].model_dump()
    (text,) = found(hypervisors=[{**hypervisor, "address": "127.0.0.1"}])
    assert "127.0.0.1 instead of 10.0.0.31" in text
    (text,) = found(inventories={})
    assert "no inventory in Placement" in text


def test_a_compute_that_only_pins_cpus_has_an_inventory() -> None:
    """With cpu_dedicated_set alone Nova reports no VCPU."""
    assert found(inventories={"compute1.example": ["DISK_GB", "MEMORY_MB", "PCPU"]}) == []


# --- of whom it is asked --------------------------------------------------------------------------

CONTROLLERS = ("controller", "controller2")


def asked(*limit: str, controllers: tuple[str, ...] = CONTROLLERS) -> dict[str, Any]:
    """The request of a run on the hosts LIMIT of a site with CONTROLLERS."""
    where = site(
        groups={"controllers": controllers, "computes": ["compute1", "compute2"]},
        hosts={**HOSTS, "controller2": {"my_ip": "10.0.0.12"}},
    )
    primary, scope = where.hosts["controller"], scope_of(where, limit or where.hosts)
    platform = platform_for("debian", "12", "zed")
    return question(HostPlan(primary, scope.site, platform, "qemu", scope), {}, whole=True)


def test_a_run_asks_for_all_that_it_deploys() -> None:
    request = asked()
    assert list(request["services"]["nova-conductor"]) == list(CONTROLLERS)
    assert list(request["services"]["nova-compute"]) == ["compute1", "compute2"]
    assert request["api"]["inventories"] == ["compute1", "compute2"]


def test_a_run_waits_for_no_host_that_it_leaves_out_but_the_one_it_asks() -> None:
    request = asked("compute2")
    assert {name: list(hosts) for name, hosts in request["services"].items()} == {
        "nova-conductor": ["controller"],
        "nova-scheduler": ["controller"],
        "nova-compute": ["compute2"],
    }
    assert set(request["queues"]) == {
        *("conductor.controller", "scheduler.controller", "compute.compute2")
    }
    assert request["api"]["inventories"] == ["compute2"]
    assert request["known"]["nova-conductor"] == list(CONTROLLERS)


def test_several_controllers_may_have_clocks_that_differ() -> None:
    assert asked(controllers=("controller",))["margin"] == MARGIN
    assert asked()["margin"] == MARGIN + 20
