"""Which certificates a host is to have, in which files, and what of them goes with encryption."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import replace

import pytest
from cryptography import x509

from pyinfra_nova.knowledge.platforms import platform_for
from pyinfra_nova.nova_conf.certificate_files import (
    MARKER,
    certificate_paths,
    names_of,
    revocation_files,
    unwanted_certificate_files,
)
from pyinfra_nova.nova_conf.config_file import ConfigFile
from pyinfra_nova.resources.retirements import Records
from pyinfra_nova.run import renewals
from pyinfra_nova.run.host_plan import HostPlan
from pyinfra_nova.site.faults import SettingsError
from pyinfra_nova.site.run_scope import scope_of
from pyinfra_nova.site.tls import TRUST
from tests.unit.site_data import HOSTS, secrets, site

NOW = dt.datetime(2026, 11, 28, tzinfo=dt.timezone.utc)
DEBIAN = platform_for("debian", "12", "zed")
KEY = "s" * 32


def plan(name: str, mode: str = "internal", **changes: object) -> HostPlan:
    where = site({"tls": {"mode": mode}}, passwords=secrets(tls_secret=KEY))
    host = where.hosts[name]
    scope = scope_of(where, set(where.hosts))
    made = HostPlan(host, where, DEBIAN, "qemu", scope, now=NOW)
    return replace(made, **changes)  # type: ignore[arg-type]


def pki(which: HostPlan) -> dict[str, str]:
    files = {file.path: file for file in which.files if file.content.startswith(MARKER)}
    return {
        path: f"{file.owner}:{file.group} {file.mode}"
        for path, file in files.items()
        if "BEGIN" in file.content
    }


def test_a_compute_has_what_libvirt_its_guests_and_their_screens_read() -> None:
    files = pki(plan("compute1"))
    guests = {p: f"root:{DEBIAN.libvirt.group} 0640" for p in files if p.endswith("-key.pem")}
    own = {p: "root:root 0600" for p in files if "/private/" in p}
    assert set(guests) == {
        "/etc/pki/qemu/server-key.pem",
        "/etc/pki/qemu/client-key.pem",
        "/etc/pki/libvirt-vnc/server-key.pem",
    }
    assert set(own) == {
        "/etc/pki/libvirt/private/serverkey.pem",
        "/etc/pki/libvirt/private/clientkey.pem",
    }
    public = set(files) - set(guests) - set(own)
    assert {files[path] for path in public} == {"root:root 0644"}
    assert files.items() >= {**guests, **own}.items()
    assert "/etc/pki/CA/cacert.pem" in public


def test_a_controller_has_no_certificate_of_a_compute() -> None:
    files = pki(plan("controller"))
    assert not [path for path in files if path.startswith("/etc/pki/")]
    assert files[DEBIAN.paths.api_key] == f"root:{DEBIAN.group} 0640"


def test_no_private_key_is_shown_in_a_diff() -> None:
    for name in ("controller", "compute1"):
        keys = [file for file in plan(name).files if "PRIVATE KEY" in file.content]
        assert keys
        assert all(file.hidden for file in keys)


def test_the_api_answers_by_every_name_that_somebody_calls_it_by() -> None:
    which = plan("controller")
    file = next(f for f in which.files if f.path == DEBIAN.paths.api_certificate)
    found = x509.load_pem_x509_certificate(file.content.encode())
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert set(names.get_values_for_type(x509.DNSName)) == {"controller", "localhost"}
    addresses = {str(address) for address in names.get_values_for_type(x509.IPAddress)}
    assert addresses == {str(which.host.my_ip), "127.0.0.1"}


def test_a_name_that_only_the_inventory_has_is_in_no_certificate() -> None:
    called = "größe 1 (Köln)"
    hosts = {**HOSTS, called: {"my_ip": "10.0.0.33", "nova_host": "compute3"}}
    groups = {"controllers": ["controller"], "computes": ["compute1", "compute2", called]}
    where = site(
        {"tls": {"mode": "internal"}},
        groups=groups,
        hosts=hosts,
        passwords=secrets(tls_secret=KEY),
    )
    assert names_of(where, where.hosts[called], "qemu") == ["compute3", "10.0.0.33"]
    assert names_of(where, where.hosts["compute1"], "qemu") == ["compute1", "10.0.0.31"]
    made = HostPlan(
        where.hosts[called], where, DEBIAN, "qemu", scope_of(where, set(hosts)), now=NOW
    )
    assert set(made.certificates) == {"libvirt", "qemu", "screen"}


def found_by(which: HostPlan) -> dict[str, str]:
    paths = certificate_paths(which.site, which.host)
    return {file.path: file.content for file in which.files if file.path in paths}


@pytest.mark.parametrize("name", ["controller", "compute1"])
def test_what_a_host_has_stays_and_nothing_differs(name: str) -> None:
    first = plan(name)
    again = replace(first, certificates_found=found_by(first))
    assert [f.content for f in again.files] == [f.content for f in first.files]
    assert not any(certificate.is_new for certificate in again.certificates.values())


def test_the_table_says_why_new_ones_are_made_and_when_the_next_are() -> None:
    first = plan("compute1")
    again = replace(first, certificates_found=found_by(first))
    details = [verdict.detail for verdict in renewals.verdicts([first, again])]
    assert details == [
        "new ones are made (libvirt, qemu, screen: there is none)",
        "good until 2027-02-26, and a deploy renews them from 2027-01-27 on",
    ]
    late = replace(again, now=NOW + dt.timedelta(days=61))
    [verdict] = renewals.verdicts([late])
    assert "the one there ends on 2027-02-26" in verdict.detail


def test_with_encryption_off_nothing_is_asked_written_or_said() -> None:
    which = plan("compute1", mode="off")
    assert certificate_paths(which.site, which.host) == []
    assert pki(which) == {}
    assert list(renewals.verdicts([which])) == []


def test_switched_off_all_of_it_goes_and_switched_on_none_does() -> None:
    for name in ("controller", "compute1"):
        wanted = set(pki(plan(name)))
        off = plan(name, mode="off")
        gone = unwanted_certificate_files(off.site, off.host, DEBIAN)
        assert {file.path for file in gone} >= wanted
        assert TRUST in wanted
        assert not {file.path for file in plan(name).absent} & wanted
        keys = {file.path for file in gone if file.hidden}
        assert keys >= {file.path for file in plan(name).files if "PRIVATE" in file.content}


LISTS = ("/etc/pki/CA/cacrl.pem", "/etc/pki/qemu/ca-crl.pem", "/etc/pki/libvirt-vnc/ca-crl.pem")
# Of screens one list is that of the consoles, and one has the host's own certificate.
NOBODY = dict(zip(LISTS, [[0], [0], [0, 1]], strict=True))
GONE = dict(zip(LISTS, [[1], [1], [1, 1]], strict=True))
"""How many each list of a file refuses."""


def retiring(leaving: bool, **passwords: str) -> HostPlan:
    """The plan of compute1 beside compute2, which is retired."""
    hosts = {name: {"my_ip": address} for name, address in ADDRESSES.items()}
    hosts["compute2"]["state"] = "retired"
    all_data = {"tls": {"mode": "internal"}}
    where = site(all_data, hosts=hosts, passwords=secrets(tls_secret=KEY, **passwords))
    made = replace(plan("compute1"), site=where, scope=scope_of(where, set(where.hosts)))
    return replace(made, leaving=where.retired if leaving else ())


ADDRESSES = {"controller": "10.0.0.11", "compute1": "10.0.0.31", "compute2": "10.0.0.32"}


def refused(which: HostPlan, files: Iterable[ConfigFile]) -> dict[str, list[int]]:
    """How many each list of a file refuses, by the file."""
    found = {file.path: file.content for file in files if file.path in LISTS}
    begin = "-----BEGIN X509 CRL-----"
    return {
        path: [
            len(x509.load_pem_x509_crl(f"{begin}{part}".encode())) for part in text.split(begin)[1:]
        ]
        for path, text in found.items()
    }


def test_a_retired_compute_is_refused_by_all_that_let_it_in() -> None:
    which = retiring(leaving=False)
    assert refused(which, which.files) == GONE
    assert not set(LISTS) & {file.path for file in plan("controller").files}


def test_as_long_as_guests_may_come_from_it_it_is_let_in_and_no_longer() -> None:
    which = retiring(leaving=True)
    assert refused(which, which.files) == NOBODY
    assert refused(which, which.files_at_the_end) == GONE
    later = retiring(leaving=False)
    assert {f.path: f.content for f in later.files}.items() >= {
        f.path: f.content for f in which.files_at_the_end if f.path in LISTS
    }.items()
    assert later.files_at_the_end == ()


def test_an_api_that_does_not_answer_lets_no_retired_compute_in_again() -> None:
    early = Records(error="PyMySQL is not installed", early=True)
    known = [records.is_known for records in (Records(), Records(error=None), early)]
    assert known == [False, True, False]
    there = {"certificates": LISTS}
    of_run = replace(retiring(leaving=True), knows_leaving=False, written=there)
    touched = {file.path for file in of_run.files} | {file.path for file in of_run.absent}
    assert not touched & {*LISTS}
    # Once the run itself has shown that it is gone, it is refused.
    gone = refused(of_run, of_run.files_at_the_end)
    assert gone == GONE
    alone = replace(of_run, scope=scope_of(of_run.site, {"compute1"}))
    assert alone.files_at_the_end == ()


@pytest.mark.parametrize("there", [(), LISTS[:1], LISTS])
def test_where_nobody_knows_who_leaves_a_compute_without_a_list_refuses_all_that_are_retired(
    there: tuple[str, ...],
) -> None:
    new = replace(retiring(leaving=True), knows_leaving=False, written={"certificates": there})
    assert refused(new, new.files) == {p: n for p, n in GONE.items() if p not in there}
    assert not {file.path for file in new.absent} & {*LISTS}
    again = refused(new, new.files_at_the_end)
    assert again == {path: GONE[path] for path in there}


def test_who_is_refused_follows_from_who_leaves_at_that_moment() -> None:
    which = retiring(leaving=True)
    where, leaving = (which.site, which.host, DEBIAN), [*which.leaving]
    assert refused(which, revocation_files(*where, leaving)) == NOBODY
    leaving.clear()
    assert refused(which, revocation_files(*where, leaving)) == GONE
    first, again = (next(iter(revocation_files(*where, leaving[:n]))) for n in (0, 1))
    assert first is again


def test_who_retires_nobody_has_lists_of_nobody() -> None:
    """So that what reads them is told of each change in one way."""
    which = plan("compute1")
    assert refused(which, which.files) == NOBODY
    nobody_answers = replace(which, knows_leaving=False)
    assert refused(which, nobody_answers.files) == NOBODY
    tls = which.libvirt_tls
    assert tls and LISTS[0] in tls.libvirt and LISTS[2] in tls.screens


def test_each_authority_that_is_trusted_refuses_it_by_a_list_of_its_own() -> None:
    which = retiring(leaving=False, tls_next_secret="n" * 32, tls_former_secret="f" * 32)
    assert refused(which, which.files)[LISTS[1]] == [1, 1, 1]


def test_an_old_and_a_new_authority_are_trusted_side_by_side() -> None:
    passwords = secrets(tls_secret=KEY, tls_next_secret="n" * 32, tls_former_secret="f" * 32)
    where = site({"tls": {"mode": "internal"}}, passwords=passwords)
    base = plan("compute1")
    which = replace(base, site=where)
    trusted = next(file for file in which.files if file.path == TRUST)
    assert trusted.content.count("BEGIN CERTIFICATE") == 3


def test_without_its_secret_the_remedy_is_a_command() -> None:
    with pytest.raises(SettingsError) as error:
        site({"tls": {"mode": "internal"}}, passwords=secrets())
    assert "secrets.yml: tls_secret: is missing" in str(error.value)
    assert "add-tls-secret" in str(error.value)


def test_a_retired_compute_is_kept_good_while_guests_have_to_leave_it() -> None:
    hosts = {**HOSTS, "compute2": {"my_ip": "10.0.0.32", "state": "retired"}}
    where = site({"tls": {"mode": "internal"}}, hosts=hosts, passwords=secrets(tls_secret=KEY))
    host = where.hosts["compute2"]
    assert certificate_paths(where, host)
    gone = HostPlan(host, where, DEBIAN, "qemu", scope_of(where, set(where.hosts)), now=NOW)
    leaving = replace(gone, leaving=(host,), has_nova=True)
    assert set(leaving.certificates) == {"libvirt", "qemu", "screen"}
    assert leaving.libvirt_tls and leaving.libvirt_tls.wanted
    unknown = replace(leaving, knows_leaving=False)
    assert not unknown.certificates and unknown.libvirt_tls is None
    assert set(gone.certificates) == set()
    assert not pki(gone)


def test_a_secret_of_authorities_is_no_other_one() -> None:
    for other in ("nova_password", "migration_secret", "tls_next_secret"):
        with pytest.raises(
            SettingsError, match=f"is the same as {other}|is the same as tls_secret"
        ):
            site({"tls": {"mode": "internal"}}, passwords=secrets(tls_secret=KEY, **{other: KEY}))


@pytest.mark.parametrize("value", ["internal", True, None])
def test_what_is_no_section_is_told_how_it_is_one(value: object) -> None:
    with pytest.raises(
        SettingsError, match=r'tls: is no section: write tls = \{"mode": "internal"'
    ):
        site({"tls": value})
