"""What a host says of itself, whatever that is: a verdict in a line, never a traceback."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import host_report as script
import hugepages
import libvirt_secrets
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pyinfra_nova.resources.host_report import HostReport, NoReport, Report
from pyinfra_nova.run.preflight import judge
from pyinfra_nova.run.verdicts import PreflightError, table
from pyinfra_nova.site.run_scope import scope_of
from tests.unit.site_data import secrets, site

GOOD: dict[str, Any] = {
    "time": 1.0,
    "os": {"id": "debian", "version": "12"},
    "hostname": "compute1",
    "root": True,
    "busy": False,
    "holders": [],
    "systemd": True,
    "addresses": [{"interface": "mgmt0", "address": "10.0.0.31"}],
    "kvm": {"flag": False, "usable": False},
    "hypervisor": {"libvirt": "9.0.0", "qemu": None},
    "nova": {},
    "host_keys": {"/etc/ssh/ssh_host_rsa_key.pub": "ssh-rsa AAAA"},
    "checks": [{"name": "Glance", "ok": True, "detail": "lets nova in"}],
}


WITH_KEY = site(passwords=secrets(migration_secret="a secret of more than twenty"))
WHOLE = scope_of(WITH_KEY, WITH_KEY.hosts)


def faults(answer: dict[str, Any]) -> list[str]:
    findings = judge(WHOLE, {"compute1": Report.of(answer)}, {})
    assert str(PreflightError(findings)) and table(findings)
    return [f"{finding.what}: {finding.detail}" for finding in findings if not finding.ok]


def changed(**values: Any) -> list[str]:
    return faults({**GOOD, **values})


def test_a_report_that_is_right_has_no_fault() -> None:
    assert faults(GOOD) == []


# --- an answer that is none -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"time": "noon"}, "time: input should be a valid number"),
        ({"time": float("nan")}, "time: input should be a finite number"),
        ({"os": None}, "os: input should be a valid dictionary"),
        ({"os": {"id": 12, "version": "12"}}, "os.id: input should be a valid string"),
        ({"addresses": [{"interface": "mgmt0"}]}, "addresses.0.address: is missing"),
        ({"hypervisor": {"qemu": "seven"}}, "hypervisor.qemu: string should match"),
        ({"nova": {"nova-common": "26.x"}}, "nova.nova-common: string should match"),
        ({"host_keys": {"x": "rsa key\nhost"}}, "host_keys.x: is not a type and a key"),
        ({"checks": "none"}, "checks: input should be a valid list"),
    ],
)
def test_a_value_that_is_none_is_named(values: dict[str, Any], said: str) -> None:
    (fault,) = changed(**values)
    assert fault.startswith(f"preflight: gave a report that cannot be read: {said}")
    assert "pydantic" not in fault


@pytest.mark.parametrize("text", ["", '{"time": 1.0, "os": {"id"', "[]", "Welcome!", "[" * 100_000])
def test_an_answer_that_was_cut_or_is_none_at_all_is_a_verdict(text: str) -> None:
    (fault,) = faults(HostReport().process([text]))
    assert fault.startswith("preflight: gave a report that cannot be read: host_report answered")


def test_what_a_host_says_sends_no_commands_to_a_terminal() -> None:
    (fault,) = changed(os={"id": "\x1b[2Jdebian\n", "version": "12"})
    assert "\\x1b[2Jdebian\\n" in fault and fault.isprintable()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def through_json(value: Any) -> Any:
    """VALUE as a host's answer comes: lone surrogates and numbers without an end included."""
    return json.loads(json.dumps(value))


@hypothesis_settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.text(), JSON, max_size=5))
def test_any_json_is_a_report_or_a_verdict(answer: dict[str, Any]) -> None:
    assert isinstance(Report.of(through_json(answer)), NoReport)
    faults(through_json(answer))


@hypothesis_settings(max_examples=500, deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(GOOD)), JSON, min_size=1, max_size=3))
def test_any_value_in_a_report_is_judged(values: dict[str, Any]) -> None:
    faults(through_json({**GOOD, **values}))


