"""Another authority in three deploys, of which each may stop half-way: nobody refuses anybody.

Verified by OpenSSL with the files that the hosts have by then, lists of the revoked included.
"""

from __future__ import annotations

import datetime as dt
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from itertools import product
from pathlib import Path

import pytest

from pyinfra_nova.certificates.issued import wanted
from pyinfra_nova.certificates.purposes import PURPOSES
from pyinfra_nova.certificates.trust import trusted_pem
from pyinfra_nova.knowledge.platforms import platform_for
from pyinfra_nova.nova_conf.certificate_files import certificate_paths
from pyinfra_nova.run import renewals
from pyinfra_nova.run.host_plan import HostPlan
from pyinfra_nova.site.run_scope import scope_of
from pyinfra_nova.site.settings import Site
from pyinfra_nova.site.tls import TRUST
from tests.unit.real_screens import NEW, OLD, STEPS
from tests.unit.site_data import secrets, site

NOW = dt.datetime(2026, 11, 28, tzinfo=dt.timezone.utc)
DEBIAN = platform_for("debian", "12", "zed")
HOSTS = {
    "controller": {"my_ip": "10.0.0.11"},
    "compute1": {"my_ip": "10.0.0.31"},
    "compute2": {"my_ip": "10.0.0.32"},
    "gone": {"my_ip": "10.0.0.39", "state": "retired"},
}
GROUPS = {"controllers": ["controller"], "computes": ["compute1", "compute2", "gone"]}
LIVING = ("controller", "compute1", "compute2")
API = DEBIAN.paths.api_certificate
LIBVIRT, QEMU, VNC = "/etc/pki/libvirt", "/etc/pki/qemu", "/etc/pki/libvirt-vnc"
SCREENS = "/etc/pyinfra-nova/tls/screens"
Files = Mapping[str, str]


@cache
def site_at(step: int) -> Site:
    passwords = secrets(**STEPS[step])
    all_data = {"tls": {"mode": "internal"}}
    return site(all_data, groups=GROUPS, hosts=HOSTS, passwords=passwords)


@cache
def files_at(step: int, name: str) -> Files:
    """The files of a host after that deploy, which has found there what the one before has left."""
    before = files_at(step - 1, name) if step else {}
    return {file.path: file.content for file in plan_at(step, name, before).files}


def plan_at(step: int, name: str, before: Files) -> HostPlan:
    where, now = site_at(step), NOW + dt.timedelta(hours=step)
    host = where.hosts[name]
    found = {p: before[p] for p in certificate_paths(where, host) if p in before}
    scope = scope_of(where, set(where.hosts))
    return HostPlan(host, where, DEBIAN, "qemu", scope, certificates_found=found, now=now)


@cache
def fault(shown: str, trusted: str, revoked: str | None, purpose: str) -> str:
    """Why who has these files refuses who shows that; empty if it does not."""
    with tempfile.TemporaryDirectory() as folder:
        files = {"shown": shown, "trusted": trusted, "revoked": revoked or ""}
        for name, text in files.items():
            (Path(folder) / name).write_text(text)
        lists = ("-CRLfile", f"{folder}/revoked", "-crl_check") if revoked else ()
        moment = str(int((NOW + dt.timedelta(hours=len(STEPS))).timestamp()))
        words: tuple[str, ...] = ("openssl", "verify")
        words += ("-x509_strict", "-attime", moment, "-purpose", purpose)
        if purpose != "sslserver":  # GnuTLS, which answers, takes whatever is in its file
            words += ("-partial_chain",)
        with_it = ("-CAfile", f"{folder}/trusted", "-untrusted", f"{folder}/shown")
        of = (*words, *with_it, *lists, f"{folder}/shown")
        done = subprocess.run(of, capture_output=True, text=True)
        return "" if done.returncode == 0 else done.stderr


def server(asks: Files, answers: Files, trusts: str, shows: str) -> str:
    return fault(answers[shows], asks[trusts], None, "sslserver")


def client(asks: Files, answers: Files, shows: str, trusts: str, refuses: str) -> str:
    return fault(asks[shows], answers[trusts], answers[refuses], "sslclient")


def start(shown: str, trusted: str) -> str:
    """Why QEMU does not start with these files: it looks at the first certificate alone."""
    end = "-----END CERTIFICATE-----\n"
    return fault(shown.partition(end)[0] + end, trusted, None, "any")


