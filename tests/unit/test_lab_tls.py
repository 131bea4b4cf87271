"""The lab's services where the site encrypts: certificates, and what both ends are told."""

from __future__ import annotations

import datetime as dt
import importlib.util
import re
import socket
import ssl
import subprocess
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from lab.cloud import (
    Cloud,
    catalogue,
    ceph,
    certificates,
    daemons,
    data_stores,
    rendered_files,
    rereading,
)
from lab.cloud.package_names import packages_of
from pyinfra_nova.knowledge.platforms import platforms_of
from pyinfra_nova.nova_conf.certificate_files import certificate_files as nova_certificate_files
from pyinfra_nova.nova_conf.config_file import ConfigFile
from pyinfra_nova.site.faults import SettingsError
from pyinfra_nova.site.tls import TRUST

from .test_lab_cloud import NOVA, cloud

SCRIPT = Path(__file__).resolve().parents[2] / "lab" / "files" / "certificates.py"
NOW = dt.datetime(2026, 3, 1, 12, tzinfo=dt.timezone.utc)
LATER = dt.timedelta(days=1)
PLAIN_MEMCACHED = ("bookworm", "trixie")
ALL_KINDS = sorted(NOVA)


def encrypted(debian: str = "bookworm") -> Cloud:
    return cloud(debian, block_storage=True, tls="internal")


def certificate_files(
    where: Cloud, found: Mapping[str, str] | None = None, now: dt.datetime = NOW
) -> dict[str, ConfigFile]:
    files = certificates.certificate_files(where, "controller", found or {}, now)
    return {file.path: file for file in files}


def controller_files(where: Cloud) -> dict[str, ConfigFile]:
    files = [
        *rendered_files.agent_files(where, "controller"),
        *rendered_files.base_files(where, "controller"),
        *rendered_files.service_files(where, "controller"),
    ]
    return {file.path: file for file in files}


def written(folder: Path, files: Mapping[str, ConfigFile]) -> None:
    for path, file in files.items():
        target = folder / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(file.content)


# --- certificates ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What an encrypted controller has, from certificates that are good now."""
    folder = tmp_path_factory.mktemp("controller")
    where = encrypted()
    written(folder, certificate_files(where, now=dt.datetime.now(dt.timezone.utc)))
    written(folder, controller_files(where))
    return folder


def shaken_hands(tree: Path, server: certificates.Server, name: str) -> str:
    """The version of TLS that a client that trusts ca.pem and asks for NAME speaks with SERVER."""
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate, key = (str(tree) + path for path in server.reads)
    serving.load_cert_chain(certificate, key)
    asking = ssl.create_default_context(cafile=str(tree) + TRUST)
    ours, theirs = socket.socketpair()

    def serve() -> None:
        try:
            serving.wrap_socket(theirs, server_side=True).close()
        except OSError:
            theirs.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with asking.wrap_socket(ours, server_hostname=name) as stream:
            return stream.version() or ""
    finally:
        thread.join()


@pytest.mark.parametrize("name", ["controller", "10.0.0.11", "localhost", "127.0.0.1"])
def test_each_server_is_believed_by_whom_trusts_what_every_host_has(tree: Path, name: str) -> None:
    for server in certificates.servers(encrypted()):
        assert shaken_hands(tree, server, name) == "TLSv1.3"


def test_no_server_is_believed_to_be_another_host(tree: Path) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="compute1"):
        shaken_hands(tree, certificates.SERVERS["mysql"], "compute1")


def test_each_key_is_another_one_and_read_by_its_own_service_alone() -> None:
    files, where = certificate_files(encrypted()), encrypted()
    keys = {server.user: files[server.key_path] for server in certificates.servers(where)}
    assert len({key.content for key in keys.values()}) == len(keys) == 7
    for user, key in keys.items():
        assert (key.owner, key.group, key.mode, key.hidden) == ("root", user, "0640", True)
        assert "PRIVATE KEY" in key.content and key.content not in repr(key)
    for server in certificates.servers(where):
        assert "PRIVATE" not in files[server.path].content


def test_the_key_is_there_before_what_makes_an_init_script_look_for_it() -> None:
    paths = list(certificate_files(encrypted()))
    for server in certificates.servers(encrypted()):
        assert paths.index(server.key_path) < paths.index(server.path)