@hypothesis_settings(max_examples=300, deadline=None)
@given(
    text=st.text(max_size=20),
    put=st.sampled_from(
        [
            lambda t: {"os": {"id": t, "version": "12"}},
            lambda t: {"os": {"id": "debian", "version": t}},
            lambda t: {"hostname": t},
            lambda t: {"addresses": [{"interface": t, "address": t}]},
            lambda t: {"hypervisor": {"libvirt": t, "qemu": t}},
            lambda t: {"nova": {t: t}},
            lambda t: {"host_keys": {t: t}},
            lambda t: {"busy": True, "holders": [t]},
            lambda t: {"checks": [{"name": t, "ok": False, "detail": t}]},
        ]
    ),
)
def test_any_text_of_a_host_is_judged(text: str, put: Callable[[str], dict[str, Any]]) -> None:
    assert all(fault.isprintable() for fault in changed(**put(text)))


# --- SSH host keys --------------------------------------------------------------------------------


def test_an_empty_host_key_file_is_named_with_what_to_do() -> None:
    (fault,) = changed(host_keys={"/etc/ssh/ssh_host_rsa_key.pub": ""})
    assert fault == (
        "SSH host key: /etc/ssh/ssh_host_rsa_key.pub holds no public key; make it again: "
        "ssh-keygen -y -f /etc/ssh/ssh_host_rsa_key >/etc/ssh/ssh_host_rsa_key.pub, or remove the "
        "file"
    )


def test_where_no_guest_is_moved_it_does_not_matter() -> None:
    where = site()
    report = Report.of({**GOOD, "host_keys": {"/etc/ssh/ssh_host_rsa_key.pub": ""}})
    findings = judge(scope_of(where, where.hosts), {"compute1": report}, {})
    assert all(finding.ok for finding in findings)


def test_files_of_host_keys_are_read_whatever_is_in_them(tmp_path: Path) -> None:
    contents = {
        "ssh_host_a_key.pub": b"",
        "ssh_host_b_key.pub": b"\xff\xfe\x00",
        "ssh_host_c_key.pub": b"ssh-ed25519 AAAA root@host\n",
        "ssh_host_d_key.pub": b"ssh-rsa\n",
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "ssh_host_e_key.pub").mkdir()
    found = script.host_keys(f"{tmp_path}/ssh_host_*_key.pub")
    assert [os.path.basename(path)[9] for path in found] == ["a", "b", "c", "d", "e"]  # noqa: PTH119
    assert [key for key in found.values() if key] == ["ssh-ed25519 AAAA"]
    report = Report.of(through_json({**GOOD, "host_keys": found}))
    assert isinstance(report, Report) and report.public_keys == ["ssh-ed25519 AAAA"]