def talks(hosts: Mapping[str, Files]) -> Iterator[tuple[str, str]]:
    """Whoever speaks to whom, and what keeps them from it."""
    screen = (f"{VNC}/server-cert.pem", f"{VNC}/ca-cert.pem")
    of_libvirt = ("/etc/pki/CA/cacert.pem", "/etc/pki/CA/cacrl.pem")
    for name, asks in hosts.items():
        if name != "controller":
            yield f"{name}: a guest's start", start(*(asks[path] for path in screen))
        for other, answers in hosts.items():
            who = f"{name} to {other}"
            if other == "controller":
                yield f"{who}: API", server(asks, answers, TRUST, API)
            elif name == "controller":
                shown, theirs = f"{SCREENS}/client.crt", (screen[1], f"{VNC}/ca-crl.pem")
                yield f"{who}: screen", server(asks, answers, f"{SCREENS}/ca.pem", screen[0])
                yield f"{who}: proxy", client(asks, answers, shown, *theirs)
            elif name != other:
                shown = f"{LIBVIRT}/servercert.pem"
                yield f"{who}: libvirt", server(asks, answers, of_libvirt[0], shown)
                shown = f"{LIBVIRT}/clientcert.pem"
                yield f"{who}: libvirt's client", client(asks, answers, shown, *of_libvirt)
                trusts, shown = f"{QEMU}/ca-cert.pem", f"{QEMU}/server-cert.pem"
                yield f"{who}: QEMU", server(asks, answers, trusts, shown)
                shown = f"{QEMU}/client-cert.pem"
                lists = f"{QEMU}/ca-crl.pem"
                yield f"{who}: QEMU's client", client(asks, answers, shown, trusts, lists)


@pytest.mark.parametrize("step", [1, 2, 3])
def test_wherever_a_deploy_stops_all_that_talk_go_on_talking(step: int) -> None:
    """Some hosts have been deployed, or their processes have read it all; the others have not."""
    refused, count = {}, 0
    for which in product((step - 1, step), repeat=len(LIVING)):
        there = {name: files_at(at, name) for name, at in zip(LIVING, which, strict=True)}
        for what, problem in talks(there):
            count += 1
            if problem:
                refused[which, what] = problem
    assert refused == {}
    assert count == 2 ** len(LIVING) * (3 + 2 * 2 + 2 * 4 + 2)


@pytest.mark.parametrize("step", [1, 2, 3])
def test_the_preflight_believes_servers_as_the_deploy_before_has_left_them(step: int) -> None:
    trusted = trusted_pem(site_at(step))
    assert trusted is not None
    assert fault(files_at(step - 1, "controller")[API], trusted, None, "sslserver") == ""


def test_without_the_step_between_computes_refuse_each_other() -> None:
    """What these tests would see."""
    old, new = files_at(0, "compute1"), files_at(3, "compute2")
    shown = f"{QEMU}/server-cert.pem"
    assert "unable to get local issuer" in server(old, new, f"{QEMU}/ca-cert.pem", shown)


@pytest.mark.parametrize("name", LIVING)
def test_the_table_warns_of_a_step_that_is_left_out_and_of_none_that_is_taken(name: str) -> None:
    for step in (1, 2, 3):
        (verdict,) = renewals.verdicts([plan_at(step, name, files_at(step - 1, name))])
        assert renewals.MEANWHILE not in verdict.detail
    (verdict,) = renewals.verdicts([plan_at(3, name, files_at(0, name))])
    assert verdict.ok and verdict.detail.endswith(renewals.MEANWHILE)


def test_a_certificate_that_somebody_else_has_put_there_is_not_lost() -> None:
    path = "/etc/pki/libvirt/servercert.pem"
    theirs = {path: files_at(0, "compute1")[path].partition("\n")[2]}
    bare = plan_at(0, "compute1", {path: theirs[path].replace("M", "N")})
    (verdict,) = renewals.verdicts([bare])
    assert not verdict.ok
    assert verdict.detail.startswith(f"{path}: not this project's, and would be replaced with its")
    # Once there is anything with the mark, it is what somebody has changed, and is put right.
    ours = replace(bare, written={"certificates": ["/etc/pyinfra-nova/tls/ca.pem"]})
    assert [each.ok for each in renewals.verdicts([ours])] == [True]
    # One that stays has nothing to be lost.
    assert [each.ok for each in renewals.verdicts([plan_at(0, "compute1", theirs)])] == [True]


@pytest.mark.parametrize("secret", [OLD, NEW])
def test_who_is_retired_is_refused_at_every_step_whoever_has_given_it_its_certificate(
    secret: str,
) -> None:
    for purpose, trusts, refuses in (
        ("libvirt", "/etc/pki/CA/cacert.pem", "/etc/pki/CA/cacrl.pem"),
        ("qemu", f"{QEMU}/ca-cert.pem", f"{QEMU}/ca-crl.pem"),
    ):
        made = wanted(secret, PURPOSES[purpose], "gone", ["gone"], None, NOW, 90, 30)
        for step in range(len(STEPS)):
            there = files_at(step, "compute1")
            problem = fault(made.certificate_pem, there[trusts], there[refuses], "sslclient")
            is_trusted = secret in STEPS[step].values()
            assert ("revoked" if is_trusted else "unable to get local issuer") in problem


def test_only_the_step_between_makes_new_certificates() -> None:
    for name in LIVING:
        shown = [files_at(step, name) for step in range(len(STEPS))]
        for path in certificate_paths(site_at(0), site_at(0).hosts[name]):
            texts = [files[path] for files in shown if path in files]
            if texts:
                assert texts[0] == texts[1] != texts[2] == texts[3]