def test_certificates_that_are_right_stay_and_keep_their_keys() -> None:
    where = encrypted()
    first = certificate_files(where)
    found = {path: first[path].content for path in certificates.certificate_paths(where)}
    assert len(found) == 7
    assert certificate_files(where, found, NOW + LATER) == first


def test_what_a_host_has_is_read_from_it(tree: Path) -> None:
    spec = importlib.util.spec_from_file_location("certificates", SCRIPT)
    assert spec and spec.loader
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    paths = [str(tree) + path for path in certificates.certificate_paths(encrypted())]
    asked = [*paths, str(tree / "absent.crt"), paths[0] + "/below"]
    found = script.answer({"paths": asked})["certificates"]
    assert list(found) == paths
    assert found == {path: Path(path).read_text() for path in paths}


def test_one_that_ends_soon_is_renewed_and_the_others_stay() -> None:
    where = encrypted()
    tls = where.site.settings.tls
    old, path = certificate_files(where), certificates.SERVERS["rabbitmq"].path
    due = NOW + dt.timedelta(days=tls.days - tls.renew_days)
    fresh = certificate_files(where, now=due - LATER)
    found = {**{p: fresh[p].content for p in certificates.certificate_paths(where)}}
    found[path] = old[path].content
    now = certificate_files(where, found, due)
    changed = {p for p in now if now[p].content != fresh[p].content}
    assert changed == set(certificates.SERVERS["rabbitmq"].reads)
    assert now[path].content != old[path].content


def test_without_the_secret_that_they_are_made_of_there_is_a_command_that_makes_it() -> None:
    where = encrypted()
    secrets = where.site.secrets.model_copy(update={"tls_secret": None})
    bare = replace(where, site=replace(where.site, secrets=secrets))
    with pytest.raises(SettingsError, match="add-tls-secret"):
        certificate_files(bare)


def test_where_the_site_makes_certificates_all_servers_show_the_one_of_their_host(
    tmp_path: Path,
) -> None:
    made, mysql = certificate_files(encrypted()), certificates.SERVERS["mysql"]
    (tmp_path / "controller").mkdir()
    certificate, key = (tmp_path / "controller" / f"service.{end}" for end in ("crt", "key"))
    certificate.write_text(made[mysql.path].content)
    key.touch(mode=0o600)
    key.write_text(made[mysql.key_path].content)
    (tmp_path / "services-ca.pem").write_text(controller_files(encrypted())[TRUST].content)
    where = cloud("bookworm", tls="provided", certificates=str(tmp_path))
    files = certificate_files(where)
    for server in certificates.servers(where):
        assert files[server.path].content == made[mysql.path].content
        assert files[server.key_path].content == made[mysql.key_path].content
        assert files[server.key_path].group == server.user
    key.chmod(0o644)
    with pytest.raises(SettingsError, match=r"controller/service\.key: may be read by others"):
        certificate_files(where)


def test_all_hosts_are_told_of_the_same_authorities_as_by_nova_s_own_deploy() -> None:
    where = encrypted()
    host = where.site.primary_controller
    (platform,) = platforms_of("zed")[:1]
    theirs = {f.path: f for f in nova_certificate_files(where.site, host, platform, {})}
    assert controller_files(where)[TRUST] == theirs[TRUST]


# --- what Debian's packages make of them ----------------------------------------------------------

FOUND_BY_INIT_SCRIPTS = """
find "$1/private" -type f -iname '*.pem' 2>/dev/null | head -n 1
find "$1/public" -type f -iname '*.crt' 2>/dev/null | head -n 1
find "$1/ca" -type f -iname '*.pem' 2>/dev/null | head -n 1
"""
"""As openstack-pkg-tools has it in each init script; with the last one, which is sid's, clients
would have to show certificates."""


@pytest.mark.parametrize("project", ["keystone", "placement", "cinder", "neutron", "glance"])
def test_debian_s_init_scripts_find_certificate_and_key(tree: Path, project: str) -> None:
    ssl_folder = tree / "etc" / project / "ssl"
    command = ["sh", "-c", FOUND_BY_INIT_SCRIPTS, "sh", str(ssl_folder)]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    server = certificates.SERVERS[project]
    assert found == [str(tree) + server.key_path, str(tree) + server.path]


@pytest.mark.parametrize("debian", ALL_KINDS)
def test_uwsgi_keeps_the_length_of_an_answer_where_it_speaks_tls(debian: str) -> None:
    path = "/etc/keystone/keystone-uwsgi.ini"
    assert "rem-header" not in controller_files(encrypted(debian))[path].content
    assert "rem-header = Content-Length\n" in controller_files(cloud(debian))[path].content


