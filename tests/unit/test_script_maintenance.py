"""files/maintenance.py: what a host says of a maintenance, and does in one."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import maintenance
import pytest

from pyinfra_nova.session.host_script import RUNNER, script_input

BEGUN, LATER = "2026-11-27T22:41:58Z", "2026-11-28T08:00:00Z"
APT_SAYS = """\
Reading package lists...
The following packages have been kept back:
  libvirt0
Inst linux-image-6.1.0-28-amd64 (6.1.119-1 Debian:12.8/stable [amd64])
Inst base-files [12.4] (12.4+deb12u8 Debian:12.8/stable [amd64])
Remv cruft [1.0]
Conf base-files (12.4+deb12u8 Debian:12.8/stable [amd64])
"""
DNF_SAYS = """
bash.x86_64                 5.1.8-9.el9              baseos
kernel.x86_64               5.14.0-503.el9           baseos
Obsoleting Packages
a.x86_64   1-1   baseos
"""


class Host:
    """The files and programs that the script asks."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ran = folder / "ran"
        self.program("systemctl", "echo running")
        self.program("systemd-run", f'echo "$@" >>{self.ran}')
        self.boots("boot-1")

    def program(self, name: str, text: str) -> None:
        path = self.folder / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def boots(self, boot: str) -> None:
        (self.folder / "boot_id").write_text(boot + "\n")

    @property
    def record(self) -> Path:
        return Path(maintenance.RECORD)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(maintenance, "BOOT", str(tmp_path / "boot_id"))
    monkeypatch.setattr(maintenance, "RECORD", str(tmp_path / "lib" / "maintenance.json"))
    monkeypatch.setattr(maintenance, "LOCK", str(tmp_path / "run" / "maintenance"))
    monkeypatch.setattr(maintenance, "WANTS", str(tmp_path / "reboot-required"))
    return Host(tmp_path)


def read(begun: str = BEGUN, packager: str | None = None, *, refresh: bool = False) -> Any:
    return maintenance.answer({"begun": begun, "packager": packager, "refresh": refresh})


def reboot(begun: str = BEGUN) -> Any:
    return maintenance.answer({"verb": "reboot", "begun": begun})


def command(text: str, mark: str = "m1", begun: str = BEGUN) -> object:
    with pytest.raises(SystemExit) as ended:
        maintenance.answer({"verb": "command", "begun": begun, "command": text, "mark": mark})
    return ended.value.code


def test_a_host_on_which_nothing_was_done_says_so_and_keeps_nothing(host: Host) -> None:
    assert read() == {
        **{"boot": "boot-1", "starting": False, "rebooted": False, "done": []},
        **{"upgrades": None, "nova": None, "wants_reboot": None},
    }
    assert not host.record.exists()


@pytest.mark.parametrize("state", ["starting", "initializing", "stopping", "maintenance", ""])
def test_a_host_that_is_not_at_rest_still_starts(host: Host, state: str) -> None:
    host.program("systemctl", f"echo {state}; exit 1")
    assert read()["starting"] is True


def test_a_degraded_host_has_started(host: Host) -> None:
    host.program("systemctl", "echo degraded; exit 1")
    assert read()["starting"] is False


# --- a reboot -------------------------------------------------------------------------------------


def test_a_reboot_is_one_once_there_is_another_boot(host: Host) -> None:
    assert reboot() == {"boot": "boot-1"}
    assert "systemctl reboot" in host.ran.read_text()
    assert read()["rebooted"] is False
    host.boots("boot-2")
    assert read()["rebooted"] is True
    assert oct(host.record.stat().st_mode)[-3:] == "600"


def test_what_was_rebooted_is_not_rebooted_again(host: Host) -> None:
    reboot()
    host.boots("boot-2")
    host.ran.unlink()
    assert reboot() == {"boot": "boot-1"}
    assert not host.ran.exists()


def test_a_reboot_that_was_not_carried_out_is_asked_for_again(host: Host) -> None:
    reboot()
    reboot()
    assert len(host.ran.read_text().splitlines()) == 2


def test_the_reboot_of_another_maintenance_is_none_of_this_one(host: Host) -> None:
    reboot()
    host.boots("boot-2")
    assert read(LATER)["rebooted"] is False
    assert reboot(LATER) == {"boot": "boot-2"}
    assert read(BEGUN)["rebooted"] is False