@pytest.mark.parametrize("content", [None, b"", b"\xff\xff=\n", b"ID=debian\nVERSION_ID=\xff"])
def test_any_os_release_can_be_reported(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "os-release"
    if content is not None:
        path.write_bytes(content)
    found = script.os_release(str(path))
    assert isinstance(Report.of(through_json({**GOOD, "os": found})), Report)


# --- what this project wrote for some hosts -------------------------------------------------------


def test_only_files_with_this_projects_mark_are_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = {
        kind: (mark, *(f"{tmp_path}{pattern}" for pattern in patterns))
        for kind, (mark, *patterns) in script.WRITTEN.items()
    }
    monkeypatch.setattr(script, "WRITTEN", written)
    assert script.written() == {kind: [] for kind in script.WRITTEN}
    secret = "<secret ephemeral='no'>\n  <usage type='ceph'>\n    <name>{}</name>"
    contents = {
        hugepages.SYSCTL: hugepages.WRITTEN,
        hugepages.GRUB: "# mine\n",
        hugepages.mount_unit(1 << 20)[0]: hugepages.mount_unit(1 << 20)[1],
        "/etc/systemd/system/dev-hugepages2M.mount": "[Unit]\n",
        f"{libvirt_secrets.FOLDER}/a.xml": secret.format("pyinfra-nova a"),
        f"{libvirt_secrets.FOLDER}/b.xml": secret.format("client.cinder secret"),
        f"{libvirt_secrets.FOLDER}/c.xml": libvirt_secrets.definition("c", "pyinfra-nova c"),
    }
    for path, content in contents.items():
        file = tmp_path / path[1:]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    assert script.written() == {
        "care": [],
        "certificates": [],
        "hypervisor_tls": [],
        "restore": [],
        "hugepages": [
            f"{tmp_path}{hugepages.SYSCTL}",
            f"{tmp_path}/etc/systemd/system/dev-hugepages1G.mount",
        ],
        "libvirt_secrets": [f"{tmp_path}{libvirt_secrets.FOLDER}/{name}.xml" for name in "ac"],
    }


# --- the installed Nova ---------------------------------------------------------------------------


def test_the_nova_of_the_wanted_release_is_said() -> None:
    assert changed(nova={"nova-common": "26.2.2", "python3-nova": "26.2.2"}) == []


@pytest.mark.parametrize(
    ("nova", "said"),
    [
        ({"nova-common": "25.3.0"}, "nova-common 25.3.0 (yoga) is installed"),
        ({"openstack-nova-common": "31.0.0"}, "openstack-nova-common 31.0.0 (2025.1) is installed"),
        ({"python3-nova": "99.1"}, "python3-nova 99.1 (of no release known here) is installed"),
        (
            {"nova-common": "26.2.2", "python3-nova": "31.0.0"},
            "python3-nova 31.0.0 (2025.1) is installed",
        ),
    ],
)
def test_another_release_than_the_installed_one_is_refused(nova: dict[str, str], said: str) -> None:
    (fault,) = changed(nova=nova)
    assert fault.startswith(f"Nova: {said}, but release in group_data/all.py is zed, Nova 26;")
    assert "set release to what is installed" in fault


def test_a_site_that_is_partly_installed_names_the_hosts_of_another_release() -> None:
    where = site({"release": "2025.1"})
    debian13 = {"id": "debian", "version": "13"}
    reports = {
        name: Report.of(
            {
                **GOOD,
                "hostname": name,
                "os": debian13,
                "addresses": [{"interface": "mgmt0", "address": str(where.hosts[name].my_ip)}],
                "nova": nova,
            }
        )
        for name, nova in (
            ("controller", {"nova-common": "26.2.2"}),
            ("compute1", {"nova-common": "31.0.0"}),
            ("compute2", {}),
        )
    }
    findings = judge(scope_of(where, where.hosts), reports, {})
    assert [(f.host, f.what) for f in findings if not f.ok] == [("controller", "Nova")]


LISTED = {
    "dpkg-query": """\
installed nova-common 2:26.2.2-1~deb12u5
config-files python3-nova 3:25.2.1-0ubuntu1
""",
    "rpm": """\
package nova-common is not installed
installed openstack-nova-common 27.1.0
package python3-nova is not installed
""",
}


PACKAGES = "nova-common openstack-nova-common python3-nova"
DPKG = "--showformat=${db:Status-Status} ${Package} ${Version}\\n"
NONE_OF_THEM = "".join(f"package {name} is not installed\n" for name in PACKAGES.split())
ASKED = {
    "dpkg-query": f"--show {DPKG} {PACKAGES}",
    "rpm": f"--query --queryformat=installed %{{NAME}} %{{VERSION}}\\n {PACKAGES}",
}


@pytest.mark.parametrize(
    ("program", "output", "found"),
    [
        ("dpkg-query", LISTED["dpkg-query"], {"nova-common": "26.2.2"}),
        ("rpm", LISTED["rpm"], {"openstack-nova-common": "27.1.0"}),
        ("dpkg-query", "half-configured nova-common 2:26.2.2-1\n", {}),
        ("dpkg-query", "unpacked nova-common 2:26.2.2-1\n", {}),
        ("dpkg-query", "installed nova-common 3:29.0.0~rc1-0ubuntu1\n", {"nova-common": "29.0.0"}),
        ("dpkg-query", "", {}),
        ("rpm", NONE_OF_THEM, {}),
        ("rpm", LISTED["rpm"].partition("package python3")[0], None),
        ("rpm", "", None),
        ("none", "", None),
    ],
)
def test_only_what_is_installed_and_configured_counts(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    program: str,
    output: str,
    found: dict[str, str] | None,
) -> None:
    (tmp_path / "output").write_text(output)
    (tmp_path / program).write_text(
        f"#!/bin/sh\n[ \"$*\" = '{ASKED.get(program)}' ] && exec /bin/cat {tmp_path}/output\n"
    )
    (tmp_path / program).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    # Which of the two is asked is told by dpkg's own list: Debian may have a rpm, too.
    status = tmp_path / "status"
    if program == "dpkg-query":
        status.touch()
        (tmp_path / "rpm").write_text("#!/bin/sh\necho installed python3-nova 1.0\n")
        (tmp_path / "rpm").chmod(0o755)
    monkeypatch.setattr(script, "DPKG_STATUS", str(status))
    assert script.nova() == found


@pytest.mark.parametrize("end", ["exit 2", "exec /bin/sleep 60"])
def test_a_dpkg_that_fails_does_not_say_that_nova_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    (tmp_path / "status").touch()
    (tmp_path / "dpkg-query").write_text(f"#!/bin/sh\n{end}\n")
    (tmp_path / "dpkg-query").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(script, "DPKG_STATUS", str(tmp_path / "status"))
    monkeypatch.setattr(script, "TIMEOUT", 1)
    assert script.nova() is None
    (fault,) = changed(nova=None)
    assert fault.startswith("Nova: dpkg-query or rpm does not say whether it is installed")


def test_dpkg_understands_what_it_is_asked() -> None:
    """On this machine, which need not have Nova; a package that is there is found by the format."""
    command = ["dpkg-query", "--show", DPKG, "dpkg"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert script.INSTALLED.match(said)


# --- a host that is still being changed -----------------------------------------------------------


def test_who_still_changes_a_host_is_named() -> None:
    (fault,) = changed(busy=True, holders=["apt-get (pid 12)", "sh (pid 7)"])
    assert fault.startswith(
        "a command of an earlier run: still changes this host: apt-get (pid 12), sh (pid 7);"
    )


def test_a_timers_job_is_called_what_it_is() -> None:
    (fault,) = changed(busy=True, holders=["nova-care-purge (pid 12)"])
    assert fault.startswith("a timer's job: changes what Nova has: nova-care-purge (pid 12);")
    assert "`systemctl stop 'nova-care-*.service'`" in fault


def test_a_program_that_does_not_end_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "libvirtd"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    monkeypatch.setattr(script, "TIMEOUT", 0.1)
    assert script.version([str(program)]) is None


def test_certificates_that_are_there_come_along_where_they_are_asked_for(tmp_path: Path) -> None:
    there, gone, long = (str(tmp_path / name) for name in ("there", "gone", "long"))
    Path(there).write_text("-----BEGIN CERTIFICATE-----\n")
    Path(long).write_bytes(b"\xff" * 100_000)
    folder = str(tmp_path)
    nothing = {"checks": [], "lock": str(tmp_path / "lock"), "patience": 0}
    answer = script.answer({**nothing, "certificates": [there, gone, long, folder]})
    report = Report.of(json.loads(json.dumps(answer)))
    assert isinstance(report, Report)
    assert report.certificates[there] == "-----BEGIN CERTIFICATE-----\n"
    assert len(report.certificates[long]) == 65536
    assert set(report.certificates) == {there, long}
    assert "certificates" not in script.answer(nothing)


def test_a_host_does_not_fill_this_machine_with_what_it_calls_a_certificate() -> None:
    assert isinstance(Report.of({**GOOD, "certificates": {"/a": "x" * 65537}}), NoReport)
