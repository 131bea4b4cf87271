"""resources.yml: what may be declared, and what is refused before any host is asked."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from pyinfra_nova.resources.cloud_objects.declaration import Declared, load_declared, resources_file
from pyinfra_nova.site.faults import Fault, SettingsError
from pyinfra_nova.site.settings import Site

from .site_data import site

KEY = (
    "ssh-ed25519 "
    + base64.b64encode(
        (11).to_bytes(4, "big") + b"ssh-ed25519" + (32).to_bytes(4, "big") + bytes(range(32))
    ).decode()
)
SMALL = {"vcpus": 1, "ram": 512, "disk": 1}
SHA512 = "sha512:" + "0" * 128


def loaded(
    folder: Path, data: Any, where: Site | None = None
) -> tuple[Declared | None, list[Fault]]:
    path = folder / "resources.yml"
    path.write_text(data if isinstance(data, str) else yaml.safe_dump(data))
    return load_declared(where or site(), path)


def faults(folder: Path, data: Any, where: Site | None = None) -> list[str]:
    with pytest.raises(SettingsError) as error:
        loaded(folder, data, where)
    return [str(fault).partition("resources.yml: ")[2] for fault in error.value.faults]


def flavor(**specs: Any) -> dict[str, Any]:
    return {"flavors": {"m1": {**SMALL, "extra_specs": specs}}}


def computes_with(**data: Any) -> Site:
    return site(group_data={"computes": data})


# --- the file -------------------------------------------------------------------------------------


def test_without_a_file_nothing_is_declared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYINFRA_NOVA_RESOURCES", raising=False)
    assert load_declared(site()) == (None, [])
    (tmp_path / "resources.yml").write_text("")
    assert resources_file() == Path("resources.yml")
    assert load_declared(site()) == (Declared(), [])


def test_a_file_that_is_named_has_to_be_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYINFRA_NOVA_RESOURCES", str(tmp_path / "gone.yml"))
    with pytest.raises(SettingsError, match=r"gone\.yml: cannot be read: No such file"):
        load_declared(site())


def test_every_kind_can_be_declared(tmp_path: Path) -> None:
    declared, said = loaded(
        tmp_path,
        {
            "flavors": {"m1": {**SMALL, "id": 7, "extra_specs": {"hw:cpu_sockets": 2}}},
            "aggregates": {"ssd": {"availability_zone": "az1", "hosts": ["compute1"]}},
            "server_groups": {"spread": {"policy": "anti-affinity", "max_server_per_host": 2}},
            "quotas": {"admin": {"cores": -1}},
            "keypairs": {"mine": {"public_key": KEY + " me@here"}},
            "images": {"tiny": {"properties": {"hw_rng_model": "virtio"}, "min_ram": 128}},
        },
    )
    assert declared is not None and said == []
    assert declared.given["flavors"] == {
        "m1": {**SMALL, "id": "7", "extra_specs": {"hw:cpu_sockets": "2"}}
    }
    assert declared.given["quotas"] == {"admin": {"cores": -1}}


def test_what_is_to_go_needs_nothing_but_its_name(tmp_path: Path) -> None:
    gone = {"x": {"absent": True}}
    kinds = list(Declared.model_fields)
    declared, _ = loaded(tmp_path, dict.fromkeys(kinds, gone))
    assert declared is not None and declared.given == dict.fromkeys(kinds, gone)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("a: [", "is not valid YAML (line 1)"),
        ("- a", "is not `flavors:`"),
        ("flavors: {m1: {vcpus: 1, vcpus: 2}}", "flavors.m1.vcpus: is given more than once"),
        ("flavors: {m1: {}, m1: {}}", "flavors.m1: is given more than once"),
        ("flavors: [m1]", "flavors: is not a list of `key: value` lines"),
        ("flavors: {m1: 2}", "flavors.m1: is not a list of `key: value` lines"),
    ],
)
def test_a_file_that_cannot_be_read_as_it_is_meant_is_refused(
    tmp_path: Path, data: str, said: str
) -> None:
    with pytest.raises(SettingsError) as error:
        loaded(tmp_path, data)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"flavours": {}}, "flavours: unknown key; did you mean 'flavors'?"),
        (
            {"flavors": {"m1": {**SMALL, "vcpu": 1}}},
            "flavors.m1.vcpu: unknown key; did you mean 'vcpus'?",
        ),
        ({"flavors": {"m1": {"vcpus": 1}}}, "flavors.m1: ram and disk are missing"),
        (
            {"flavors": {"m1": {**SMALL, "ram": "512"}}},
            "flavors.m1.ram: is text: write it without quotes",
        ),
        ({"flavors": {"m1": {**SMALL, "vcpus": 0}}}, "flavors.m1.vcpus: input should be greater"),
        ({"flavors": {"m1": {**SMALL, "id": "a/b"}}}, "flavors.m1.id: is not made of letters"),
        ({"flavors": {"m\x1b1": SMALL}}, "contains a control character"),
        ({"flavors": {" ": SMALL}}, "is empty"),
        (
            {"flavors": {"a": {**SMALL, "id": "1"}, "b": {**SMALL, "id": "1"}}},
            "flavors.b.id: is also that of a",
        ),
        (
            {"aggregates": {"a": {"hosts": ["compute3"]}}},
            "'compute3' is no compute of the inventory; did you mean 'compute",
        ),
        (
            {"aggregates": {"a": {"hosts": ["compute1", "compute1"]}}},
            "compute1 is named more than once",
        ),
        (
            {"aggregates": {"a": {"availability_zone": "nova"}}},
            "'nova' is what Nova calls hosts in no zone",
        ),
        ({"aggregates": {"a": {"availability_zone": "a:b"}}}, "contains ':'"),
        (
            {"aggregates": {"a": {"metadata": {"availability_zone": "x"}}}},
            "is a key of the aggregate",
        ),
        (
            {
                "aggregates": {
                    "a": {"availability_zone": "az1", "hosts": ["compute1"]},
                    "b": {"availability_zone": "az2", "hosts": ["compute1"]},
                }
            },
            "compute1 is in availability zone az1 by aggregate a",
        ),
        (
            {"aggregates": {"a": {"metadata": {"trait:CUSTOM_GPU": "yes"}}}},
            "'yes' has no effect; the one value is: required",
        ),
        ({"aggregates": {"a": {"metadata": {"trait:gpu": "required"}}}}, "a name in capitals"),
        ({"server_groups": {"g": {"policy": "affinty"}}}, "must be 'affinity'"),
        ({"server_groups": {"g": {}}}, "server_groups.g: policy is missing"),
        (
            {"server_groups": {"g": {"policy": "affinity", "max_server_per_host": 2}}},
            "max_server_per_host needs policy anti-affinity",
        ),
        ({"quotas": {"p": {"cores": -2}}}, "greater than or equal to -1"),
        ({"quotas": {"p": {"core": 2}}}, "did you mean 'cores'?"),
        ({"keypairs": {"k": {}}}, "keypairs.k: public_key is missing"),
        ({"keypairs": {"a/b": {"public_key": KEY}}}, "is not made of letters"),
        ({"keypairs": {"k": {"public_key": "AAAA"}}}, "is not a line of authorized_keys"),
        ({"keypairs": {"k": {"public_key": KEY[:-9]}}}, "is cut off"),
        ({"keypairs": {"k": {"public_key": KEY + "*"}}}, "is cut off or damaged"),
        (
            {"keypairs": {"k": {"public_key": KEY.replace("ssh-ed25519", "ssh-rsa")}}},
            "of another type than it says",
        ),
        ({"images": {"i": {"file": "x.img", "disk_format": "raw"}}}, "is not an absolute path"),
        ({"images": {"i": {"file": "/x.img"}}}, "disk_format is missing"),
        ({"images": {"i": {"url": "http://a/b", "disk_format": "raw"}}}, "url needs checksum"),
        (
            {"images": {"i": {"file": "/x", "disk_format": "raw", "checksum": "md5:0"}}},
            "is neither sha256:",
        ),
        ({"images": {"i": {"checksum": SHA512}}}, "checksum needs file or url"),
        (
            {"images": {"i": {"file": "/x", "url": "http://a/b", "checksum": SHA512}}},
            "file and url exclude each other",
        ),
        ({"images": {"i": {"properties": {"min_ram": 3}}}}, "min_ram is no property"),
    ],
)
def test_what_no_cloud_could_hold_is_refused(
    tmp_path: Path, data: dict[str, Any], said: str
) -> None:
    (fault,) = faults(tmp_path, data)
    assert said in fault


def test_all_faults_are_named_at_once(tmp_path: Path) -> None:
    data = {"aggregates": {"a": {"hosts": ["x"]}}, **flavor(**{"hw:cpu_polcy": "dedicated"})}
    assert len(faults(tmp_path, data)) == 2


def test_extra_specs_are_checked_against_the_release(tmp_path: Path) -> None:
    (fault,) = faults(tmp_path, flavor(**{"hw:cpu_polcy": "dedicated"}))
    assert fault == (
        "flavors.m1.extra_specs.hw:cpu_polcy: Nova 26 knows no such extra spec; "
        "did you mean 'hw:cpu_policy'?"
    )
    # To take a wrong one away is what a cloud may need.
    loaded(tmp_path, flavor(**{"hw:cpu_polcy": None}))


# --- against the hosts ----------------------------------------------------------------------------


def test_pinned_guests_need_a_compute_with_dedicated_cpus(tmp_path: Path) -> None:
    pinned = flavor(**{"hw:cpu_policy": "dedicated"})
    (fault,) = faults(tmp_path, pinned)
    assert "no compute has CPUs to pin guests to" in fault and "cpu_dedicated_set" in fault
    loaded(tmp_path, pinned, computes_with(compute={"cpu_dedicated_set": "2-3"}))
    written = {"compute": {"cpu_dedicated_set": "2-3"}}
    loaded(tmp_path, pinned, computes_with(nova_conf=written))
    assert faults(tmp_path, flavor(**{"resources:PCPU": 1}))


def test_more_dedicated_cpus_than_any_compute_has_are_refused(tmp_path: Path) -> None:
    specs = {"hw:cpu_policy": "dedicated"}
    pinned = {"flavors": {"m1": {**SMALL, "vcpus": 4, "extra_specs": specs}}}
    (fault,) = faults(tmp_path, pinned, computes_with(compute={"cpu_dedicated_set": "1-3"}))
    assert "needs 4 dedicated CPUs, and no compute has more than 3" in fault


def test_huge_pages_that_no_compute_is_said_to_have_are_said(tmp_path: Path) -> None:
    _, said = loaded(tmp_path, flavor(**{"hw:mem_page_size": "large"}))
    assert "no compute is said to have huge pages" in str(said[0])
    has = computes_with(hugepages=[{"size": "2M", "count": 4}])
    assert loaded(tmp_path, flavor(**{"hw:mem_page_size": "large"}), has)[1] == []
    assert loaded(tmp_path, flavor(**{"hw:mem_page_size": "2MB"}), has)[1] == []
    assert loaded(tmp_path, flavor(**{"hw:mem_page_size": "2048"}), has)[1] == []
    (fault,) = loaded(tmp_path, flavor(**{"hw:mem_page_size": "1GB"}), has)[1]
    assert "only 2M" in str(fault)


def test_a_vgpu_needs_a_compute_that_makes_some(tmp_path: Path) -> None:
    (fault,) = faults(tmp_path, flavor(**{"resources:VGPU": 1}))
    assert "no compute offers vGPUs" in fault and "enabled_mdev_types" in fault
    has = computes_with(devices={"enabled_mdev_types": ["nvidia-35"]})
    loaded(tmp_path, flavor(**{"resources:VGPU": 1}), has)


def test_a_pci_alias_has_to_be_known_on_the_controllers(tmp_path: Path) -> None:
    alias = {"name": "gpu", "vendor_id": "10de", "product_id": "1eb8"}
    knows = site({"pci": {"alias": [alias]}})
    loaded(tmp_path, flavor(**{"pci_passthrough:alias": "gpu:1"}), knows)
    (fault,) = faults(tmp_path, flavor(**{"pci_passthrough:alias": "gpus:1"}), knows)
    assert "no controller knows a PCI alias gpus; did you mean 'gpu'?" in fault


def test_a_trait_of_an_aggregate_needs_the_schedulers_filter(tmp_path: Path) -> None:
    aggregate = {"aggregates": {"gpu": {"metadata": {"trait:CUSTOM_GPU": "required"}}}}
    (fault,) = faults(tmp_path, aggregate)
    assert "enable_isolated_aggregate_filtering" in fault
    on = {"scheduler": {"enable_isolated_aggregate_filtering": True}}
    loaded(tmp_path, aggregate, site(group_data={"controllers": {"nova_conf": on}}))


def test_quotas_that_keystone_keeps_are_refused(tmp_path: Path) -> None:
    unified = site({"nova_conf": {"quota": {"driver": "nova.quota.UnifiedLimitsDriver"}}})
    (fault,) = faults(tmp_path, {"quotas": {"admin": {"cores": 1}}}, unified)
    assert "limits are Keystone's" in fault


def test_a_zone_is_not_called_as_nova_conf_calls_hosts_in_no_zone(tmp_path: Path) -> None:
    renamed = site({"nova_conf": {"DEFAULT": {"default_availability_zone": "az0"}}})
    (fault,) = faults(tmp_path, {"aggregates": {"a": {"availability_zone": "az0"}}}, renamed)
    assert "'az0' is what Nova calls hosts in no zone" in fault
    loaded(tmp_path, {"aggregates": {"a": {"availability_zone": "nova"}}}, renamed)


def test_an_option_under_a_former_name_is_seen(tmp_path: Path) -> None:
    has = computes_with(nova_conf={"devices": {"enabled_vgpu_types": "nvidia-35"}})
    loaded(tmp_path, flavor(**{"resources:VGPU": 1}), has)
    alias = '{"name": "gpu", "vendor_id": "10de", "product_id": "1eb8"}'
    knows = site({"nova_conf": {"DEFAULT": {"pci_alias": alias}}})
    loaded(tmp_path, flavor(**{"pci_passthrough:alias": "gpu:1"}), knows)


# --- the example ----------------------------------------------------------------------------------

EXAMPLE = Path(__file__).resolve().parents[2] / "resources.example.yml"
NEEDS: dict[str, Any] = {
    "controllers": {"nova_conf": {"scheduler": {"enable_isolated_aggregate_filtering": True}}},
    "computes": {
        "compute": {"cpu_shared_set": "0-1", "cpu_dedicated_set": "2-7"},
        "hugepages": [{"size": "2M", "count": 1024}],
        "devices": {"enabled_mdev_types": ["nvidia-35"]},
    },
}


def test_the_example_fits_the_labs_inventory(tmp_path: Path) -> None:
    declared, said = load_declared(site(), EXAMPLE)
    assert declared is not None and said == []
    assert all(getattr(declared, kind) for kind in Declared.model_fields)


def test_what_the_example_comments_out_fits_with_what_it_says_it_needs(tmp_path: Path) -> None:
    text = EXAMPLE.read_text().replace("sha512:...", SHA512)
    lines = []
    for line in text.splitlines():
        bare = re.sub(r"^  # ", "  ", line)
        lines.append(bare if re.match(r"  +([\w.-]+:|\{)", bare) else line)
    alias = {"name": "gpu", "vendor_id": "10de", "product_id": "1eb8"}
    where = site({"pci": {"alias": [alias]}}, group_data=NEEDS)
    declared, said = loaded(tmp_path, "\n".join(lines), where)
    assert declared is not None and said == []
    assert {"m1.pinned", "m1.pages", "g1.vgpu", "g1.pci", "g1.hosts"} <= declared.flavors.keys()
    assert "gpu" in declared.aggregates and "debian-12" in declared.images