def test_a_host_that_does_not_go_down_says_why(host: Host) -> None:
    host.program("systemd-run", "echo Failed to connect to bus >&2; exit 1")
    with pytest.raises(SystemExit, match="ends with 1: Failed to connect to bus"):
        reboot()


# --- a command ------------------------------------------------------------------------------------


def test_a_command_is_run_once_in_a_maintenance(host: Host, tmp_path: Path) -> None:
    words = f"echo again >>{tmp_path}/out"
    assert (command(words), command(words)) == (0, 0)
    assert (tmp_path / "out").read_text() == "again\n"
    assert read()["done"] == ["m1"]
    assert command(words, begun=LATER) == 0
    assert (tmp_path / "out").read_text() == "again\n" * 2


def test_a_command_that_fails_is_not_done(host: Host) -> None:
    assert command("exit 3") == "the command has ended with exit code 3"
    assert read()["done"] == []


def test_several_lines_are_one_command_and_no_input_is_waited_for(
    host: Host, tmp_path: Path
) -> None:
    assert command(f"cat\nfor x in 1 2; do\n echo $x 'a\"b'\ndone >{tmp_path}/out\n") == 0
    assert (tmp_path / "out").read_text() == '1 a"b\n2 a"b\n'


def test_a_reboot_and_a_command_are_kept_side_by_side(host: Host) -> None:
    command("true")
    reboot()
    host.boots("boot-2")
    found = read()
    assert (found["done"], found["rebooted"]) == (["m1"], True)


def test_its_text_is_in_no_command_line_and_its_output_is_all_that_comes(
    host: Host, tmp_path: Path
) -> None:
    text = "tr '\\0' ' ' </proc/$$/cmdline; tr '\\0' ' ' </proc/$PPID/cmdline; echo S3CRET >&2"
    request = {"verb": "command", "begun": BEGUN, "command": text, "mark": "m1"}
    source = "".join(script_input("maintenance", request))
    for name in ("RECORD", "LOCK"):
        own = getattr(maintenance, name)
        source = source.replace({"RECORD": "/var/lib/pyinfra-nova/maintenance.json",
                                 "LOCK": "/run/pyinfra-nova/maintenance"}[name], own)  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", RUNNER, "maintenance", "command"],
        input=source,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "S3CRET\n")
    assert done.stdout.startswith("/bin/sh /proc/self/fd/")
    assert "S3CRET" not in done.stdout
    assert "{" not in done.stdout.splitlines()[-1]


def test_what_an_earlier_call_has_begun_is_not_run_beside(host: Host) -> None:
    path = Path(maintenance.LOCK)
    path.parent.mkdir()
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        assert "still runs here: let it end" in str(command("true"))
        with pytest.raises(SystemExit, match="still runs here"):
            reboot()
    finally:
        os.close(descriptor)
    assert not host.record.exists() and not host.ran.exists()


def test_the_record_goes_when_it_is_over(host: Host) -> None:
    command("true")
    for _ in range(2):
        assert maintenance.answer({"verb": "forget", "begun": BEGUN}) == {}
    assert not host.record.exists()


@pytest.mark.parametrize("text", ["{", "", "[]", "null"])
def test_a_record_that_cannot_be_read_is_named(host: Host, text: str) -> None:
    host.record.parent.mkdir()
    host.record.write_text(text)
    with pytest.raises(SystemExit, match=r"maintenance.json is no JSON object: remove it"):
        read()


# --- packages -------------------------------------------------------------------------------------


def test_apt_says_what_would_come_and_go(host: Host, tmp_path: Path) -> None:
    (tmp_path / "says").write_text(APT_SAYS)
    host.program("apt-get", f'echo "$@" >>{host.ran}; cat {tmp_path}/says')
    found = read(packager="apt")["upgrades"]
    assert found == ["linux-image-6.1.0-28-amd64", "base-files", "removal of cruft"]
    assert " update" not in host.ran.read_text()
    read(packager="apt", refresh=True)
    assert host.ran.read_text().splitlines()[1].endswith(" update")


