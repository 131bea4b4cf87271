"""An endpoint that is moved is moved everywhere: files, URLs, units, ports, what is asked."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

from pyinfra_nova.knowledge.platforms import Platform, platform_for, table
from pyinfra_nova.nova_conf.ini import option_values
from pyinfra_nova.proof import site_proof
from pyinfra_nova.proof.host_proof import question
from pyinfra_nova.run.host_plan import HostPlan
from pyinfra_nova.site.faults import SettingsError
from pyinfra_nova.site.run_scope import scope_of
from tests.unit.site_data import debian, secrets, site
from tests.unit.tls_stand_in import SECRET

ROWS = [pytest.param(row, id=f"{row.system} {row.release}") for row in table().platforms]
MOVED: dict[str, Any] = {
    "apis": {
        "osapi_compute_listen": "$my_ip",
        "osapi_compute_listen_port": 9774,
        "metadata_listen": "127.0.0.1",
        "metadata_listen_port": 9775,
    },
    "vnc": {"novncproxy_host": "127.0.0.1", "novncproxy_port": 7080},
}


def plan(settings: dict[str, Any], platform: Platform) -> HostPlan:
    where = site({"release": platform.release, **settings})
    host = where.hosts["controller"]
    return HostPlan(host, where, platform, "qemu", scope_of(where, where.hosts))


def texts(found: HostPlan) -> dict[str, str]:
    return {file.path: file.content for file in found.files}


@pytest.mark.parametrize("row", ROWS)
def test_what_serves_the_apis_is_told_where(row: Platform) -> None:
    files = texts(plan(MOVED, row))
    conf = option_values(files[row.paths.nova_conf])
    assert conf["vnc/novncproxy_host"] == ["127.0.0.1"]
    assert conf["vnc/novncproxy_port"] == ["7080"]
    if row.wsgi == "eventlet":
        assert conf["DEFAULT/osapi_compute_listen"] == ["10.0.0.11"]
        assert conf["DEFAULT/osapi_compute_listen_port"] == ["9774"]
        assert conf["DEFAULT/metadata_listen"] == ["127.0.0.1"]
        assert conf["DEFAULT/metadata_listen_port"] == ["9775"]
    elif row.wsgi == "apache":
        assert "\nListen 10.0.0.11:9774\n" in files[str(row.paths.api_site)]
        assert "<VirtualHost *:9774>" in files[str(row.paths.api_site)]
        assert "\nListen 127.0.0.1:9775\n" in files[str(row.paths.metadata_site)]
    else:
        assert "-socket 10.0.0.11:9774/" in files[str(row.paths.api_default)]
        assert "-socket 127.0.0.1:9775/" in files[str(row.paths.metadata_default)]


def test_each_is_asked_from_its_host_for_what_only_it_has() -> None:
    found = plan(MOVED, debian()).endpoints.values()
    assert [(one.title, one.url + one.page, one.holds, one.bind) for one in found] == [
        ("the compute API", "http://10.0.0.11:9774/", '"versions"', "10.0.0.11:9774"),
        ("the metadata API", "http://127.0.0.1:9775/", "latest", "127.0.0.1:9775"),
        ("noVNC", "http://127.0.0.1:7080/vnc_lite.html", "noVNC", "127.0.0.1:7080"),
    ]
    found = plan({}, debian()).endpoints.values()
    assert [(one.url, one.bind) for one in found] == [
        ("http://10.0.0.11:8774/", ":8774"),
        ("http://10.0.0.11:8775/", ":8775"),
        ("http://10.0.0.11:6080/", ":6080"),
    ]


@pytest.mark.parametrize("row", ROWS)
def test_a_unit_reads_what_tells_it_where(row: Platform) -> None:
    reads = {path for unit in row.units for path in unit.reads}
    paths = row.paths
    places = (paths.api_default, paths.metadata_default, paths.api_site, paths.metadata_site)
    assert {path for path in places if path} <= reads


@pytest.mark.parametrize("row", ROWS)
def test_units_are_asked_there(row: Platform) -> None:
    urls = {unit.url for unit in plan(MOVED, row).units("controller")}
    assert "http://10.0.0.11:9774/" in urls
    assert "http://127.0.0.1:7080/" in urls
    assert not [url for url in urls if url and (":877" in url or ":6080" in url)]


def test_what_the_deploy_waits_for_and_the_verification_asks() -> None:
    found = plan(MOVED, debian()).endpoints
    assert [endpoint.url for endpoint in found.values()] == [
        "http://10.0.0.11:9774/",
        "http://127.0.0.1:9775/",
        "http://127.0.0.1:7080/",
    ]
    usual = plan({}, debian()).endpoints
    assert {endpoint.asked_at for endpoint in usual.values()} == {"10.0.0.11"}


def test_firewalld_opens_the_ports_that_are_listened_at() -> None:
    rocky = platform_for("rocky", "9.5", "2023.1")
    assert plan(MOVED, rocky).ports == ("9774/tcp", "9775/tcp", "7080/tcp")


def test_the_catalogue_and_the_consoles_follow_unless_they_are_given() -> None:
    settings = site(MOVED).settings
    assert settings.endpoints.public == "http://controller:9774/v2.1"
    assert settings.vnc.novncproxy_base_url == "http://controller:7080/vnc_auto.html"
    given = {"endpoints": {"public": "https://cloud.example.org/compute"}}
    settings = site({**MOVED, **given}).settings
    assert settings.endpoints.public == "https://cloud.example.org/compute"
    assert settings.endpoints.internal == "http://controller:9774/v2.1"


@pytest.mark.parametrize("row", ROWS)
def test_what_is_switched_off_is_neither_started_nor_asked(row: Platform) -> None:
    found = plan({"vnc": {"enabled": False}, "enabled_apis": ["metadata"]}, row)
    assert "novncproxy" not in found.endpoints
    assert not [unit for unit in found.units("controller") if "novncproxy" in unit.name]
    assert ("osapi_compute" in found.endpoints) is (row.wsgi != "eventlet")


def test_a_compute_has_no_endpoint() -> None:
    where = site()
    host = where.hosts["compute1"]
    assert HostPlan(host, where, debian(), "qemu", scope_of(where, where.hosts)).endpoints == {}


@pytest.mark.parametrize(
    "apis", [{"metadata_listen_port": 8774}, {"osapi_compute_listen_port": 6080}]
)
def test_one_port_for_two_is_refused(apis: dict[str, int]) -> None:
    with pytest.raises(SettingsError, match=r"all.py: apis: .* need a port each"):
        site({"apis": apis})


@pytest.mark.parametrize(
    ("made", "moved"),
    [
        ("--http-socket :8774 --ini /x", "--http-socket 10.0.0.11:9774 --ini /x"),
        ("--https-socket :8774,/c,/k --ini /x", "--https-socket 10.0.0.11:9774,/c,/k --ini /x"),
    ],
)
def test_debians_init_script_takes_it_from_its_defaults(made: str, moved: str) -> None:
    """Its last steps, as openstack-pkg-tools has them: arguments, defaults, start."""
    defaults = texts(plan(MOVED, debian()))["/etc/default/nova-api"]
    script = f'DAEMON_ARGS="{made}"\n{defaults}\necho $DAEMON_ARGS'
    done = subprocess.run(["sh", "-eu", "-c", script], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == (moved + "\n", "")
    usual = texts(plan({}, debian()))["/etc/default/nova-api"]
    script = f'DAEMON_ARGS="{made}"\n{usual}\necho $DAEMON_ARGS'
    done = subprocess.run(["sh", "-eu", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == made + "\n"


# --- what the proof asks --------------------------------------------------------------------------


def test_the_proof_asks_where_nova_conf_puts_things() -> None:
    literal = {
        "DEFAULT": {"instances_path": "/srv/guests", "update_resources_interval": 600},
        "libvirt": {"connection_uri": "qemu:///other"},
    }
    where = site(MOVED, group_data={"computes": {"nova_conf": literal}})

    def asked(name: str) -> dict[str, Any]:
        scope = scope_of(where, where.hosts)
        return question(HostPlan(where.hosts[name], where, debian(), "qemu", scope), [])

    compute = asked("compute1")
    assert "/srv/guests" in compute["folders"]
    assert (compute["libvirt"], compute["audit_interval"]) == ("qemu:///other", 600)
    assert asked("controller")["websocket"] == "http://127.0.0.1:7080/"


def test_where_anything_is_encrypted_each_of_them_is() -> None:
    encrypted = {"tls": {"mode": "internal"}, **MOVED}
    where = site(encrypted, passwords=secrets(tls_secret=SECRET))
    host = where.hosts["controller"]
    found = HostPlan(host, where, debian(), "qemu", scope_of(where, where.hosts))
    assert [endpoint.url for endpoint in found.endpoints.values()] == [
        "https://10.0.0.11:9774/",
        "https://127.0.0.1:9775/",
        "https://127.0.0.1:7080/",
    ]
    assert question(found, [])["websocket"] == "https://127.0.0.1:7080/"
    urls = [unit.url for unit in found.units("controller") if unit.url]
    assert urls and all(url.startswith("https://") for url in urls)


# --- reports of services --------------------------------------------------------------------------

SLOW = {"report_interval": 60, "service_down_time": 180}


@pytest.mark.parametrize("name", ["controller", "compute1"])
def test_services_report_as_the_settings_say(name: str) -> None:
    where = site(SLOW)
    found = HostPlan(where.hosts[name], where, debian(), "qemu", scope_of(where, where.hosts))
    conf = option_values(texts(found)["/etc/nova/nova.conf"])
    assert conf["DEFAULT/report_interval"] == ["60"]
    assert conf["DEFAULT/service_down_time"] == ["180"]
    assert site_proof.question(found, {})["down_time"] == 180


@pytest.mark.parametrize("numbers", [{"report_interval": 31}, {"service_down_time": 10}])
def test_a_service_is_not_called_down_between_two_reports(numbers: dict[str, int]) -> None:
    with pytest.raises(
        SettingsError, match="service_down_time: is less than twice report_interval"
    ):
        site(numbers)
