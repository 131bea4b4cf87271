"""Extra specs of flavors, as the Nova of each release accepts them."""

from __future__ import annotations

import pytest

from pyinfra_nova.knowledge.releases import VERSIONS
from pyinfra_nova.knowledge.releases.extra_specs import load
from pyinfra_nova.knowledge.releases.generate.extra_spec_history import spec_history

ACCEPTED = [
    ("hw:cpu_policy", "dedicated"),
    ("hw:numa_cpus.0", "0-1,3"),
    ("hw:mem_page_size", "2MB"),
    ("hw:hide_hypervisor_id", "Yes"),
    ("trait:HW_CPU_X86_AVX", "required"),
    ("trait_gpu:CUSTOM_GPU", "forbidden"),
    ("resources:VGPU", "1"),
    ("resources2:CUSTOM_FPGA", "2"),
    ("pci_passthrough:alias", "a1:1,a2:2"),
    ("capabilities:cpu_info:features", "<in> avx"),
    ("aggregate_instance_extra_specs:ssd", "true"),
    ("my_own", "anything"),
    ("company:billing", "anything"),
]
REFUSED = [
    ("hw:cpu_polcy", "dedicated", "knows no such extra spec; did you mean 'hw:cpu_policy'?"),
    ("hw:cpu_policy", "dedicate", "'dedicate' is not one of dedicated, shared, mixed"),
    ("hw:cpu_sockets", "two", "'two' is not a whole number"),
    ("hw:cpu_sockets", "0", "0 is less than 1"),
    ("hw:numa_cpus.x", "0", "knows no such extra spec; did you mean 'hw:numa_cpus.{num}'?"),
    ("hw:mem_page_size", "huge", "'huge' does not have the form"),
    ("hw:hide_hypervisor_id", "maybe", "'maybe' is not true or false"),
    ("trait:HW_CPU_X86_AVXX", "required", "did you mean 'trait:HW_CPU_X86_AVX'?"),
    ("trait:CUSTOM_GPU", "yes", "'yes' is not one of required, forbidden"),
    ("resources:VGPUS", "1", "did you mean 'resources:VGPU'?"),
    ("resource:VGPU", "1", "unknown namespace 'resource'; did you mean 'resources'?"),
    ("pci_passthrough:alias", "a1", "does not have the form"),
    ("hw/cpu", "1", "is not made of letters"),
    ("my_own", "x" * 256, "is longer than 255 characters"),
]


@pytest.mark.parametrize(("name", "value"), ACCEPTED)
@pytest.mark.parametrize("release", ["yoga", "zed", "2026.2"])
def test_what_nova_accepts_is_accepted(release: str, name: str, value: str) -> None:
    assert load(release).problem(name, value) == ("", "")


@pytest.mark.parametrize(("name", "value", "said"), REFUSED)
def test_what_nova_refuses_is_refused_with_the_nearest_right_one(
    name: str, value: str, said: str
) -> None:
    assert said in "; ".join(load("zed").problem(name, value))


def test_an_extra_spec_of_another_release_is_said_to_be_one() -> None:
    problem, remedy = load("yoga").problem("hw:locked_memory", "true")
    assert problem == "Nova 25 knows no such extra spec"
    assert remedy == "Nova 26 to 34 know it"


def test_every_release_has_extra_specs() -> None:
    for release in VERSIONS:
        found = load(release).find("hw:cpu_policy")
        assert found is not None and "dedicated" in found.data["enum"]


def test_rows_that_stay_the_same_are_one_row_and_a_gap_makes_two() -> None:
    row = {"type": "integer"}
    changed = {"type": "integer", "max": 3}
    trait = {
        "type": "string",
        "enum": ["required", "forbidden"],
        "parameters": {"group": ".*"},
    }
    history = spec_history(
        {
            25: {"a": row, "b": row},
            26: {"a": row, "trait{group}:HW_X": trait},
            27: {"a": changed, "b": row, "trait{group}:HW_X": trait},
        }
    )
    assert history["specs"]["a"] == [
        {"since": 25, "until": 26, "type": "integer"},
        {"since": 27, "until": 27, "type": "integer", "max": 3},
    ]
    assert [(r["since"], r["until"]) for r in history["specs"]["b"]] == [(25, 25), (27, 27)]
    assert history["traits"] == {"HW_X": 26}
