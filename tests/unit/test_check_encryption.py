"""What the checker says of encryption: of a file of this project's own, and of changes to it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pyinfra_nova.knowledge.platforms import platform_for
from pyinfra_nova.nova_conf.check import Finding, Role, Source, findings
from pyinfra_nova.nova_conf.check.__main__ import main
from pyinfra_nova.nova_conf.check.rules import encryption
from pyinfra_nova.run.preflight import check_files
from tests.unit.checked import check, one
from tests.unit.rendered_conf import NOVA_CONF, rendered
from tests.unit.site_data import debian, secrets, site

NAMES: dict[Role, str] = {"controller": "controller", "compute": "compute1"}
SID = platform_for("debian", "", "2026.2")


def ours(role: Role = "controller", release: str = "zed") -> str:
    """What this project writes where ``tls`` is on."""
    data = {"release": release, "tls": {"mode": "internal"}}
    where = site(data, passwords=secrets(tls_secret="t" * 32))
    platform = SID if release == "2026.2" else debian()
    return rendered(where, NAMES[role], platform=platform)[NOVA_CONF].content


def changed(pattern: str, new: str, role: Role = "controller", release: str = "zed"
            ) -> list[Finding]:  # fmt: skip
    """What is said once every line like PATTERN is NEW."""
    text, times = re.subn(f"(?m)^{pattern}\n", new, ours(role, release))
    assert times, pattern
    found = findings([Source("nova.conf", text)], release, role)
    # nova-compute.conf stands beside it.
    return [f for f in found if (f.section, f.option) != ("DEFAULT", "compute_driver")]


def test_what_is_written_without_tls_is_left_alone() -> None:
    plain = rendered(site(), "controller")[NOVA_CONF].content
    assert findings([Source("nova.conf", plain)], "zed", "controller") == []


# --- plain text while something else is encrypted -------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "new", "role", "place", "remedy"),
    [
        ("(www_authenticate_uri = http)s(.*)", r"\1\2", "controller",
         ("keystone_authtoken", "www_authenticate_uri"), "https"),
        ("(novncproxy_base_url = http)s(.*)", r"\1\2", "compute",
         ("vnc", "novncproxy_base_url"), "https"),
        ("ssl = true", "", "compute", ("DEFAULT", "transport_url"), "ssl = true"),
        (r"(connection = \S+/nova)\?ssl_ca.*", r"\1", "controller",
         ("database", "connection"), "?ssl_ca="),
        (r"(connection = \S+/nova_api)\?ssl_ca.*", r"\1", "controller",
         ("api_database", "connection"), "?ssl_ca="),
        ("memcache_security_strategy = ENCRYPT", "", "controller",
         ("keystone_authtoken", "memcached_servers"), "ENCRYPT"),
        ("memcache_security_strategy = ENCRYPT", "memcache_security_strategy = MAC", "controller",
         ("keystone_authtoken", "memcached_servers"), "ENCRYPT"),
        (r"(transport_url = .*)", r"\1?ssl=0", "compute",
         ("DEFAULT", "transport_url"), "take ssl out of the URL"),
        (r"(connection = \S+/nova)\?ssl_ca.*", r"\1\nconnection_parameters = charset=utf8mb4",
         "controller", ("database", "connection"), "?ssl_ca="),
        (r"\[DEFAULT\]", "[DEFAULT]\n[vault]\nvault_url = http://vault:8200\n[DEFAULT]", "compute",
         ("vault", "vault_url"), "https"),
        (r"\[DEFAULT\]", "[barbican]\nbarbican_endpoint = http://keys:9311\n[DEFAULT]", "compute",
         ("barbican", "barbican_endpoint"), "https"),
        (r"\[DEFAULT\]", "[barbican]\nauth_endpoint = http://id:5000/v3\n[DEFAULT]", "compute",
         ("barbican", "auth_endpoint"), "https"),
        (r"\[DEFAULT\]",
         "[oslo_messaging_notifications]\ntransport_url = rabbit://u:longer@h/?ssl=no\n[DEFAULT]",
         "compute", ("oslo_messaging_notifications", "transport_url"), "take ssl out"),
        ("auth_schemes = vencrypt", "", "controller", ("vnc", "auth_schemes"), "vnc_tls = 1"),
        ("auth_schemes = vencrypt", "auth_schemes = none", "controller",
         ("vnc", "auth_schemes"), "vencrypt_ca_certs"),
    ],
)  # fmt: skip
def test_one_thing_in_plain_text_is_found_with_its_remedy(
    pattern: str, new: str, role: Role, place: tuple[str, str], remedy: str
) -> None:
    (finding,) = changed(pattern, f"{new}\n", role)
    assert (finding.section, finding.option) == place
    assert (finding.kind, finding.level) == ("insecure", "warning")
    assert "while other things are encrypted" in finding.problem
    assert remedy in finding.remedy
    assert finding.source


def test_each_login_in_plain_text_is_found() -> None:
    found = changed("(auth_url = http)s(.*)", r"\1\2" "\n")
    logins = ["cinder", "keystone_authtoken", "neutron", "placement", "service_user"]
    assert sorted(finding.section for finding in found) == logins
    assert {finding.remedy for finding in found} == {"give the https URL"}


def test_a_release_that_speaks_tls_to_memcached_is_told_to() -> None:
    (finding,) = changed("memcache_tls_enabled = true", "", release="2026.2")
    assert finding.remedy == "memcache_tls_enabled = true and memcache_tls_cafile"


def test_tls_in_the_brokers_url_counts() -> None:
    text = "[DEFAULT]\ntransport_url = rabbit://u:longer@h:5671/?ssl=1\n"
    text += "[database]\nconnection = mysql+pymysql://u:longer@h/nova\n"
    found = check(text)
    assert "while other things" in one(found, "database", "connection").problem
    assert not [f for f in found if f.option == "transport_url"]


def test_what_the_url_of_the_broker_does_not_say_its_section_does() -> None:
    text = "[DEFAULT]\ntransport_url = rabbit://u:longer@h:5671/?ssl=1&ssl_ca_file=/ca"
    verified = f"&{'ssl_enforce_hostname_verification'}=true"
    for more, said in ((verified, []), ("", ["ssl_enforce_hostname_verification"])):
        found = check(f"{text}{more}\n")
        assert [f.option for f in found if f.section == "oslo_messaging_rabbit"] == said


def test_tls_among_the_parameters_of_connections_counts() -> None:
    pattern, parameters = r"(connection = \S+/nova)\?(ssl_ca.*)", r"\1\nconnection_parameters = \2"
    assert changed(pattern, f"{parameters}\n") == []
    (finding,) = changed(pattern, f"{parameters}&ssl_check_hostname=false\n")
    assert "can pose as the database" in finding.problem


def test_a_database_on_the_same_host_needs_no_encryption() -> None:
    url = "connection = mysql+pymysql://u:longer@/nova?unix_socket=/run/mysqld/mysqld.sock"
    assert changed(r"connection = \S+", f"{url}\n") == []


def test_what_passwords_are_in_is_not_shown() -> None:
    for pattern in ("ssl = true", r"\?ssl_ca=.*"):
        text = re.sub(f"(?m){pattern}$", "", ours())
        found = findings([Source("nova.conf", text)], "zed", "controller")
        assert found
        assert not [f for f in found if "m?ss" in str(f) or "d@ta" in str(f) or "%40" in str(f)]


# --- encrypted, but with anybody ------------------------------------------------------------------


@pytest.mark.parametrize("section", ["keystone_authtoken", "placement", "cinder"])
def test_who_is_not_verified_is_named(section: str) -> None:
    (finding,) = changed(rf"\[{section}\]", f"[{section}]\ninsecure = true\n")
    assert (finding.section, finding.option, finding.kind) == (section, "insecure", "insecure")
    assert "cafile" in finding.remedy


@pytest.mark.parametrize(
    ("pattern", "new", "option", "remedy"),
    [
        ("ssl_ca_file = .*", "", "ssl_ca_file", "ssl_ca_file = the authority's"),
        ("ssl_enforce_hostname_verification = true", "", "ssl_enforce_hostname_verification",
         "a package that has the fix"),
        ("ssl_enforce_hostname_verification = true", "ssl_enforce_hostname_verification = false\n",
         "ssl_enforce_hostname_verification", "a package that has the fix"),
        ("ssl = true", "ssl = true\nssl_version = TLSv1\n", "ssl_version", "leave it out"),
    ],
)  # fmt: skip
def test_a_broker_that_anybody_can_pose_as(
    pattern: str, new: str, option: str, remedy: str
) -> None:
    (finding,) = changed(pattern, new)
    assert (finding.section, finding.option) == ("oslo_messaging_rabbit", option)
    assert (finding.kind, finding.level) == ("insecure", "warning")
    assert remedy in finding.remedy


def test_a_release_that_always_verifies_the_brokers_name_needs_no_option() -> None:
    assert "ssl_enforce" not in ours("compute", "2026.2")
    text = "[oslo_messaging_rabbit]\nssl = true\nssl_ca_file = /ca\n"
    assert not [f for f in check(text, release="2026.2") if f.section == "oslo_messaging_rabbit"]
    assert [f for f in check(text, release="2026.1") if f.section == "oslo_messaging_rabbit"]


@pytest.mark.parametrize(
    "query",
    ["ssl_cert=/c&ssl_key=/k", "ssl_ca=/ca&ssl_check_hostname=false", "ssl_verify_cert=false"],
)
def test_a_database_that_anybody_can_pose_as(query: str) -> None:
    (finding,) = changed(r"(connection = \S+/nova)\?ssl_ca.*", rf"\1?{query}" "\n")
    assert (finding.section, finding.option) == ("database", "connection")
    assert "can pose as the database" in finding.problem
    assert "ssl_ca" in finding.remedy


@pytest.mark.parametrize("query", ["ssl_ca=/ca", "ssl_ca=/ca&plugin=another"])
def test_a_pymysql_that_may_be_talked_out_of_tls_is_worth_a_note(query: str) -> None:
    (finding,) = changed(r"(connection = \S+/nova)\?ssl_ca.*", rf"\1?{query}" "\n")
    assert (finding.section, finding.option, finding.level) == ("database", "connection", "note")
    assert "whoever answers that he has no TLS" in finding.problem
    assert "plugin=pyinfra-nova-tls" in finding.remedy
    url = f"connection = mysql+mysqldb://nova:longer@controller/nova?{query}\n"
    assert changed(r"connection = \S+/nova\?ssl_ca.*", url) == []


def test_the_systems_authorities_are_worth_a_note_and_no_more(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = changed("cafile = .*", "", "compute")
    assert {finding.level for finding in found} == {"note"}
    logins = ["cinder", "neutron", "placement", "service_user"]
    assert sorted(finding.section for finding in found) == logins
    file = tmp_path / "nova.conf"
    driver = "[DEFAULT]\ncompute_driver = libvirt.LibvirtDriver\n"
    file.write_text(ours("compute").replace("cafile = ", "# ").replace("[DEFAULT]\n", driver))
    file.chmod(0o640)
    assert main([str(file), "--release", "zed", "--role", "compute"]) == 0
    assert "4 notes" in capsys.readouterr().out
    # An operator's own site with a public authority is not told of it by each deploy.
    url = "https://id.example.org/v3"
    where = site({"keystone": {"auth_url": url}})
    said = {fault.key for fault in check_files(where)}
    assert "[service_user] auth_url" not in said


HTTPS = {"keystone": {"auth_url": "https://id.example.org/v3"}}


def test_what_is_plain_for_one_reason_is_said_once() -> None:
    assert check_files(site()) == []
    (said,) = check_files(site(HTTPS))
    assert str(said) == (
        "nova.conf of controller, compute1, compute2: in plain text, as tls is off, while other "
        "things are encrypted: [DEFAULT] transport_url, [api_database] connection, [database] "
        "connection, [keystone_authtoken] memcached_servers, [vnc] auth_schemes, [vnc] "
        "novncproxy_base_url; tls.mode encrypts all of it (docs/tls.md)"
    )


def test_it_is_joined_for_what_it_is_and_not_for_its_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encryption, "MEANWHILE", "in other words")
    assert [fault.problem[:29] for fault in check_files(site(HTTPS))] == [
        "in plain text, as tls is off,"
    ]


def test_what_else_is_unsafe_is_said_by_itself_and_so_is_all_with_tls_on() -> None:
    insecure = {"nova_conf": {"glance": {"insecure": True}}}
    found = [str(fault) for fault in check_files(site({**HTTPS, **insecure}))]
    assert len(found) == 2 and "[glance] insecure" in found[1]
    own = {"vault": {"vault_url": "http://v:8200"}, "barbican": {"barbican_endpoint": "http://b"}}
    where = site(
        {"tls": {"mode": "internal"}, "nova_conf": own}, passwords=secrets(tls_secret="t" * 32)
    )
    assert {fault.key for fault in check_files(where)} == {
        "[vault] vault_url",
        "[barbican] barbican_endpoint",
    }


def test_while_guests_are_left_that_have_no_encryption_both_are_taken() -> None:
    (finding,) = changed("auth_schemes = vencrypt", "auth_schemes = vencrypt,none\n")
    assert (finding.section, finding.option, finding.level) == ("vnc", "auth_schemes", "note")
    assert finding.remedy.startswith("auth_schemes = vencrypt, once no guest is left")


# --- versions and migrations ----------------------------------------------------------------------


def test_a_broken_version_of_tls_is_found() -> None:
    (finding,) = changed("ssl_minimum_version = .*", "ssl_minimum_version = tlsv1_1\n")
    assert (finding.section, finding.option) == ("console", "ssl_minimum_version")
    assert "tlsv1_1 is broken" in finding.problem
    assert "tlsv1_2" in finding.remedy
    assert changed("ssl_minimum_version = .*", "ssl_minimum_version = tlsv1_3\n") == []


@pytest.mark.parametrize(
    ("ciphers", "weak"),
    [
        ("HIGH:!aNULL", ""),
        ("DEFAULT@SECLEVEL=2", ""),
        ("ECDHE+AESGCM:!RC4:!3DES", ""),
        ("HIGH:aNULL", "aNULL"),
        ("aNULL:HIGH:!aNULL", ""),
        ("!RC4:RC4:HIGH", ""),
        ("HIGH:kRSA+RC4 DES-CBC3-SHA", "kRSA+RC4, DES-CBC3-SHA"),
        ("ECDHE-RSA-NULL-SHA", "ECDHE-RSA-NULL-SHA"),
    ],
)
def test_weak_ciphers_of_the_consoles_page_are_found(ciphers: str, weak: str) -> None:
    found = changed(r"\[console\]", f"[console]\nssl_ciphers = {ciphers}\n")
    assert [finding.option for finding in found] == ["ssl_ciphers"] * bool(weak)
    if weak:
        assert found[0].problem.startswith(f"takes {weak}, by which")
        assert "HIGH:!aNULL" in found[0].remedy


def test_an_address_of_libvirt_wins_over_how_it_is_to_be_asked() -> None:
    whole = "live_migration_scheme = tls\nlive_migration_with_native_tls = true"

    def said(lines: str, transport: str) -> list[str]:
        text = f"[libvirt]\n{lines}\nlive_migration_uri = qemu{transport}://%s/system\n"
        insecure = [f for f in check(text, "compute") if f.kind == "insecure"]
        found = [f for f in insecure if f.option == "live_migration_uri"]
        return [f"{f.option} {f.problem}" for f in found]

    (plain,) = said(whole, "+tcp")
    assert plain.startswith("live_migration_uri wins over live_migration_scheme = tls, and the ")
    (alone,) = said("live_migration_with_native_tls = true", "+tcp")
    assert alone.startswith("live_migration_uri the other host's libvirt is asked over plain TCP")
    assert said("", "+tcp") == said(whole, "+tls") == said(whole, "+ssh") == said(whole, "") == []


@pytest.mark.parametrize(
    ("lines", "option", "remedy"),
    [
        ("live_migration_with_native_tls = true", "live_migration_with_native_tls",
         "live_migration_scheme = tls"),
        ("live_migration_scheme = ssh\nlive_migration_with_native_tls = true",
         "live_migration_with_native_tls", "live_migration_scheme = tls"),
        ("live_migration_scheme = tls", "live_migration_scheme",
         "live_migration_with_native_tls = true"),
    ],
)  # fmt: skip
def test_half_of_native_tls_is_found(lines: str, option: str, remedy: str) -> None:
    text = f"[libvirt]\n{lines}\n"
    found = one(check(text, "compute"), "libvirt", option)
    assert (found.kind, found.level, found.remedy) == ("insecure", "warning", remedy)
    whole = "[libvirt]\nlive_migration_scheme = tls\nlive_migration_with_native_tls = true\n"
    assert not [f for f in check(whole, "compute") if f.option.startswith("live_migration")]
