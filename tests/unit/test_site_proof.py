"""What the APIs have to answer before a deployment counts as proven."""

from typing import Any

from pyinfra_nova.proof.site_proof import api_faults
from pyinfra_nova.resources.compute_api import ComputeApiState


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
