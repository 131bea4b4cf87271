"""What makes libvirt and guests' QEMU speak TLS, what goes with it, and what moves guests then."""

from __future__ import annotations

import re
from dataclasses import asdict, replace
from pathlib import Path

import config_files
import host_report
import pytest

from pyinfra_nova.knowledge.platforms import Platform, platform_for
from pyinfra_nova.nova_conf.certificate_files import MARKER
from pyinfra_nova.nova_conf.config_file import ConfigFile
from pyinfra_nova.nova_conf.hypervisor_files import OUR_LINES, QEMU_CONF
from pyinfra_nova.nova_conf.ini import option_values
from pyinfra_nova.nova_conf.migration_ssh import KEY, SSH_CONFIG
from pyinfra_nova.run.host_plan import HostPlan
from pyinfra_nova.site.run_scope import scope_of

from .site_data import debian, secrets, site

EL9 = platform_for("rocky", "9", "2024.1")
SOCKET = "/etc/systemd/system/libvirtd-tls.socket.d/pyinfra-nova.conf"
SERVICE = "/etc/systemd/system/libvirtd.service.d/pyinfra-nova.conf"
LIBVIRTD_CONF = "/etc/libvirt/libvirtd.conf"
PASSWORDS = secrets(tls_secret="t" * 32, migration_secret="m" * 32)
OPTIONS = ("live_migration_uri", "live_migration_scheme", "live_migration_with_native_tls")


def plan(
    name: str = "compute1",
    mode: str = "internal",
    platform: Platform | None = None,
    *,
    consoles: bool = True,
    minimum_version: str = "1.2",
    written: tuple[str, ...] = (),
) -> HostPlan:
    tls = {"mode": mode, "minimum_version": minimum_version}
    data = {"tls": tls, "vnc": {"enabled": consoles}}
    where = site(data, passwords=PASSWORDS)
    scope = scope_of(where, set(where.hosts))
    made = HostPlan(where.hosts[name], where, platform or debian(), "qemu", scope)
    return replace(made, written={"hypervisor_tls": written})


def files(which: HostPlan) -> dict[str, ConfigFile]:
    return {file.path: file for file in which.files}


def qemu_options(which: HostPlan) -> dict[str, str]:
    lines = files(which)[QEMU_CONF].content.splitlines()
    assert all(re.fullmatch(OUR_LINES, line) for line in lines)
    found = (line.removesuffix(" # pyinfra-nova").split(" = ") for line in lines)
    return {key: value.strip('"') for key, value in found}


def test_screens_and_guests_on_the_way_have_certificates_and_ask_for_the_others() -> None:
    assert qemu_options(plan()) == {
        "vnc_tls": "1",
        "vnc_tls_x509_cert_dir": "/etc/pki/libvirt-vnc",
        "vnc_tls_x509_verify": "1",
        "migrate_tls_x509_cert_dir": "/etc/pki/qemu",
        "migrate_tls_x509_verify": "1",
        "migrate_tls_force": "1",
    }


def test_without_consoles_screens_are_let_be() -> None:
    options = qemu_options(plan(consoles=False))
    assert options and not [key for key in options if key.startswith("vnc")]


def test_each_folder_that_qemu_is_sent_to_has_the_certificates_that_it_looks_for() -> None:
    have = files(plan())
    for key, folder in qemu_options(plan()).items():
        if key.endswith("cert_dir"):
            names = ["ca-cert.pem", "server-cert.pem", "server-key.pem"]
            assert [name for name in names if f"{folder}/{name}" not in have] == []


def test_libvirt_listens_at_the_computes_own_address_alone() -> None:
    lines = files(plan("compute2"))[SOCKET].content.splitlines()
    assert lines[0] == MARKER
    assert [line for line in lines if line.startswith("ListenStream=")] == [
        "ListenStream=",
        "ListenStream=10.0.0.32:16514",
    ]
    assert "Wants=libvirtd-tls.socket" in files(plan())[SERVICE].content


@pytest.mark.parametrize(
    ("minimum", "versions"), [("1.2", "+VERS-TLS1.3:+VERS-TLS1.2"), ("1.3", "+VERS-TLS1.3")]
)
def test_libvirt_speaks_no_version_before_the_minimum(minimum: str, versions: str) -> None:
    """GnuTLS takes the words as libvirt hands them over; its own default has 1.0 and 1.1."""
    which = plan(minimum_version=minimum)
    line = files(which)[LIBVIRTD_CONF].content
    assert line == f'tls_priority = "NORMAL:-VERS-ALL:{versions}" # pyinfra-nova\n'
    assert re.fullmatch(OUR_LINES, line.rstrip("\n"))
    assert which.libvirt_tls
    assert which.libvirt_tls.services[0].reads == (LIBVIRTD_CONF, QEMU_CONF)