@pytest.mark.parametrize("debian", PLAIN_MEMCACHED)
def test_stunnel_speaks_tls_for_glance_whose_own_server_does_not(debian: str) -> None:
    where = encrypted(debian)
    files = controller_files(where)
    conf = files["/etc/glance/glance-api.conf"].content
    assert "bind_host = 127.0.0.1\n" in conf
    assert "public_endpoint = https://controller:9292\n" in conf
    proxy = files[certificates.GLANCE_TLS_CONF].content
    assert "accept = 10.0.0.11:9292\nconnect = 127.0.0.1:9292\n" in proxy
    assert "stunnel4" in packages_of(where, "controller")
    assert certificates.GLANCE_TLS in {unit.name for unit in daemons.service_units(where)}


def test_where_uwsgi_serves_glance_nothing_is_before_it() -> None:
    where = encrypted("sid")
    files = controller_files(where)
    assert not {certificates.GLANCE_TLS_CONF, certificates.GLANCE_TLS_UNIT} & set(files)
    assert "bind_host" not in files["/etc/glance/glance-api.conf"].content
    assert "stunnel4" not in packages_of(where, "controller")
    assert certificates.GLANCE_TLS not in {unit.name for unit in daemons.service_units(where)}
    made = list(certificate_files(where).values())
    (glance,) = rereading.servers(where, made, ["glance"])
    assert (glance.unit, glance.port, glance.means) == ("glance-api.service", 9292, "hup")


# --- what servers and clients are told ------------------------------------------------------------


@pytest.mark.parametrize("debian", ALL_KINDS)
def test_nothing_of_an_encrypted_site_has_a_url_in_plain_text(debian: str) -> None:
    where = encrypted(debian)
    for path, file in controller_files(where).items():
        assert "http://" not in file.content, path
        assert ":5672" not in file.content, path
    entries = (catalogue.keystone_entries(where), catalogue.storage_entries(where))
    urls = [one.url for each in entries for one in each.endpoints]
    urls += [each.url for each in catalogue.answers(where, "identity", "image", "placement")]
    urls += [each.url for each in catalogue.cinder_answers(where)]
    urls += [word for word in catalogue.bootstrap_command(where) if "://" in word]
    assert urls and all(url.startswith("https://controller:") for url in urls)


@pytest.mark.parametrize("debian", ALL_KINDS)
def test_all_clients_verify(debian: str) -> None:
    files = controller_files(encrypted(debian))
    for project in ("glance/glance-api", "placement/placement", "neutron/neutron", "cinder/cinder"):
        content = files[f"/etc/{project}.conf"].content
        sections = {part.split("]")[0]: part for part in content.split("\n[")}
        for name in {"keystone_authtoken", "placement", "nova"} & set(sections):
            assert f"\ncafile = {TRUST}\n" in sections[name], (project, name)
        urls = [line for line in content.splitlines() if line.startswith("connection = ")]
        assert [url.endswith(f"?ssl_ca={TRUST}") for url in urls] == [True]
        if "transport_url" in content:
            broker = sections["oslo_messaging_rabbit"]
            assert f"ssl = true\nssl_ca_file = {TRUST}\n" in broker
            # Off by default in both Debians.
            assert "ssl_enforce_hostname_verification = true\n" in broker
    agent = files["/etc/neutron/metadata_agent.ini"].content
    assert f"nova_metadata_protocol = https\nauth_ca_cert = {TRUST}\n" in agent
    clouds = files["/root/.config/openstack/clouds.yaml"].content
    assert f'"cacert": "{TRUST}"' in clouds


def test_a_compute_s_agent_verifies_the_broker() -> None:
    files = {file.path: file for file in rendered_files.agent_files(encrypted(), "compute1")}
    assert "BEGIN CERTIFICATE" in files[TRUST].content
    conf = files["/etc/neutron/neutron.conf"].content
    assert "@controller:5671/\n" in conf
    assert f"ssl_ca_file = {TRUST}\n" in conf
    # It serves nothing.
    assert "use_ssl" not in conf and "[ssl]" not in conf


