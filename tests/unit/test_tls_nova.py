"""What Nova is told of certificates where ``tls`` is on: whom it verifies, and what it shows."""

from __future__ import annotations

import datetime as dt
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlparse

import pytest
from pydantic import SecretStr

from pyinfra_nova.knowledge.platforms import Platform, platform_for, table
from pyinfra_nova.knowledge.releases import VERSIONS, load
from pyinfra_nova.nova_conf.certificate_files import certificate_files, issued
from pyinfra_nova.nova_conf.ini import option_values
from pyinfra_nova.nova_conf.urls import cell_urls, database_url
from pyinfra_nova.resources.renewed_certificates import shown_of
from pyinfra_nova.run.host_plan import HostPlan
from pyinfra_nova.session.redaction import MASK, Redactor
from pyinfra_nova.site import option_owners as owners
from pyinfra_nova.site.run_scope import scope_of
from pyinfra_nova.site.settings import Site
from pyinfra_nova.site.tls import TRUST
from tests.unit.rendered_conf import COMPUTE_CONF, NOVA_CONF, nova_conf, rendered
from tests.unit.site_data import debian, secrets, site
from tests.unit.site_data import faults as faults_of

ROWS = [pytest.param(row, id=f"{row.system} {row.release}") for row in table().platforms]
NOW = dt.datetime(2026, 5, 1, tzinfo=dt.timezone.utc)
PASSWORDS = secrets(tls_secret="t" * 32)


def encrypted(all_data: dict[str, Any] | None = None, **sources: Any) -> Site:
    data = {"tls": {"mode": "internal"}, **(all_data or {})}
    return site(data, passwords=PASSWORDS, **sources)


def faults(all_data: dict[str, Any], **sources: Any) -> list[str]:
    data = {"tls": {"mode": "internal"}, **all_data}
    return faults_of(data, passwords=PASSWORDS, **sources)


def plan(platform: Platform, all_data: dict[str, Any] | None = None) -> HostPlan:
    where = encrypted({"release": platform.release, **(all_data or {})})
    host = where.hosts["controller"]
    return HostPlan(host, where, platform, "qemu", scope_of(where, where.hosts))


# --- whom Nova asks -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["controller", "compute1"])
def test_who_logs_in_verifies_whom_it_asks(name: str, tmp_path: Path) -> None:
    conf = nova_conf(tmp_path, encrypted(), name)
    asks = {
        section for section, options in conf.items() if {"auth_url", "region_name"} & {*options}
    }
    assert {"service_user", "glance", "placement", "neutron", "cinder"} <= asks
    assert {conf[section].get("cafile") for section in asks} == {TRUST}
    assert all(conf[s].get("auth_url", "https://").startswith("https://") for s in asks)


@pytest.mark.parametrize("name", ["controller", "compute1"])
def test_the_broker_is_verified_with_its_name(name: str, tmp_path: Path) -> None:
    conf = nova_conf(tmp_path, encrypted(), name)
    assert conf["oslo_messaging_rabbit"] == {
        "ssl": "true",
        "ssl_ca_file": TRUST,
        "ssl_enforce_hostname_verification": "true",
    }
    assert urlparse(conf["DEFAULT"]["transport_url"]).port == 5671


def test_a_release_that_always_verifies_the_name_is_not_told_to() -> None:
    where = encrypted({"release": "2026.2"})
    sid = platform_for("debian", "", "2026.2")
    conf = option_values(rendered(where, "compute1", platform=sid)[NOVA_CONF].content)
    assert conf["oslo_messaging_rabbit/ssl"] == ["true"]
    assert "oslo_messaging_rabbit/ssl_enforce_hostname_verification" not in conf


def test_the_database_is_verified_and_so_are_those_of_the_cells() -> None:
    where = encrypted()
    assert parse_qs(urlparse(database_url(where, "nova")).query)["ssl_ca"] == [TRUST]
    own = urlparse(database_url(where, "nova"))
    # As nova/objects/cell_mapping.py fills a template from nova.conf.
    parts = {
        **{"scheme": own.scheme, "username": own.username, "password": own.password},
        **{"hostname": own.hostname, "port": own.port, "query": own.query},
    }
    found = {
        name: urls.database_connection.format(**parts) for name, urls in cell_urls(where).items()
    }
    assert found == {
        "cell0": database_url(where, "nova_cell0"),
        "cell1": database_url(where, "nova"),
    }


def test_without_tls_a_cells_template_has_no_query() -> None:
    assert "?" not in "".join(urls.database_connection for urls in cell_urls(site()).values())
    assert "?" not in database_url(site(), "nova")