def test_where_libvirt_is_many_daemons_another_one_serves_and_another_one_runs_guests() -> None:
    which = plan(platform=EL9)
    assert f"{SOCKET.replace('libvirtd', 'virtproxyd')}" in files(which)
    asked = which.libvirt_tls
    assert asked and asked.socket == "virtproxyd-tls.socket" and asked.daemon == "virtproxyd"
    assert [(each.name, each.reads) for each in asked.services] == [
        ("virtproxyd.service", ("/etc/libvirt/virtproxyd.conf",)),
        ("virtqemud.service", (QEMU_CONF,)),
    ]


def test_a_controller_has_none_of_it() -> None:
    assert not {QEMU_CONF, SOCKET, SERVICE} & set(files(plan("controller")))
    assert plan("controller").libvirt_tls is None


def test_off_writes_nothing_and_asks_nothing() -> None:
    off = plan(mode="off")
    assert not {QEMU_CONF, SOCKET, SERVICE} & set(files(off))
    assert off.libvirt_tls is None


def test_off_stops_what_an_earlier_run_has_left_and_a_retired_compute_keeps_it() -> None:
    off = plan(mode="off", written=(SOCKET,))
    assert off.libvirt_tls and not off.libvirt_tls.wanted
    moved = plan("controller", written=(SOCKET,))  # it was a compute
    assert moved.libvirt_tls and not moved.libvirt_tls.wanted
    retired = replace(off, host=off.host.model_copy(update={"roles": frozenset({"retired"})}))
    assert retired.libvirt_tls is None
    assert QEMU_CONF not in {file.path for file in retired.absent}


def test_off_takes_our_lines_away_and_leaves_what_says_that_the_socket_is_ours(
    tmp_path: Path,
) -> None:
    """What is the distribution's is again what it was."""
    folder = tmp_path / "etc"
    theirs = b'# The distribution\'s.\n#vnc_tls = 1\nuser = "other"\n'
    (folder / "libvirt").mkdir(parents=True)
    (folder / "libvirt" / "qemu.conf").write_bytes(theirs)
    wanted = [file for path, file in files(plan()).items() if path in (QEMU_CONF, SOCKET, SERVICE)]
    on = [
        {
            **{key: getattr(file, key) for key in ("content", "mode", "hidden", "own_lines")},
            "path": str(tmp_path) + file.path,
            "owner": config_files.owner_names(tmp_path.stat())[0],
            "group": config_files.owner_names(tmp_path.stat())[1],
        }
        for file in wanted
    ]
    config_files.answer({"files": on, "write": True})
    off = [asdict(file) for file in plan(mode="off").absent]
    absent = [{**entry, "path": str(tmp_path) + entry["path"]} for entry in off]
    config_files.answer({"files": [], "write": True, "absent": absent})
    assert (folder / "libvirt" / "qemu.conf").read_bytes() == theirs
    left = [str(path)[len(str(tmp_path)) :] for path in folder.rglob("*.conf")]
    assert sorted(left) == [QEMU_CONF, SOCKET]


def test_the_preflight_knows_the_mark_of_a_socket_that_is_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark, pattern = host_report.WRITTEN["hypervisor_tls"]
    path = tmp_path / SOCKET[1:]
    path.parent.mkdir(parents=True)
    path.write_text(files(plan())[SOCKET].content)
    written = {"hypervisor_tls": (mark, f"{tmp_path}{pattern}")}
    monkeypatch.setattr(host_report, "WRITTEN", written)
    assert host_report.written() == {"hypervisor_tls": [str(path)]}


# --- how guests are moved -------------------------------------------------------------------------


def moving(which: HostPlan) -> dict[str, str]:
    text = files(which)["/etc/nova/nova-compute.conf"].content
    found = {key: values[-1] for key, values in option_values(text).items()}
    return {key: found[f"libvirt/{key}"] for key in OPTIONS if f"libvirt/{key}" in found}


def test_with_tls_libvirt_is_asked_and_guests_are_sent_by_it() -> None:
    assert moving(plan()) == {
        "live_migration_scheme": "tls",
        "live_migration_with_native_tls": "true",
    }
    text = files(plan())["/etc/nova/nova-compute.conf"].content
    assert "live_migration_inbound_addr = 10.0.0.31" in text
    assert moving(plan(mode="off")) == {"live_migration_uri": "qemu+ssh://nova@%s/system"}


def test_tls_moves_guests_where_there_is_no_key() -> None:
    text = files(plan(platform=EL9))["/etc/nova/nova.conf"].content
    assert option_values(text)["libvirt/live_migration_scheme"] == ["tls"]


def test_a_guest_that_moves_cold_goes_by_ssh_in_any_case_and_libvirtd_never_does_with_tls() -> None:
    """Nova copies its disks by scp or rsync (nova/virt/libvirt/volume/remotefs.py)."""
    assert KEY in files(plan())
    assert "Match user nova localuser nova\n" in files(plan())[SSH_CONFIG].content
    assert "Match user nova localuser root,nova\n" in files(plan(mode="off"))[SSH_CONFIG].content


def test_the_firewall_lets_in_what_tls_needs_and_only_then() -> None:
    more = {"16514/tcp", "49152-49215/tcp"}
    assert set(plan(platform=EL9).ports) - set(plan(mode="off", platform=EL9).ports) == more
    assert not more & set(plan("controller", platform=EL9).ports)
