"""What a compute offers its guests, as settings of a host or a group."""

from __future__ import annotations

from typing import Any

import pytest

from pyinfra_nova.nova_conf.capacity_options import capacity_options
from pyinfra_nova.nova_conf.ini import option_values
from pyinfra_nova.nova_conf.render import files_for
from pyinfra_nova.run.preflight import check_files
from pyinfra_nova.site.capacity import cpus_of
from pyinfra_nova.site.faults import SettingsError

from .site_data import HOSTS, debian, site


def fault_of(**data: Any) -> str:
    with pytest.raises(SettingsError) as error:
        site(group_data={"computes": data})
    (fault,) = error.value.faults
    assert fault.file == "group_data/computes.py"
    return str(fault)


def test_a_cpu_list_is_read_as_nova_reads_it() -> None:
    assert cpus_of("0-3, ^2,8") == {0, 1, 3, 8}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "'' is neither a CPU, a range such as 2-7, nor ^4"),
        ("a", "'a' is neither a CPU, a range such as 2-7, nor ^4"),
        ("0-", "'0-' is neither a CPU, a range such as 2-7, nor ^4"),
        ("1,,2", "'' is neither a CPU, a range such as 2-7, nor ^4"),
        ("0-3,^0-3", "'^0-3' is neither a CPU, a range such as 2-7, nor ^4"),
        ("3-1", "'3-1' ends before it begins"),
        ("^1", "names no CPU"),
        ("1,^1", "names no CPU"),
    ],
)
def test_a_cpu_list_that_nova_would_refuse_is_refused(text: str, said: str) -> None:
    assert fault_of(compute={"cpu_shared_set": text}) == (
        f"group_data/computes.py: compute.cpu_shared_set: {said}"
    )


@pytest.mark.parametrize(
    ("size", "kilobytes"),
    [("64K", 64), ("2M", 2048), ("512M", 524288), ("1G", 1048576), ("16G", 16777216)],
)
def test_a_size_is_named_as_the_kernel_has_it(size: str, kilobytes: int) -> None:
    page = {"size": size, "count": 2, "node": 1, "reserved": 2}
    other = {"size": size, "count": 2, "node": 0}
    host = site(group_data={"computes": {"hugepages": [page, other]}}).hosts["compute1"]
    assert [page.kilobytes for page in host.hugepages] == [kilobytes] * 2
    reserved = capacity_options(host, "zed")["DEFAULT"]["reserved_huge_pages"]
    assert reserved == [f"node:1,size:{kilobytes},count:2"]


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
        (
            {"compute": {"cpu_shared_set": "2-7", "reserved_host_cpus": 2}},
            "compute: reserved_host_cpus excludes cpu_shared_set and cpu_dedicated_set",
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
            {"hugepages": [{"size": "2M", "count": 4, "node": 0}, {"size": "2M", "count": 4}]},
            "hugepages: 2M is said more than once; give each its own node",
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
            {"pci": {"device_spec": [{"vendor_id": "8086", "physical_network": "a b"}]}},
            "pci.device_spec.0: 'a b' is not an address or a name",
        ),
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


# --- nova.conf ------------------------------------------------------------------------------------

GPU = {"name": "gpu", "vendor_id": "10de", "product_id": "1eb8", "device_type": "type-PF"}
ALL_OF_IT: dict[str, Any] = {
    "compute": {
        "cpu_shared_set": "0-1",
        "cpu_dedicated_set": "2-7",
        "cpu_allocation_ratio": 2.0,
        "reserved_host_memory_mb": 1024,
    },
    "hugepages": [{"size": "1G", "count": 4, "node": 0, "reserved": 1}],
    "devices": {"enabled_mdev_types": ["nvidia-35", "nvidia-36"]},
    "pci": {
        "device_spec": [
            {"vendor_id": "10de", "product_id": "1eb8"},
            {"address": "0000:06:00.0", "trusted": True},
        ],
        "alias": [GPU],
    },
}


def values_on(name: str, **more: Any) -> dict[str, list[str]]:
    where = site(ALL_OF_IT, group_data={"computes": more})
    host = where.hosts[name]
    (nova,) = [f for f in files_for(where, host, debian(), "qemu") if f.path.endswith("/nova.conf")]
    return option_values(nova.content)


def test_what_a_compute_offers_is_in_its_nova_conf() -> None:
    values = values_on("compute1")
    assert values["compute/cpu_shared_set"] == ["0-1"]
    assert values["compute/cpu_dedicated_set"] == ["2-7"]
    assert values["DEFAULT/cpu_allocation_ratio"] == ["2.0"]
    assert values["DEFAULT/reserved_host_memory_mb"] == ["1024"]
    assert values["DEFAULT/reserved_huge_pages"] == ["node:0,size:1048576,count:1"]
    assert values["devices/enabled_mdev_types"] == ["nvidia-35,nvidia-36"]
    assert values["pci/device_spec"] == [
        '{"vendor_id": "10de", "product_id": "1eb8"}',
        '{"address": "0000:06:00.0", "trusted": "true"}',
    ]


def test_names_of_devices_are_written_as_they_are_given() -> None:
    pci = {
        "device_spec": [{"devname": "enP1p1", "physical_network": "PhysNet1", "trusted": False}],
        "alias": [{"name": "T4-Small", "vendor_id": "10DE", "product_id": "1EB8"}],
    }
    values = values_on("compute1", pci=pci)
    assert values["pci/device_spec"] == [
        '{"devname": "enP1p1", "physical_network": "PhysNet1", "trusted": "false"}'
    ]
    assert values["pci/alias"] == [
        '{"name": "T4-Small", "vendor_id": "10DE", "product_id": "1EB8"}'
    ]


def test_a_controller_gets_the_aliases_alone() -> None:
    values = values_on("controller")
    assert [key for key in values if key.startswith(("compute/", "devices/", "pci/"))] == [
        "pci/alias"
    ]
    assert "DEFAULT/cpu_allocation_ratio" not in values
    assert values["pci/alias"] == values_on("compute1")["pci/alias"]


def test_nova_conf_wins_over_a_setting() -> None:
    literal = {"compute": {"cpu_dedicated_set": "4-5", "cpu_shared_set": None}}
    values = values_on("compute1", nova_conf=literal)
    assert values["compute/cpu_dedicated_set"] == ["4-5"]
    assert "compute/cpu_shared_set" not in values


def test_nothing_said_is_nothing_written() -> None:
    assert capacity_options(site().hosts["compute1"], "zed") == {}


def test_each_release_gets_its_own_spelling() -> None:
    host = site(ALL_OF_IT).hosts["compute1"]
    assert "passthrough_whitelist" in capacity_options(host, "yoga")["pci"]
    assert "device_spec" in capacity_options(host, "zed")["pci"]
    assert "enabled_mdev_types" in capacity_options(host, "yoga")["devices"]


def test_the_checker_of_nova_conf_has_nothing_to_say_against_it() -> None:
    assert check_files(site(ALL_OF_IT)) == check_files(site())
