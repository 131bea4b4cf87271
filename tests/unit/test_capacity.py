"""What a compute offers its guests, as settings of a host or a group."""

from __future__ import annotations

from typing import Any

import pytest

from pyinfra_nova.capacity import cpus_of
from pyinfra_nova.errors import SettingsError

from .site_data import HOSTS, site


def fault_of(**data: Any) -> str:
    with pytest.raises(SettingsError) as error:
        site(group_data={"computes": data})
    (fault,) = error.value.faults
    assert fault.file == "group_data/computes.py"
    return str(fault)


def test_a_cpu_list_is_read_as_nova_reads_it() -> None:
    assert cpus_of("0-3, ^2,8") == {0, 1, 3, 8}


@pytest.mark.parametrize("text", ["", "a", "3-1", "0-", "^1", "1,,2", "0-3,^0-3"])
def test_a_cpu_list_that_nova_would_refuse_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        cpus_of(text)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (
            {"compute": {"cpu_shared_set": "0-3", "cpu_dedicated_set": "3-7"}},
            "compute: CPU 3 is in cpu_shared_set and in cpu_dedicated_set",
        ),
        (
            {"compute": {"cpu_dedicated_set": "2-7", "reserved_host_cpus": 2}},
            "reserved_host_cpus excludes",
        ),
        ({"compute": {"cpu_dedicated_sets": "2-7"}}, "did you mean 'cpu_dedicated_set'?"),
        ({"compute": {"cpu_allocation_ratio": -1}}, "greater than or equal to 0"),
        ({"hugepages": [{"size": "3M", "count": 4}]}, "must be '64K'"),
        ({"hugepages": [{"size": "2M", "count": 4, "reserved": 1}]}, "reserved needs node"),
        (
            {"hugepages": [{"size": "2M", "count": 4, "reserved": 5, "node": 0}]},
            "reserved is more than count",
        ),
        (
            {"hugepages": [{"size": "2M", "count": 4}, {"size": "2M", "count": 4, "node": 0}]},
            "2M is said more than once",
        ),
        (
            {"hugepages": [{"size": "2M", "count": 4, "node": 0}] * 2},
            "2M of node 0 is said more than once",
        ),
        ({"devices": {"enabled_mdev_types": ["nvidia 35"]}}, "mediated device"),
        ({"pci": {"device_spec": [{"trusted": True}]}}, "needs vendor_id and product_id"),
        (
            {"pci": {"device_spec": [{"devname": "eth1", "address": "0000:06:00.0"}]}},
            "exclude each other",
        ),
        ({"pci": {"device_spec": [{"address": "a b"}]}}, "not an address"),
        (
            {"pci": {"alias": [{"name": "a:1", "vendor_id": "8086", "product_id": "1520"}]}},
            "is not made of letters",
        ),
        (
            {"pci": {"alias": [{"name": "a", "vendor_id": "8086", "product_id": "152"}]}},
            "four hexadecimal digits",
        ),
    ],
)
def test_what_nova_compute_would_not_start_with_is_refused(data: dict[str, Any], said: str) -> None:
    assert said in fault_of(**data)


def test_a_fault_of_one_host_leaves_its_address_to_be_compared() -> None:
    hosts = {**HOSTS, "compute1": {"my_ip": "10.0.0.11", "compute": {"cpu_shared_set": "x"}}}
    with pytest.raises(SettingsError) as error:
        site(hosts=hosts)
    assert [fault.key for fault in error.value.faults] == [
        "compute1.compute.cpu_shared_set",
        "compute1.my_ip",
    ]