def test_what_an_upgrade_that_was_cut_off_has_left_is_to_be_upgraded(
    host: Host, tmp_path: Path
) -> None:
    """All was unpacked by then, so nothing more is to be installed."""
    (tmp_path / "says").write_text("Conf libvirt-daemon (9.0.0-4 Debian:12/stable [amd64])\n")
    host.program("apt-get", f"cat {tmp_path}/says")
    assert read(packager="apt")["upgrades"] == ["configuration of libvirt-daemon"]


@pytest.mark.parametrize("shell", ["dash", "bash"])
def test_an_upgrade_asks_nobody_and_nothing_reads_what_is_left_of_it(
    host: Host, tmp_path: Path, shell: str
) -> None:
    for name in ("apt-get", "dpkg"):
        host.program(name, f'echo "{name} $*" >>{host.ran}; cat >>{tmp_path}/read')
    folder = Path(__file__).resolve().parents[2] / "files"
    with (folder / "upgrade_packages_apt.sh").open() as script:
        done = subprocess.run([shell, "-s", "--"], stdin=script, check=False)
    assert done.returncode == 0
    assert host.ran.read_text().splitlines() == [
        "apt-get -q -o DPkg::Lock::Timeout=300 update",
        "dpkg --force-confdef --force-confold --configure -a",
        "apt-get -q -y -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confdef"
        " -o Dpkg::Options::=--force-confold dist-upgrade",
    ]
    assert (tmp_path / "read").read_text() == ""


@pytest.mark.parametrize(
    ("line", "version"),
    [
        ("Inst nova-common [2:26.2.2-1~deb12u3] (2:26.2.2-1~deb12u5 Debian:12 [all])", "26.2.2"),
        ("Inst python3-nova [2:26.2.2-1] (2:31.0.0-6+deb13u3 Debian:13/stable [all])", "31.0.0"),
        ("Inst nova-compute-kvm (2:31.0.0-6 Debian:13/stable [all])", None),
    ],
)
def test_the_version_of_nova_that_would_come_is_told(
    host: Host, tmp_path: Path, line: str, version: str | None
) -> None:
    (tmp_path / "says").write_text(line + "\n")
    host.program("apt-get", f"cat {tmp_path}/says")
    assert read(packager="apt")["nova"] == version


def test_apt_that_fails_is_not_taken_for_nothing(host: Host) -> None:
    host.program("apt-get", "echo 'E: no network' >&2; exit 100")
    for refresh in (True, False):
        with pytest.raises(SystemExit, match="ends with 100: E: no network"):
            read(packager="apt", refresh=refresh)


def test_dnf_says_what_would_come(host: Host, tmp_path: Path) -> None:
    (tmp_path / "says").write_text(DNF_SAYS)
    says = f"case $* in *check-update) cat {tmp_path}/says; exit 100;; esac"
    host.program("dnf", says)
    assert read(packager="dnf")["upgrades"] == ["bash", "kernel"]
    (tmp_path / "says").write_text("openstack-nova-common.noarch 1:29.2.0-1.el9 rdo\n")
    assert read(packager="dnf")["nova"] == "29.2.0"
    wraps = "kernel-with-a-long-name.x86_64\n        5.14.0-503.el9    baseos\nbash.x86_64 1-1 b\n"
    (tmp_path / "says").write_text(wraps)
    assert read(packager="dnf")["upgrades"] == ["kernel-with-a-long-name", "bash"]
    host.program("dnf", "exit 0")
    assert read(packager="dnf")["upgrades"] == []
    host.program("dnf", "echo 'Error: no repository' >&2; exit 1")
    with pytest.raises(SystemExit, match="ends with 1: Error: no repository"):
        read(packager="dnf")


def test_the_system_says_that_it_wants_a_reboot(host: Host, tmp_path: Path) -> None:
    (tmp_path / "reboot-required").touch()
    assert read()["wants_reboot"].endswith("reboot-required is there")
    (tmp_path / "reboot-required").unlink()
    host.program("dnf", "case $* in *needs-restarting*) echo Reboot is required; exit 1;; esac")
    assert read(packager="dnf")["wants_reboot"] == "dnf needs-restarting says so"
    host.program("dnf", "case $* in *needs-restarting*) echo No such command >&2; exit 1;; esac")
    assert read(packager="dnf")["wants_reboot"] is None