@pytest.mark.parametrize("row", ROWS)
def test_tokens_in_memcached_are_encrypted_on_the_way_or_in_themselves(row: Platform) -> None:
    conf = option_values({f.path: f.content for f in plan(row).files}[row.paths.nova_conf])
    by_tls = conf.get("keystone_authtoken/memcache_tls_enabled") == ["true"]
    strategy = conf.get("keystone_authtoken/memcache_security_strategy")
    assert by_tls is (int(row.nova_version.partition(".")[0]) >= 32)
    assert (conf.get("keystone_authtoken/memcache_tls_cafile") == [TRUST]) is by_tls
    assert (strategy == ["ENCRYPT"]) is not by_tls


def test_what_encrypts_tokens_is_the_same_on_all_controllers_and_of_this_site_alone() -> None:
    """And is made of nothing that no host has: whoever reads it could try guesses at that."""
    key = PASSWORDS.memcache_secret_key
    assert isinstance(key, SecretStr)
    assert key == secrets(tls_secret="u" * 32).memcache_secret_key
    others = [secrets(nova_password="another one"), secrets(database_password="another one")]
    assert key not in [other.memcache_secret_key for other in others]
    conf = rendered(encrypted(), "controller")[NOVA_CONF].content
    assert f"memcache_secret_key = {key.get_secret_value()}\n" in conf
    assert key.get_secret_value() not in "".join(PASSWORDS.values())
    # What of a nova.conf is shown, hides it.
    assert f"memcache_secret_key = {MASK}\n" in Redactor(PASSWORDS).mask(conf)
    computes = rendered(encrypted(), "compute1")
    assert not [path for path, file in computes.items() if key.get_secret_value() in file.content]


# --- what Nova shows ------------------------------------------------------------------------------


@pytest.mark.parametrize("row", ROWS)
def test_the_apis_and_the_console_show_the_hosts_certificate(row: Platform) -> None:
    found = plan(row)
    files, paths = {file.path: file.content for file in found.files}, row.paths
    conf = option_values(files[paths.nova_conf])
    assert conf["DEFAULT/ssl_only"] == ["true"]
    assert (conf["DEFAULT/cert"], conf["DEFAULT/key"]) == ([paths.api_certificate], [paths.api_key])
    assert conf["console/ssl_minimum_version"] == ["tlsv1_2"]
    if row.wsgi == "eventlet":
        assert conf["DEFAULT/enabled_ssl_apis"] == conf["DEFAULT/enabled_apis"]
        assert conf["wsgi/ssl_cert_file"] == [paths.api_certificate]
        assert conf["wsgi/ssl_key_file"] == [paths.api_key]
    elif row.wsgi == "apache":
        for path in (paths.api_site, paths.metadata_site):
            site_file = files[str(path)]
            assert "    SSLEngine on\n" in site_file
            assert f"    SSLCertificateFile {paths.api_certificate}\n" in site_file
            assert f"    SSLCertificateKeyFile {paths.api_key}\n" in site_file
            assert "    SSLProtocol -all +TLSv1.2 +TLSv1.3\n" in site_file
    else:
        for path in (paths.api_default, paths.metadata_default):
            assert f",{paths.api_certificate},{paths.api_key}|" in files[str(path)]
    assert {endpoint.url.partition("://")[0] for endpoint in found.endpoints.values()} == {"https"}


@pytest.mark.parametrize("row", ROWS)
def test_what_is_named_is_written(row: Platform) -> None:
    """Every certificate, key and list of authorities that nova.conf names is a file of ours."""
    where = encrypted({"release": row.release})
    for name in ("controller", "compute1"):
        host = where.hosts[name]
        certificates = issued(where, host, row, {}, NOW)
        there = {file.path for file in certificate_files(where, host, row, certificates)}
        conf = option_values(rendered(where, name, platform=row)[row.paths.nova_conf].content)
        named = {
            value
            for values in conf.values()
            for value in values
            if value.endswith((".pem", ".crt", ".key")) and "://" not in value
        }
        assert TRUST in named
        assert named <= there


