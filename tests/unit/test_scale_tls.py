"""Certificates of many hosts: what is the same for all is read and made once a run."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pyinfra_nova.certificates.purposes import PURPOSES
from pyinfra_nova.nova_conf import certificate_files
from pyinfra_nova.run.host_plan import HostPlan
from pyinfra_nova.site.run_scope import RunScope, scope_of
from pyinfra_nova.site.settings import HostSettings, Site
from pyinfra_nova.site.tls import TRUST

from .site_data import debian, secrets, site
from .test_certificates_judged import AUTHORITY, make

FEW, MANY = 3, 40
Calls = Callable[[Any, str], "Counter[str]"]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """How often a function is called with a first argument; of a method, how often by whom."""

    def count(owner: Any, name: str) -> Counter[str]:
        counted: Counter[str] = Counter()
        function = getattr(owner, name)

        def counting(*arguments: Any, **more: Any) -> Any:
            counted[str(arguments[not isinstance(owner, type)])] += 1
            return function(*arguments, **more)

        monkeypatch.setattr(owner, name, counting)
        return counted

    return count


def many(number: int, **tls: Any) -> Site:
    """A site with NUMBER computes, and as many that are retired."""
    hosts: dict[str, dict[str, Any]] = {"controller": {"my_ip": "10.0.0.11"}}
    for i in range(1, number + 1):
        hosts[f"compute{i}"] = {"my_ip": f"10.0.1.{i}"}
        hosts[f"old{i}"] = {"my_ip": f"10.0.2.{i}", "state": "retired"}
    return site(
        {"management_network": "10.0.0.0/16", "tls": {"mode": "internal", **tls}},
        groups={"controllers": ["controller"], "computes": [*hosts][1:]},
        hosts=hosts,
        passwords=secrets(tls_secret="t" * 32),
    )


def plans(scope: RunScope, leaving: tuple[HostSettings, ...]) -> list[HostPlan]:
    return [
        HostPlan(host, scope.site, debian(), "qemu", scope, leaving=leaving, has_nova=True)
        for host in scope.hosts
    ]


@pytest.mark.parametrize("number", [FEW, MANY])
def test_whom_hosts_trust_is_read_once(tmp_path: Path, calls: Calls, number: int) -> None:
    make(tmp_path, "company", AUTHORITY)
    cafile = tmp_path / "company.crt"
    read = calls(Path, "read_bytes")
    where = many(number, cafile=str(cafile))
    scope = scope_of(where, set(where.hosts))
    files = [file for plan in plans(scope, ()) for file in plan.files if file.path == TRUST]
    assert len(files) == number + 1
    assert len({id(file) for file in files}) == 1
    assert cafile.read_text() in files[0].content
    assert read[str(cafile)] == 1


@pytest.mark.parametrize("number", [FEW, MANY])
def test_whom_they_refuse_is_made_once(calls: Calls, number: int) -> None:
    where = many(number)
    scope = scope_of(where, set(where.hosts))
    leaving = where.retired[:-1]
    made = calls(certificate_files, "revocations_pem")
    compared = calls(HostSettings, "__eq__")
    found = plans(scope, leaving)
    lists = [[f for f in plan.files if f.content.count("BEGIN X509 CRL")] for plan in found]
    assert [len(each) for each in lists] == [0] + [3] * number
    # That of screens is a host's own, of an authority that it alone has.
    assert len({id(file) for each in lists for file in each}) == 2 + number
    late = [plan.files_at_the_end for plan in found]
    assert [len(each) for each in late] == [0] + [3] * number
    assert [made[str(PURPOSES[name])] for name in ("libvirt", "qemu")] == [2, 2]
    assert not compared


def test_a_list_that_has_grown_goes_to_hosts_that_differ_alone() -> None:
    where = many(MANY)
    scope = scope_of(where, set(where.hosts))
    (_, plan, *_) = plans(scope, ())
    lists = {f.path: f for f in plan.files if f.content.count("BEGIN X509 CRL")}
    assert all(file.by_digest for file in lists.values())
    text = lists["/etc/pki/qemu/ca-crl.pem"].content
    said = subprocess.run(
        ["openssl", "crl", "-noout", "-text"],
        input=text,
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.count("Serial Number:") == MANY
