"""What the checker says of single options and their values."""

from __future__ import annotations

import pytest

from pyinfra_nova.nova_conf.check import Source, findings
from tests.unit.checked import about, of_option


@pytest.mark.parametrize(
    ("text", "release", "kind", "said"),
    [
        ("[pci]\npassthrough_whitelist = {}", "zed", "renamed", "[pci] device_spec"),
        ("[DEFAULT]\nosapi_max_limit = 9", "zed", "renamed", "[api] max_limit"),
        ("[api]\nuse_forwarded_for = true", "2023.2", "deprecated", "Nova 29 does not read it"),
        ("[api]\nuse_forwarded_for = true", "2024.1", "removed", "leave it out"),
        ("[placement]\nos_region_name = x", "zed", "removed", "[placement] region_name"),
        ("[service_user]\nauth_strategy = x", "zed", "removed", "leave it out"),
        ("[cells]\nenable = false", "zed", "removed", "leave it out"),
        ("[DEFAULT]\nmy_pi = 1", "zed", "unknown", "did you mean my_ip?"),
        ("[DEFAULT]\nmy-ip = 10.0.0.1", "zed", "unknown", "write it as my_ip"),
        ("[DEFAULT]\nvirt_type = kvm", "zed", "unknown", "it belongs in [libvirt]"),
        (
            "[manila]\nshare_apply_policy_timeout = 9",
            "zed",
            "unknown",
            "leave it out for this release",
        ),
        ("[manila]\nshare_apply_policy_timeout = 9", "2026.2", "", ""),
        ("[Neutron]\nregion_name = x", "zed", "", ""),
        ("[mdev_nvidia-35]\nmdev_class = VGPU", "zed", "", ""),
        ("[mdev_nvidia-35]\nmdev_class = X", "zed", "value", "default VGPU"),
        ("[vgpu_nvidia-35]\ndevice_addresses = x", "zed", "renamed", "[mdev_nvidia-35]"),
        ("[cinder]\nusername = x", "zed", "", ""),
        ("[cinder]\nuser-name = x", "zed", "renamed", "[cinder] username"),
    ],
)
def test_what_becomes_of_an_option(text: str, release: str, kind: str, said: str) -> None:
    found = [f for f in of_option(text, release) if f.line]
    assert [f.kind for f in found] == ([kind] if kind else [])
    assert not kind or said in found[0].remedy


def test_a_section_that_nothing_reads_is_said_once() -> None:
    found = of_option("[default]\nmy_ip = 1\nhost = 2\n[libvrt]\nvirt_type = kvm")
    assert [(f.line, f.section, f.option) for f in found] == [(1, "default", ""), (4, "libvrt", "")]
    assert [f.remedy for f in found] == ["did you mean [DEFAULT]?", "did you mean [libvirt]?"]


def test_an_empty_section_means_nothing() -> None:
    assert of_option("[nonsense]\n# a = b\n[DEFAULT]\nmy_ip = 10.0.0.1\n") == []


def test_what_a_later_release_adds_is_said_to_be_new() -> None:
    (finding,) = of_option("[libvirt]\ncpu_power_management = true", "zed", "compute")
    assert finding.problem == "not read: new in Nova 27"
    assert not of_option("[libvirt]\ncpu_power_management = true", "2023.1", "compute")


def test_an_option_given_twice() -> None:
    (finding,) = of_option("[DEFAULT]\nhost = a\nmy_ip = 10.0.0.1\nhost = b\n")
    assert (finding.line, finding.kind) == (2, "duplicate")
    assert not of_option("[pci]\nalias = {}\nalias = {}\n")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("debug = ja", "'ja' is not true or false"),
        ("debug = true # for now", "a comment needs a line of its own"),
        ("osapi_compute_workers = many", "is not an integer"),
        ("osapi_compute_workers = 0", "is less than 1"),
        ("osapi_compute_listen_port = 70000", "is more than 65535"),
        ("initial_cpu_allocation_ratio = -1", "is less than 0"),
        ("host = no host", "is not an IP address or a host name"),
        ("my_ip = 10.0.0.1 # here", "part of the value, not a comment"),
        ("my_ip = 10.0.0.1\n  # here", "line 3 looks like a comment"),
        ("host = $hots", "no option"),
        ("host = $host", "refers to itself"),
    ],
)
def test_values_that_do_not_fit(line: str, said: str) -> None:
    (finding,) = of_option(f"[DEFAULT]\n{line}\n")
    assert finding.kind == "value"
    assert said in finding.problem
    assert finding.line == 2


@pytest.mark.parametrize(
    "line",
    [
        "my_ip = 10.0.0.1",
        "host = ${my_ip}",
        "host = $DEFAULT.my_ip",
        "log_dir = a\\$b$$c$ $1",
        "osapi_compute_workers =",
        "debug = YES",
        'debug = "true"',
        "transport_url: rabbit://a:b@c",
    ],
)
def test_values_that_fit(line: str) -> None:
    assert of_option(f"[DEFAULT]\n{line}\n") == []


def test_a_value_may_come_from_another_option() -> None:
    text = "[DEFAULT]\nmy_ip = nobody here\n[vnc]\nserver_listen = $my_ip\n"
    found = findings([Source("f", text)], "zed", "compute")
    (finding,) = (f for f in about(found, "vnc", "server_listen") if f.kind == "value")
    assert finding.line == 4


def test_a_later_file_wins() -> None:
    first = Source("nova.conf", "[libvirt]\nvirt_type = kvm\n[vnc]\nserver_listen = 0.0.0.0\n")
    second = Source("nova-compute.conf", "[vnc]\nserver_listen = 10.0.0.1\n")
    assert about(findings([first], "zed", "compute"), "vnc", "server_listen")
    assert not about(findings([first, second], "zed", "compute"), "vnc", "server_listen")
    (finding,) = about(findings([second, first], "zed", "compute"), "vnc", "server_listen")
    assert (finding.file, finding.line) == ("nova.conf", 4)