@pytest.mark.parametrize(
    "made",
    [
        "--http-socket :8774 --processes 2 --ini /etc/nova/nova-api-uwsgi.ini",
        # With somebody's files in /etc/nova/ssl.
        "--https-socket :8774,/c.crt,/k.pem --processes 2 --ini /etc/nova/nova-api-uwsgi.ini",
    ],
)
def test_debians_init_script_takes_certificate_and_address_from_its_defaults(made: str) -> None:
    """Its last steps, as openstack-pkg-tools has them: arguments, defaults, start."""
    found = plan(debian(), {"apis": {"osapi_compute_listen": "$my_ip"}})
    defaults = {file.path: file.content for file in found.files}["/etc/default/nova-api"]
    script = f'DAEMON_ARGS="{made}"\n{defaults}\necho $DAEMON_ARGS'
    done = subprocess.run(["sh", "-eu", "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    # uwsgi makes a socket's TLS of the ssl-options that it has read before.
    assert done.stdout == (
        "--processes 2 --ini /etc/nova/nova-api-uwsgi.ini --https-socket "
        "10.0.0.11:8774,/etc/pyinfra-nova/tls/api.crt,/etc/pyinfra-nova/tls/api.key\n"
    )


def test_uwsgi_leaves_the_length_in_its_answers() -> None:
    files = {file.path: file.content for file in plan(debian()).files}
    for path in ("/etc/nova/nova-api-uwsgi.ini", "/etc/nova/nova-api-metadata-uwsgi.ini"):
        assert "rem-header" not in files[path]
        assert "\nadd-header = Connection: close\n" in files[path]
    assert "\nrem-header = Content-Length\n" in rendered(site(), "controller")[path].content


@pytest.mark.parametrize(
    ("minimum", "words"),
    [
        ("1.2", {"tlsv1_2", "ssl-option = 67108864", "ssl-option = 268435456"}),
        ("1.3", {"tlsv1_3", "ssl-option = 134217728", "SSLProtocol -all +TLSv1.3"}),
    ],
)
def test_the_oldest_version_of_tls_is_the_settings(minimum: str, words: set[str]) -> None:
    tls = {"tls": {"mode": "internal", "minimum_version": minimum}}
    ubuntu = platform_for("ubuntu", "24.04", "2026.1")
    files = [*plan(debian(), tls).files, *plan(ubuntu, tls).files]
    text = "".join(file.content for file in files)
    assert [word for word in words if word not in text] == []
    assert ("134217728" in text, "+TLSv1.2" in text) == (minimum == "1.3", minimum == "1.2")


def test_the_proxy_asks_screens_with_a_certificate_and_verifies_theirs(tmp_path: Path) -> None:
    vnc = nova_conf(tmp_path, encrypted(), "controller")["vnc"]
    folder = "/etc/pyinfra-nova/tls/screens"
    assert vnc["auth_schemes"] == "vencrypt"
    assert vnc["vencrypt_ca_certs"] == f"{folder}/ca.pem"
    assert vnc["vencrypt_client_cert"] == f"{folder}/client.crt"
    assert vnc["vencrypt_client_key"] == f"{folder}/client.key"
    assert "auth_schemes" not in nova_conf(tmp_path, encrypted(), "compute1")["vnc"]
    without = encrypted({"vnc": {"enabled": False}})
    assert "auth_schemes" not in nova_conf(tmp_path, without, "controller")["vnc"]


# --- what a new certificate restarts --------------------------------------------------------------


@pytest.mark.parametrize("row", ROWS)
def test_a_new_certificate_restarts_those_that_read_it_once(row: Platform) -> None:
    found = plan(row)
    units = {unit.name: unit for unit in found.units("controller") + found.units("compute")}
    paths = row.paths
    for unit in row.units:
        reads_once = bool({"osapi_compute", "metadata"} & {*unit.serves}) and not unit.rereads
        reads = units[unit.name].reads
        assert (paths.api_certificate in reads) is reads_once, unit.name
        assert (paths.api_key in reads) is reads_once, unit.name
        assert (TRUST in reads) is (paths.nova_conf in unit.reads), unit.name


MEANS = {
    "uwsgi": {("nova-api", 8774): "hup", ("nova-api-metadata", 8775): "hup"},
    "apache": {("apache2", 8774): "reload", ("apache2", 8775): "reload"},
    "eventlet": {},
}
"""How what serves the APIs is told of one where it runs, by its port; Nova's own server is not."""


@pytest.mark.parametrize("row", ROWS)
def test_a_new_certificate_is_shown_by_the_ports_of_those_that_are_told_of_it(
    row: Platform,
) -> None:
    found = plan(row)
    made = shown_of(found.certificates["api"].certificate_pem)
    assert {(each.unit, each.port): each.means for each in found.rereading} == MEANS[row.wsgi]
    assert {each.address for each in found.rereading} <= {"10.0.0.11"}
    assert {each.wanted for each in found.rereading} <= {made}
    assert len(made) == 1


@pytest.mark.parametrize("row", ROWS)
def test_without_tls_or_on_a_compute_nobody_is_told(row: Platform) -> None:
    for where, name in ((site({"release": row.release}), "controller"), (encrypted(), "compute1")):
        host = where.hosts[name]
        assert HostPlan(host, where, row, "qemu", scope_of(where, where.hosts)).rereading == ()


@pytest.mark.parametrize("row", ROWS)
def test_without_tls_a_unit_reads_what_it_always_read(row: Platform) -> None:
    where = site({"release": row.release})
    host = where.hosts["controller"]
    found = HostPlan(host, where, row, "qemu", scope_of(where, where.hosts))
    assert {u.name: u.reads for u in found.units("controller")} == {
        unit.name: unit.reads for unit in row.units if unit.role == "controller"
    }


# --- what follows and what is refused -------------------------------------------------------------


def test_urls_are_https_unless_they_are_given() -> None:
    settings = encrypted().settings
    assert settings.keystone.auth_url == "https://controller:5000/v3"
    assert settings.keystone.www_authenticate_uri == "https://controller:5000/v3"
    assert settings.placement.auth_url == settings.neutron.auth_url == settings.keystone.auth_url
    assert settings.endpoints.public == "https://controller:8774/v2.1"
    assert settings.vnc.novncproxy_base_url == "https://controller:6080/vnc_auto.html"
    given = {"keystone": {"auth_url": "https://id.example.org/v3"}, "messaging": {"port": 5999}}
    settings = encrypted(given).settings
    assert settings.placement.auth_url == "https://id.example.org/v3"
    assert settings.messaging.port == 5999
    assert encrypted().settings.messaging.port == 5671
    assert site().settings.messaging.port == 5672


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("keystone", "auth_url", "http://controller:5000/v3"),
        ("keystone", "www_authenticate_uri", "http://controller:5000/v3"),
        ("endpoints", "public", "http://cloud.example.org:8774/v2.1"),
        ("endpoints", "internal", "http://controller:8774/v2.1"),
        ("endpoints", "admin", "http://controller:8774/v2.1"),
        ("placement", "auth_url", "http://controller:5000/v3"),
        ("neutron", "auth_url", "http://controller:5000/v3"),
        ("glance", "api_servers", ["https://a:9292", "http://b:9292"]),
        ("vnc", "novncproxy_base_url", "http://controller:6080/vnc_auto.html"),
    ],
)
def test_plain_text_is_refused_by_its_key_alone(section: str, key: str, value: Any) -> None:
    given = {section: {key: value}}
    plain = value[1] if isinstance(value, list) else value
    problem = f"'{plain}' is not encrypted, and tls.mode is internal"
    remedy = "give the https URL, or leave it out where it is the default's"
    line = f"{section}.{key}: {problem}; {remedy}"
    assert faults(given) == [f"group_data/all.py: {line}"]
    # Through the command line as well, and whichever of the two says that TLS is on.
    assert faults({}, override_data=given) == [f"--data: {line}"]
    mode = {"tls": {"mode": "internal"}}
    assert faults({"tls": {"mode": "off"}, **given}, override_data=mode)
    off = {"tls": {"mode": "off"}}
    assert encrypted(given, override_data=off).settings.tls.is_on is False


