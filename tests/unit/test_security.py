"""SELinux and firewalld: what is read of them, and that only what is missing is changed.

A folder stands in for the kernel's selinuxfs, a script of a few lines for firewall-cmd.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import security

from pyinfra_nova.knowledge.platforms import platform_for
from pyinfra_nova.resources.security import steps
from pyinfra_nova.run.host_plan import HostPlan
from pyinfra_nova.site.run_scope import scope_of

from .site_data import all_in_one, site

FIREWALL_CMD = """\
#!/bin/sh
case "$*" in
    --state) echo running ;;
    --get-zone-of-interface=lo) echo internal ;;
    --get-default-zone) echo public ;;
    "--zone=internal --list-ports") echo "22/tcp 8774/tcp 5900-5999/tcp" ;;
    "--permanent --zone=internal --list-ports") echo "8774/tcp 5900-5950/tcp" ;;
    *) exit 2 ;;
esac
"""


@pytest.fixture
def selinuxfs(tmp_path: Path) -> Path:
    (tmp_path / "booleans").mkdir()
    (tmp_path / "enforce").write_text("1")
    (tmp_path / "booleans" / "virt_use_execmem").write_text("1 1")
    (tmp_path / "booleans" / "virt_use_nfs").write_text("0 0")
    return tmp_path


def test_selinux_is_off_where_the_kernel_has_it_not(tmp_path: Path) -> None:
    assert security.selinux(str(tmp_path)) == "off"


@pytest.mark.parametrize(("enforce", "state"), [("1", "enforcing"), ("0", "permissive")])
def test_selinux_enforces_or_only_logs(selinuxfs: Path, enforce: str, state: str) -> None:
    (selinuxfs / "enforce").write_text(enforce)
    assert security.selinux(str(selinuxfs)) == state


def test_a_boolean_is_off_also_while_its_package_is_not_installed(selinuxfs: Path) -> None:
    names = ["virt_use_execmem", "virt_use_nfs", "os_nova_use_execmem"]
    assert security.switched_off(names, str(selinuxfs)) == ["virt_use_nfs", "os_nova_use_execmem"]


@pytest.mark.parametrize(
    ("listed", "closed"),
    [
        ("", ["8774/tcp", "5900-5999/tcp"]),
        ("8774/udp 5900-5998/tcp", ["8774/tcp", "5900-5999/tcp"]),
        ("8000-9000/tcp 5900-5999/tcp 22/tcp", []),
    ],
)
def test_a_port_is_open_if_an_entry_holds_all_of_it(listed: str, closed: list[str]) -> None:
    assert security.closed(["8774/tcp", "5900-5999/tcp"], listed) == closed


def test_firewalld_is_asked_about_the_zone_of_the_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "firewall-cmd").write_text(FIREWALL_CMD)
    (tmp_path / "firewall-cmd").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    request = {
        "booleans": [],
        "ports": ["8774/tcp", "5900-5999/tcp"],
        "address": "127.0.0.1",
    }
    assert security.answer(request) == {
        "selinux": security.selinux(),
        "booleans": [],
        "firewalld": True,
        "zone": "internal",
        "ports": [],
        "permanent": ["5900-5999/tcp"],
    }
    assert security.zone_of("192.0.2.1") == "public"


def test_a_firewall_that_does_not_run_keeps_nothing_from_working(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "firewall-cmd").write_text("#!/bin/sh\necho not running; echo no >&2; exit 252\n")
    (tmp_path / "firewall-cmd").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    request = {"booleans": [], "ports": ["8774/tcp"], "address": "127.0.0.1"}
    answer = security.answer(request)
    assert (answer["firewalld"], answer["ports"], answer["permanent"]) == (False, [], [])
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("enforce", "state", "off"),
    [("1", "enforcing", ["b"]), ("0", "permissive", ["b"]), (None, "off", [])],
)
def test_booleans_are_looked_at_where_selinux_runs(
    monkeypatch: pytest.MonkeyPatch, enforce: str | None, state: str, off: list[str]
) -> None:
    """Also where it only logs: it may enforce again after the next boot."""
    files = {"enforce": enforce, "booleans/a": "1 1", "booleans/b": "0 1"}
    monkeypatch.setattr(security, "read", lambda path: files[path.removeprefix("/sys/fs/selinux/")])
    request = {"booleans": ["a", "b"], "ports": [], "address": "127.0.0.1"}
    assert security.answer(request) == {
        **{"selinux": state, "booleans": off, "firewalld": False, "zone": None},
        **{"ports": [], "permanent": []},
    }


def test_a_host_without_either_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    answer = security.answer({"booleans": [], "ports": ["8774/tcp"], "address": "127.0.0.1"})
    assert not answer["firewalld"]
    assert list(steps(answer)) == []


def commands(**state: Any) -> list[str]:
    found = {"selinux": "enforcing", "booleans": [], "firewalld": True, "zone": "public"}
    found |= {"ports": [], "permanent": [], **state}
    return [c.get_raw_value() for step in steps(found) for c in step.commands]


def test_only_what_is_missing_is_changed() -> None:
    assert commands() == []
    assert commands(booleans=["virt_use_execmem"]) == ["setsebool -P virt_use_execmem=on"]
    assert commands(ports=["8774/tcp"], permanent=["8774/tcp", "8775/tcp"]) == [
        "firewall-cmd --zone=public --add-port=8774/tcp",
        "firewall-cmd --permanent --zone=public --add-port=8774/tcp --add-port=8775/tcp",
    ]
    assert commands(firewalld=False, ports=["8774/tcp"]) == []


def target(settings: dict[str, Any], os_id: str, version: str, release: str) -> HostPlan:
    where = all_in_one({"release": release, **settings})
    platform = platform_for(os_id, version, release)
    return HostPlan(where.hosts["aio"], where, platform, "qemu", scope_of(where, where.hosts))


def test_what_is_opened_follows_roles_and_settings() -> None:
    rocky = ("rocky", "9.5", "2023.1")
    moved = target({"vnc": {"novncproxy_port": 6081}}, *rocky)
    assert moved.ports == ("8774/tcp", "8775/tcp", "6081/tcp", "5900-5999/tcp")
    assert moved.booleans == ("os_nova_use_execmem", "virt_use_execmem")
    assert target({"vnc": {"enabled": False}}, *rocky).ports == ("8774/tcp", "8775/tcp")
    debian = target({}, "debian", "12", "zed")
    assert (debian.ports, debian.booleans) == ((), ())


def test_a_compute_has_no_port_of_an_api_open() -> None:
    where = site({"release": "zed"})
    row, host = platform_for("rocky", "9", "zed"), where.hosts["compute1"]
    compute = HostPlan(host, where, row, "kvm", scope_of(where, where.hosts))
    assert compute.ports == ("5900-5999/tcp",)