def test_database_and_broker_take_no_plain_text() -> None:
    files = controller_files(encrypted())
    assert (
        "require_secure_transport = ON\n" in files["/etc/mysql/mariadb.conf.d/90-lab.cnf"].content
    )
    broker = files["/etc/rabbitmq/rabbitmq.conf"].content
    assert "listeners.tcp = none\nlisteners.ssl.default = 5671\n" in broker
    assert "ssl_options.client_renegotiation = false\n" in broker
    assert "ssl_options.ciphers.9 = ECDHE-RSA-CHACHA20-POLY1305\n" in broker
    # Where users are looked for there.
    assert {user.port for user in data_stores.broker_users(encrypted())} == {5671}
    assert {user.port for user in data_stores.broker_users(cloud("bookworm"))} == {5672}


def test_ceph_speaks_its_second_protocol_alone_and_encrypted() -> None:
    where = encrypted()
    conf = controller_files(where)["/etc/ceph/ceph.conf"].content
    assert "ms_bind_msgr1 = false\n" in conf
    modes = [line.split(" = ") for line in conf.splitlines() if "_mode = " in line]
    assert {mode: value for mode, value in modes if mode.startswith("ms_")} == {
        f"ms_{who}_mode": "secure"
        for part in ("cluster", "service", "client")
        for who in (part, f"mon_{part}")
    }
    assert ceph.ceph_request(where)["listens"] == "[v2:10.0.0.11:3300]"


def test_in_plain_text_ceph_is_as_it_comes() -> None:
    where = cloud("bookworm", block_storage=True)
    assert "\nms_" not in controller_files(where)["/etc/ceph/ceph.conf"].content
    both = "[v2:10.0.0.11:3300,v1:10.0.0.11:6789]"
    assert ceph.ceph_request(where)["listens"] == both


def test_a_later_minimum_leaves_out_the_older_version() -> None:
    where = encrypted()
    tls = where.site.settings.tls.model_copy(update={"minimum_version": "1.3"})
    settings = where.site.settings.model_copy(update={"tls": tls})
    files = controller_files(replace(where, site=replace(where.site, settings=settings)))
    assert "tls_version = TLSv1.3\n" in files["/etc/mysql/mariadb.conf.d/90-lab.cnf"].content
    broker = files["/etc/rabbitmq/rabbitmq.conf"].content
    assert not re.search("tlsv1.2|ECDHE|renegotiation", broker)
    assert "ciphers.3 = TLS_CHACHA20_POLY1305_SHA256\n" in broker
    assert "ssl-option = 134217728\n" in files["/etc/keystone/keystone-uwsgi.ini"].content
    assert int(ssl.OP_NO_TLSv1_2) == 134217728
    assert "sslVersionMin = TLSv1.3\n" in files[certificates.GLANCE_TLS_CONF].content


@pytest.mark.parametrize("debian", PLAIN_MEMCACHED)
def test_what_goes_to_memcached_is_encrypted_where_its_clients_know_no_tls(debian: str) -> None:
    files = controller_files(encrypted(debian))
    assert "-Z" not in files["/etc/memcached.conf"].content
    for project in ("glance/glance-api", "placement/placement", "neutron/neutron", "cinder/cinder"):
        assert "memcache_security_strategy = ENCRYPT\n" in files[f"/etc/{project}.conf"].content


@pytest.mark.parametrize("debian", ALL_KINDS)
def test_what_listens_at_an_address_waits_for_it_after_a_boot(debian: str) -> None:
    where = encrypted(debian)
    files = controller_files(where)
    units = {unit.name: unit for unit in daemons.base_units(where)}
    drop_in = units["memcached.service"].dropin
    assert drop_in is not None
    waiting = [files[drop_in], *(files[p] for p in files if p == certificates.GLANCE_TLS_UNIT)]
    assert len(waiting) == (1 if debian == "sid" else 2)
    for file in waiting:
        assert "StartLimitIntervalSec=0\n" in file.content
        assert "RestartSec=1\n" in file.content


def test_memcached_speaks_tls_where_its_clients_do_and_plain_text_to_its_own_host() -> None:
    files = controller_files(encrypted("sid"))
    lines = files["/etc/memcached.conf"].content.splitlines()
    assert {"-Z", "-l notls:127.0.0.1", "-l 10.0.0.11"} < set(lines)
    assert "memcache_tls_enabled = true\n" in files["/etc/cinder/cinder.conf"].content
    assert "memcache_servers = 127.0.0.1:11211\n" in files["/etc/keystone/keystone.conf"].content
    assert certificates.SERVERS["memcache"] in certificates.servers(encrypted("sid"))