def test_an_unknown_mode_is_told_once() -> None:
    (fault,) = faults({"tls": {"mode": "on"}})
    assert "tls.mode" in fault


def test_a_computes_files_hold_no_certificate_of_the_apis() -> None:
    files = rendered(encrypted(), "compute1")
    text = files[NOVA_CONF].content + files[COMPUTE_CONF].content
    assert "/etc/pyinfra-nova/tls/api" not in text
    assert "ssl_only" not in text


# --- what nova_conf may say -----------------------------------------------------------------------


@pytest.mark.parametrize("release", VERSIONS)
def test_what_tls_decides_is_anybodys_where_it_is_off(release: str) -> None:
    known = load(release)
    for section, _, name in (option.partition("/") for option in owners.ENCRYPTED):
        if not (found := known.option(section, name)):
            continue
        former = [old.rpartition("/") for old in found.data.get("former", ())]
        for group, old in ((section, name), *((g or section, n) for g, _, n in former)):
            refused = owners.refusal(group, old, release, is_encrypted=True)
            assert refused is not None, (group, old)
            assert refused.remedy == "set `tls`"
            assert owners.refusal(group, old, release) is None


def test_a_site_with_tls_refuses_what_would_weaken_it() -> None:
    literal = {"nova_conf": {"placement": {"insecure": True}}}
    assert site(literal).hosts["compute1"].nova_conf == {"placement": {"insecure": True}}
    problem = "nova_conf.placement.insecure: is decided by the settings; set `tls`"
    assert faults(literal) == [f"group_data/all.py: {problem}"]
