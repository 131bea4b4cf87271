"""resources.yml against the site: each fault with its file, its place, its words and its remedy."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
import yaml

from pyinfra_nova.resources.cloud_objects.declaration import load_declared
from pyinfra_nova.resources.cloud_objects.flavors import _kilobytes
from pyinfra_nova.site.faults import SettingsError
from pyinfra_nova.site.settings import Site

from .site_data import site

SMALL = {"vcpus": 4, "ram": 512, "disk": 1}


def said(folder: Path, data: Any, where: Site | None = None) -> tuple[bool, list[str]]:
    """Whether the run goes on, and what is said of the file, without its folder."""
    path = folder / "resources.yml"
    path.write_text(data if isinstance(data, str) else yaml.safe_dump(data))
    try:
        _, faults = load_declared(where or site(), path)
        goes_on = True
    except SettingsError as error:
        faults, goes_on = list(error.faults), False
    return goes_on, [str(fault).removeprefix(f"{folder}/") for fault in faults]


def flavor(name: str = "m1", **specs: Any) -> dict[str, Any]:
    return {"flavors": {name: {**SMALL, "extra_specs": specs}}}


def computes(**data: Any) -> Site:
    return site(group_data={"computes": data})


DEDICATED = computes(compute={"cpu_dedicated_set": "1-3"})
PAGES = computes(hugepages=[{"size": "2M", "count": 4}, {"size": "1G", "count": 1}])
GPU = {"name": "gpu", "vendor_id": "10de", "product_id": "1eb8"}
SPECS = "resources.yml: flavors.m1.extra_specs"


@pytest.mark.parametrize(
    ("specs", "where", "fault"),
    [
        (
            {"hw:cpu_policy": "dedicated"},
            site(),
            ".hw:cpu_policy: no compute has CPUs to pin guests to; "
            'set compute = {"cpu_dedicated_set": ...} for computes',
        ),
        (
            {"hw:cpu_policy": "mixed", "hw:cpu_dedicated_mask": "0-1"},
            site(),
            ".hw:cpu_policy: no compute has CPUs to pin guests to; "
            'set compute = {"cpu_dedicated_set": ...} for computes',
        ),
        (
            {"resources:PCPU": 1},
            site(),
            ".resources:PCPU: no compute has CPUs to pin guests to; "
            'set compute = {"cpu_dedicated_set": ...} for computes',
        ),
        (
            {"hw:cpu_policy": "dedicated"},
            DEDICATED,
            ".hw:cpu_policy: needs 4 dedicated CPUs, and no compute has more than 3; "
            "see cpu_dedicated_set of the computes",
        ),
        (
            {"resources:PCPU": 4},
            DEDICATED,
            ".resources:PCPU: needs 4 dedicated CPUs, and no compute has more than 3; "
            "see cpu_dedicated_set of the computes",
        ),
        (
            {"resources:VGPU": 1},
            site(),
            ".resources:VGPU: no compute offers vGPUs; "
            'set devices = {"enabled_mdev_types": [...]} for computes',
        ),
        (
            {"pci_passthrough:alias": "gpu:1,fpga:2"},
            site({"pci": {"alias": [GPU]}}),
            ".pci_passthrough:alias: no controller knows a PCI alias fpga; "
            'set pci = {"alias": [...]} in group_data/all.py',
        ),
    ],
)
def test_what_no_host_can_give_a_guest_ends_the_run(
    tmp_path: Path, specs: dict[str, Any], where: Site, fault: str
) -> None:
    assert said(tmp_path, flavor(**specs), where) == (False, [SPECS + fault])


@pytest.mark.parametrize(
    ("specs", "where"),
    [
        ({"resources:PCPU": 3}, DEDICATED),
        # How many of them are dedicated is said elsewhere.
        ({"hw:cpu_policy": "mixed", "hw:cpu_dedicated_mask": "0-1"}, DEDICATED),
        ({"hw:cpu_policy": "shared"}, site()),
        ({"hw:mem_page_size": "any"}, site()),
        ({"hw:mem_page_size": "small"}, site()),
        ({"hw:mem_page_size": "large"}, PAGES),
        ({"hw:mem_page_size": "1GB"}, PAGES),
        ({"hw:mem_page_size": "4KB"}, PAGES),
    ],
)
def test_what_a_host_can_give_is_no_fault(
    tmp_path: Path, specs: dict[str, Any], where: Site
) -> None:
    assert said(tmp_path, flavor(**specs), where) == (True, [])


def test_pages_that_may_be_set_aside_elsewhere_are_only_said(tmp_path: Path) -> None:
    for size, where, words in (
        (
            "large",
            site(),
            "no compute is said to have huge pages; "
            'set hugepages = [{"size": "2M", "count": ...}] for computes',
        ),
        ("16MB", PAGES, "no compute is said to have such pages, only 2M, 1G"),
    ):
        found = said(tmp_path, flavor(**{"hw:mem_page_size": size}), where)
        assert found == (True, [f"{SPECS}.hw:mem_page_size: {words}"])


@pytest.mark.parametrize(
    ("size", "kilobytes"),
    [
        *(("2048", 2048), ("4k", 4), ("4K", 4), ("4KiB", 4), ("2M", 2048), ("2MB", 2048)),
        *(("1G", 1048576), ("1GiB", 1048576), ("1T", 1073741824), ("large", None), ("2X", None)),
    ],
)
def test_a_page_size_is_read_as_nova_reads_it(size: str, kilobytes: int | None) -> None:
    assert _kilobytes(size) == kilobytes


# --- aggregates and quotas ------------------------------------------------------------------------


def test_everything_that_is_wrong_with_aggregates_is_said_where_it_is(tmp_path: Path) -> None:
    metadata = {"trait:gpu": "required", "trait:CUSTOM_A": "no", "trait:CUSTOM_B": "required"}
    two = ["compute1", "compute2"]
    data = {
        "aggregates": {
            "a": {"availability_zone": "az1", "hosts": [*two, "x"]},
            "b": {"availability_zone": "az2", "hosts": ["compute2", "compute2"]},
            "c": {"availability_zone": "nova", "metadata": {"availability_zone": "az1"}},
            "d": {"hosts": two, "metadata": {"pinned": "true", **metadata}},
            "e": {"absent": True, "hosts": ["gone"]},
        }
    }
    zone = "compute2 is in availability zone az1 by aggregate a; a host is in one zone only"
    scheduler = '{"scheduler": {"enable_isolated_aggregate_filtering": True}}'
    assert said(tmp_path, data) == (
        False,
        [
            f"resources.yml: aggregates.{fault}"
            for fault in (
                "a.hosts.2: 'x' is no compute of the inventory; computes are compute1, compute2",
                f"b.hosts.0: {zone}",
                "b.hosts.1: compute2 is named more than once",
                f"b.hosts.1: {zone}",
                "c.availability_zone: 'nova' is what Nova calls hosts in no zone; name another one",
                "c.metadata.availability_zone: is a key of the aggregate; move it out of metadata",
                "d.metadata.trait:CUSTOM_A: 'no' has no effect; the one value is: required",
                "d.metadata.trait:CUSTOM_B: has no effect on the scheduler as it is set; "
                f"set nova_conf = {scheduler} in group_data/controllers.py",
                "d.metadata.trait:gpu: is not trait: and a name in capitals, as CUSTOM_GPU",
            )
        ],
    )


@pytest.mark.parametrize("value", [True, "true", "yes", "on", "1", " True ", 1])
def test_a_filter_is_on_as_oslo_config_reads_it(tmp_path: Path, value: object) -> None:
    option = {"scheduler": {"enable_isolated_aggregate_filtering": value}}
    where = site(group_data={"controllers": {"nova_conf": option}})
    data = {"aggregates": {"a": {"metadata": {"trait:CUSTOM_A": "required"}}}}
    assert said(tmp_path, data, where) == (True, [])


def test_a_site_that_proves_computes_with_guests_has_that_filter_on(tmp_path: Path) -> None:
    where = site({"smoke_guest": {"image": "tiny", "network": "provider"}})
    data = {"aggregates": {"a": {"metadata": {"trait:CUSTOM_A": "required"}}}}
    assert said(tmp_path, data, where) == (True, [])


def test_quotas_that_are_keystones_are_refused_with_the_command(tmp_path: Path) -> None:
    where = site({"nova_conf": {"quota": {"driver": "nova.quota.UnifiedLimitsDriver"}}})
    assert said(tmp_path, {"quotas": {"admin": {"cores": 1}}}, where) == (
        False,
        [
            "resources.yml: quotas: with [quota] driver UnifiedLimitsDriver limits are "
            "Keystone's; set limits with `openstack limit create`"
        ],
    )


# --- values ---------------------------------------------------------------------------------------


def test_values_are_kept_as_the_api_keeps_them(tmp_path: Path) -> None:
    path = tmp_path / "resources.yml"
    specs = {"hw:mem_encryption": True, "hw:cpu_sockets": 2, "quota:disk_x": "a"}
    path.write_text(yaml.safe_dump({"images": {"i": {"properties": specs}}}))
    declared, _ = load_declared(site(), path)
    assert declared is not None
    assert declared.images["i"].properties == {
        "hw:mem_encryption": "true",
        "hw:cpu_sockets": "2",
        "quota:disk_x": "a",
    }


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ("x" * 255, None),
        ("x" * 256, "is longer than 255 characters"),
        ("a\tb", "contains a tab"),
        ([1], "input should be a valid string"),
        ({"a": 1}, "input should be a valid string"),
    ],
    ids=["255", "256", "tab", "list", "mapping"],
)
def test_a_value_is_one_line_of_at_most_255_characters(
    tmp_path: Path, value: object, fault: str | None
) -> None:
    found = said(tmp_path, {"images": {"i": {"properties": {"a": value}}}})
    where = "resources.yml: images.i.properties.a"
    assert found == ((False, [f"{where}: {fault}"]) if fault else (True, []))


def public_key(size: int, kind: str = "ssh-ed25519") -> str:
    data = len(kind).to_bytes(4, "big") + kind.encode()
    return f"{kind} {base64.b64encode(data + bytes(size - len(data))).decode()}"


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (public_key(32), None),
        (public_key(31), "holds a key that is cut off, or of another type than it says"),
        ("ssh-dss " + public_key(51).split()[1], "is not a line of authorized_keys: ssh-rsa, "),
        ("ssh-ed25519", "is not a line of authorized_keys: ssh-rsa, ssh-ed25519, "),
        ("command " + public_key(51), "is not a line of authorized_keys: "),
        (public_key(51) + " a\u2028b", "contains a line separator (U+2028)"),
    ],
)
def test_a_public_key_is_one_that_sshd_takes(tmp_path: Path, line: str, fault: str | None) -> None:
    goes_on, found = said(tmp_path, {"keypairs": {"k": {"public_key": line}}})
    assert goes_on is (fault is None)
    assert [
        text.startswith(f"resources.yml: keypairs.k.public_key: {fault}") for text in found
    ] == ([True] if fault else [])


@pytest.mark.parametrize("path", ["/srv/images/", "images/x.img"])
def test_a_file_is_one_on_the_primary_controller(tmp_path: Path, path: str) -> None:
    assert said(tmp_path, {"images": {"i": {"file": path, "disk_format": "raw"}}}) == (
        False,
        [
            "resources.yml: images.i.file: is not an absolute path of a file on the primary "
            "controller"
        ],
    )


# --- the file as a whole --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("a: [", [": is not valid YAML (line 1)"]),
        ("when: 2026-02-31", [": is not valid YAML"]),
        ("- a", [": is not `flavors:`, `aggregates:` and so on"]),
        ("quotas: {a: {cores: 1}, a: {}}", [": quotas.a: is given more than once"]),
        ("flavors: [m1]", [": flavors: is not a list of `key: value` lines"]),
        (
            "aggregates: {a: {host: []}}\nkeypairs: {k: {public_kei: x}}\n"
            "server_groups: {g: {polici: affinity}}\nimages: {i: {fille: /x}}\n",
            [
                ": aggregates.a.host: unknown key; did you mean 'hosts'?",
                ": server_groups.g.polici: unknown key; did you mean 'policy'?",
                ": keypairs.k.public_kei: unknown key; did you mean 'public_key'?",
                ": images.i.fille: unknown key; did you mean 'file'?",
            ],
        ),
    ],
)
def test_a_file_is_named_with_the_place_of_each_fault(
    tmp_path: Path, text: str, faults: list[str]
) -> None:
    goes_on, found = said(tmp_path, text)
    assert not goes_on
    assert found == [f"resources.yml{fault}" for fault in faults]


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "resources.yml"
    path.write_bytes(b"flavors: {'\xff\xfe': {}}\n")
    with pytest.raises(SettingsError) as error:
        load_declared(site(), path)
    assert [str(fault) for fault in error.value.faults] == [f"{path}: is not UTF-8 text"]
