"""From the project's own authorities to those of the site and back: what is there in between."""

from __future__ import annotations

import datetime as dt
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from pyinfra_nova.certificates.authority import AUTHORITIES, authority
from pyinfra_nova.certificates.issued import wanted
from pyinfra_nova.certificates.purposes import PURPOSES
from pyinfra_nova.knowledge.platforms import platform_for
from pyinfra_nova.nova_conf.certificate_files import MARKER, certificate_paths, names_of
from pyinfra_nova.run import renewals
from pyinfra_nova.run.host_plan import HostPlan
from pyinfra_nova.run.preflight import check_files
from pyinfra_nova.site.run_scope import scope_of
from pyinfra_nova.site.settings import Site
from pyinfra_nova.site.tls import TRUST
from tests.unit.site_data import secrets, site
from tests.unit.test_tls_rotation import API, GROUPS, HOSTS, LIVING

NOW = dt.datetime.now(dt.timezone.utc)
DEBIAN = platform_for("debian", "12", "zed")
OWN, PROJECT = "what the site's own are made of", "t" * 32
LISTS = {"/etc/pki/CA/cacrl.pem", "/etc/pki/qemu/ca-crl.pem", "/etc/pki/libvirt-vnc/ca-crl.pem"}
ON = {"controller": ("api", "console"), "compute": ("libvirt", "qemu", "screen")}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What docs/tls.md says is in it, of authorities that no secret of the project has made."""
    where = tmp_path / "certificates"
    where.mkdir()
    for name in AUTHORITIES:
        (where / f"{name}-ca.pem").write_text(authority(OWN, name).pem)
    plain = made("off", None)
    for host in plain.hosts.values():
        (where / host.name).mkdir()
        for purpose in (each for role in host.roles for each in ON.get(role, ())):
            names = names_of(plain, host, purpose)
            given = wanted(OWN, PURPOSES[purpose], host.name, names, None, NOW, 90, 30)
            base = where / host.name / purpose
            base.with_suffix(".crt").write_text(given.certificate_pem)
            base.with_suffix(".key").touch(mode=0o600)
            base.with_suffix(".key").write_text(given.key_pem)
    return where


def made(mode: str, folder: Path | None, cafile: Path | None = None) -> Site:
    tls = {"mode": mode, **({"cafile": str(cafile)} if cafile else {})}
    tls |= {"certificates": str(folder)} if mode == "provided" else {}
    return site({"tls": tls}, groups=GROUPS, hosts=HOSTS, passwords=secrets(tls_secret=PROJECT))


def plan(where: Site, name: str, before: Mapping[str, str]) -> HostPlan:
    host = where.hosts[name]
    found = {p: before[p] for p in certificate_paths(where, host) if p in before}
    scope = scope_of(where, set(where.hosts))
    written = {"certificates": [path for path in before if MARKER in before[path]]}
    made = HostPlan(host, where, DEBIAN, "qemu", scope, certificates_found=found, now=NOW)
    return replace(made, written=written)


def after(where: Site, name: str, before: Mapping[str, str]) -> dict[str, str]:
    """What of certificates a host has once it is deployed; BEFORE is what it had."""
    done = plan(where, name, before)
    gone = {file.path for file in (*done.absent, *done.absent_at_the_end)}
    files = {file.path: file.content for file in done.files if file.content.startswith(MARKER)}
    return {**{path: text for path, text in before.items() if path not in gone}, **files}


@pytest.fixture
def is_believed(tmp_path: Path) -> Callable[[str, str], bool]:
    """Whether OpenSSL takes what is shown where those are trusted."""

    def asked(shown: str, trusted: str) -> bool:
        (tmp_path / "shown").write_text(shown)
        (tmp_path / "trusted").write_text(trusted)
        words = ("openssl", "verify", "-CAfile", "trusted", "-untrusted", "shown", "shown")
        return subprocess.run(words, cwd=tmp_path, capture_output=True).returncode == 0

    return asked


@pytest.mark.parametrize("name", LIVING)
@pytest.mark.parametrize("modes", [("internal", "provided"), ("provided", "internal")])
def test_all_that_was_there_is_replaced_and_back_it_is_as_if_it_had_never_been(
    folder: Path, name: str, modes: tuple[str, str]
) -> None:
    first, other = (made(mode, folder) for mode in modes)
    begin = after(first, name, {})
    between = after(other, name, begin)
    assert between.keys() == after(other, name, {}).keys()
    authorities = ("/etc/pki/CA/cacert.pem", "/etc/pki/qemu/ca-cert.pem", TRUST)
    for path in (each for each in authorities if each in begin):
        assert begin[path] != between[path]
    back = after(first, name, between)
    same = [path for path in begin if "PRIVATE" not in begin[path] and path != API]
    assert back.keys() == begin.keys()
    assert [path for path in same if "crl" in path and back[path] != begin[path]] == []


def test_the_lists_of_the_projects_own_authorities_do_not_outlive_them(
    folder: Path, is_believed: Callable[[str, str], bool]
) -> None:
    internal, provided = made("internal", None), made("provided", folder)
    begin = after(internal, "compute1", {})
    assert begin.keys() >= LISTS
    between = after(provided, "compute1", begin)
    # Whom they refuse has certificates of authorities that nobody trusts any more.
    assert not between.keys() & LISTS
    gone = wanted(PROJECT, PURPOSES["qemu"], "gone", ["gone"], None, NOW, 90, 30)
    assert is_believed(gone.certificate_pem, begin["/etc/pki/qemu/ca-cert.pem"])
    assert not is_believed(gone.certificate_pem, between["/etc/pki/qemu/ca-cert.pem"])
    assert after(internal, "compute1", between).keys() >= LISTS


@pytest.mark.parametrize("modes", [("internal", "provided"), ("provided", "internal")])
def test_with_both_in_cafile_nobody_refuses_the_apis_whoever_is_deployed(
    folder: Path,
    tmp_path: Path,
    is_believed: Callable[[str, str], bool],
    modes: tuple[str, str],
) -> None:
    both = tmp_path / "both.pem"
    both.write_text(authority(OWN, "services").pem + authority(PROJECT, "services").pem)
    first, other = (made(mode, folder, both) for mode in modes)
    assert check_files(first) == check_files(other) == []
    before = after(first, "controller", {})
    later = after(other, "controller", before)
    for shown in (before[API], later[API]):
        for trusted in (before[TRUST], later[TRUST]):
            assert is_believed(shown, trusted)
    alone = after(made(modes[0], folder), "controller", {})
    assert not is_believed(later[API], alone[TRUST])


@pytest.mark.parametrize("name", LIVING)
@pytest.mark.parametrize("modes", [("internal", "provided"), ("provided", "internal")])
def test_the_table_warns_of_it_and_not_of_a_mode_that_stays(
    folder: Path, name: str, modes: tuple[str, str]
) -> None:
    first, other = (made(mode, folder) for mode in modes)
    begin = after(first, name, {})
    (said,) = renewals.verdicts([plan(other, name, begin)])
    assert said.ok and said.detail.endswith(renewals.MEANWHILE)
    (said,) = renewals.verdicts([plan(first, name, begin)])
    assert renewals.MEANWHILE not in said.detail
    (said,) = renewals.verdicts([plan(other, name, {})])
    assert renewals.MEANWHILE not in said.detail
