"""The checker of hand-written configuration files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from oslo_config import cfg, iniparser, types

from pyinfra_nova.knowledge.releases import VERSIONS, load
from pyinfra_nova.nova_conf.check import Finding, NotIni, Role, Source, findings
from pyinfra_nova.nova_conf.check.__main__ import main
from pyinfra_nova.nova_conf.check.config import Config
from pyinfra_nova.nova_conf.check.values import problem
from pyinfra_nova.nova_conf.ini import parse
from pyinfra_nova.nova_conf.render import files_for
from pyinfra_nova.site.settings import Site
from tests.unit.site_data import all_in_one, debian, site

DATA = Path(__file__).with_name("data")
SEED_SECRETS = (
    *("RABBITPASS", "NOVAPASS", "NOVASERVICEPASS", "PLACEMENTPASS", "NEUTRONPASS"),
    "METADATASECRET",
)


def check(text: str, role: Role = "controller", release: str = "zed") -> list[Finding]:
    return findings([Source("nova.conf", text)], release, role)


def about(found: list[Finding], section: str, option: str = "") -> list[Finding]:
    return [f for f in found if (f.section, f.option) == (section, option)]


def one(found: list[Finding], section: str, option: str = "") -> Finding:
    (finding,) = about(found, section, option)
    return finding


def of_option(text: str, release: str = "zed", role: Role = "controller") -> list[Finding]:
    """What is said of the lines of TEXT, not of what it lacks."""
    return [f for f in check(text, role, release) if f.kind not in ("missing", "insecure")]


# --- the files of a common guide ------------------------------------------------------------------


def seed(role: Role) -> list[Finding]:
    file = DATA / f"seed-{role}.conf"
    return findings([Source(file.name, file.read_text(encoding="utf-8"))], "zed", role)


@pytest.mark.parametrize(
    ("role", "line", "kind", "section", "option"),
    [
        ("controller", 4, "removed", "DEFAULT", "use_neutron"),
        ("controller", 5, "removed", "DEFAULT", "firewall_driver"),
        ("controller", 26, "deprecated", "glance", "api_servers"),
        ("controller", 14, "insecure", "keystone_authtoken", "service_token_roles_required"),
        ("controller", 0, "insecure", "service_user", "send_service_user_token"),
        ("controller", 0, "missing", "oslo_concurrency", "lock_path"),
        ("controller", 0, "missing", "cinder", "os_region_name"),
        ("controller", 0, "missing", "cinder", "auth_type"),
        ("controller", 52, "misplaced", "vnc", "server_listen"),
        ("controller", 54, "misplaced", "vnc", "novncproxy_base_url"),
        ("controller", 56, "misplaced", "libvirt", ""),
        ("compute", 4, "removed", "DEFAULT", "use_neutron"),
        ("compute", 5, "removed", "DEFAULT", "firewall_driver"),
        ("compute", 25, "deprecated", "glance", "api_servers"),
        ("compute", 8, "insecure", "api_database", "connection"),
        ("compute", 11, "insecure", "database", "connection"),
        ("compute", 13, "misplaced", "keystone_authtoken", ""),
        ("compute", 0, "missing", "neutron", "auth_type"),
        ("compute", 0, "insecure", "service_user", "send_service_user_token"),
        ("compute", 0, "missing", "oslo_concurrency", "lock_path"),
        ("compute", 0, "missing", "cinder", "os_region_name"),
        ("compute", 0, "missing", "cinder", "auth_type"),
        ("compute", 39, "insecure", "vnc", "server_listen"),
        ("compute", 37, "missing", "vnc", "novncproxy_base_url"),
        ("compute", 43, "misplaced", "libvirt", "virt_type"),
    ],
)
def test_every_defect_of_the_guide_is_found(
    role: Role, line: int, kind: str, section: str, option: str
) -> None:
    found = [f for f in about(seed(role), section, option) if f.kind == kind]
    assert [f.line for f in found][:1] == [line]
    assert found[0].problem
    assert found[0].remedy
    assert found[0].source


@pytest.mark.parametrize("role", ["controller", "compute"])
def test_its_right_lines_are_left_alone(role: Role) -> None:
    right = {"my_ip", "auth_url", "www_authenticate_uri", "memcached_servers", "auth_type"}
    right |= {"username", "project_name", "region_name", "service_metadata_proxy", "enabled"}
    assert not [f for f in seed(role) if f.option in right and f.kind != "missing"]


@pytest.mark.parametrize("role", ["controller", "compute"])
def test_a_missing_login_to_cinder_is_a_warning_and_a_half_one_an_error(role: Role) -> None:
    """A cloud may have no volumes, so that preflight has to let it pass."""
    assert one(check("", role), "cinder", "auth_type").level == "warning"
    half = "[cinder]\nauth_type = password\nauth_url = http://controller:5000/v3\n"
    assert one(check(half, role), "cinder", "username").level == "error"
    elsewhere = "[cinder]\nauth_section = service_user\n[service_user]\nauth_type = v3token\n"
    assert not about(check(elsewhere, role), "cinder", "auth_type")


def test_its_placeholders_are_no_passwords() -> None:
    placeholder = "a guide's placeholder, or a password that everybody knows"
    found = [f.line for f in seed("controller") if f.problem == placeholder]
    assert found == [2, 9, 12, 22, 32, 46, 48]


@pytest.mark.parametrize("password", ["NOVA_DBPASS", "RABBIT_PASS", "NOVAPASS", "PASSWORD"])
def test_the_placeholder_of_any_guide_is_known(password: str) -> None:
    text = f"[database]\nconnection = mysql+pymysql://nova:{password}@controller/nova\n"
    assert "placeholder" in one(check(text), "database", "connection").problem


def test_a_newer_release_reads_less_of_it() -> None:
    text = (DATA / "seed-controller.conf").read_text(encoding="utf-8")
    assert not about(check(text, release="2025.1"), "DEFAULT", "enabled_apis")
    finding = one(check(text, release="2025.2"), "DEFAULT", "enabled_apis")
    assert finding.kind == "removed"
    assert "Nova 32" in finding.problem


# --- the files of this project --------------------------------------------------------------------


def sources(where: Site, name: str, virt_type: Any = "kvm") -> list[Source]:
    files = files_for(where, where.hosts[name], debian(), virt_type)
    return [Source(file.path, file.content, int(file.mode, 8)) for file in files if file.oslo]


@pytest.mark.parametrize("release", VERSIONS)
@pytest.mark.parametrize("virt_type", ["kvm", "qemu"])
@pytest.mark.parametrize("role", ["controller", "compute", "all-in-one"])
def test_nothing_is_wrong_with_what_is_rendered(role: Role, virt_type: str, release: str) -> None:
    where = all_in_one() if role == "all-in-one" else site()
    name = {"controller": "controller", "compute": "compute1", "all-in-one": "aio"}[role]
    assert findings(sources(where, name, virt_type), release, role) == []


def test_an_override_that_makes_it_wrong_is_found() -> None:
    where = site({"nova_conf": {"vnc": {"enabeld": True}, "DEFAULT": {"debug": "maybe"}}})
    found = findings(sources(where, "compute1"), "zed", "compute")
    assert one(found, "vnc", "enabeld").remedy == "did you mean enabled?"
    assert one(found, "DEFAULT", "debug").problem.startswith("'maybe' is not true or false")


# --- options --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "release", "kind", "said"),
    [
        ("[pci]\npassthrough_whitelist = {}", "zed", "renamed", "[pci] device_spec"),
        ("[DEFAULT]\nosapi_max_limit = 9", "zed", "renamed", "[api] max_limit"),
        ("[api]\nuse_forwarded_for = true", "2023.2", "deprecated", "Nova 29 does not read it"),
        ("[api]\nuse_forwarded_for = true", "2024.1", "removed", "leave it out"),
        ("[placement]\nos_region_name = x", "zed", "removed", "[placement] region_name"),
        ("[service_user]\nauth_strategy = x", "zed", "removed", "leave it out"),
        ("[cells]\nenable = false", "zed", "removed", "leave it out"),
        ("[DEFAULT]\nmy_pi = 1", "zed", "unknown", "did you mean my_ip?"),
        ("[DEFAULT]\nmy-ip = 10.0.0.1", "zed", "unknown", "write it as my_ip"),
        ("[DEFAULT]\nvirt_type = kvm", "zed", "unknown", "it belongs in [libvirt]"),
        (
            "[manila]\nshare_apply_policy_timeout = 9",
            "zed",
            "unknown",
            "leave it out for this release",
        ),
        ("[manila]\nshare_apply_policy_timeout = 9", "2026.2", "", ""),
        ("[Neutron]\nregion_name = x", "zed", "", ""),
        ("[mdev_nvidia-35]\nmdev_class = VGPU", "zed", "", ""),
        ("[mdev_nvidia-35]\nmdev_class = X", "zed", "value", "default VGPU"),
        ("[vgpu_nvidia-35]\ndevice_addresses = x", "zed", "renamed", "[mdev_nvidia-35]"),
        ("[cinder]\nusername = x", "zed", "", ""),
        ("[cinder]\nuser-name = x", "zed", "renamed", "[cinder] username"),
    ],
)
def test_what_becomes_of_an_option(text: str, release: str, kind: str, said: str) -> None:
    found = [f for f in of_option(text, release) if f.line]
    assert [f.kind for f in found] == ([kind] if kind else [])
    assert not kind or said in found[0].remedy


def test_a_section_that_nothing_reads_is_said_once() -> None:
    found = of_option("[default]\nmy_ip = 1\nhost = 2\n[libvrt]\nvirt_type = kvm")
    assert [(f.line, f.section, f.option) for f in found] == [(1, "default", ""), (4, "libvrt", "")]
    assert [f.remedy for f in found] == ["did you mean [DEFAULT]?", "did you mean [libvirt]?"]


def test_an_empty_section_means_nothing() -> None:
    assert of_option("[nonsense]\n# a = b\n[DEFAULT]\nmy_ip = 10.0.0.1\n") == []


def test_what_a_later_release_adds_is_said_to_be_new() -> None:
    (finding,) = of_option("[libvirt]\ncpu_power_management = true", "zed", "compute")
    assert finding.problem == "not read: new in Nova 27"
    assert not of_option("[libvirt]\ncpu_power_management = true", "2023.1", "compute")


def test_an_option_given_twice() -> None:
    (finding,) = of_option("[DEFAULT]\nhost = a\nmy_ip = 10.0.0.1\nhost = b\n")
    assert (finding.line, finding.kind) == (2, "duplicate")
    assert not of_option("[pci]\nalias = {}\nalias = {}\n")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("debug = ja", "'ja' is not true or false"),
        ("debug = true # for now", "a comment needs a line of its own"),
        ("osapi_compute_workers = many", "is not an integer"),
        ("osapi_compute_workers = 0", "is less than 1"),
        ("osapi_compute_listen_port = 70000", "is more than 65535"),
        ("initial_cpu_allocation_ratio = -1", "is less than 0"),
        ("host = no host", "is not an IP address or a host name"),
        ("my_ip = 10.0.0.1 # here", "part of the value, not a comment"),
        ("my_ip = 10.0.0.1\n  # here", "line 3 looks like a comment"),
        ("host = $hots", "no option"),
        ("host = $host", "refers to itself"),
    ],
)
def test_values_that_do_not_fit(line: str, said: str) -> None:
    (finding,) = of_option(f"[DEFAULT]\n{line}\n")
    assert finding.kind == "value"
    assert said in finding.problem
    assert finding.line == 2


@pytest.mark.parametrize(
    "line",
    [
        "my_ip = 10.0.0.1",
        "host = ${my_ip}",
        "host = $DEFAULT.my_ip",
        "log_dir = a\\$b$$c$ $1",
        "osapi_compute_workers =",
        "debug = YES",
        'debug = "true"',
        "transport_url: rabbit://a:b@c",
    ],
)
def test_values_that_fit(line: str) -> None:
    assert of_option(f"[DEFAULT]\n{line}\n") == []


def test_a_value_may_come_from_another_option() -> None:
    text = "[DEFAULT]\nmy_ip = nobody here\n[vnc]\nserver_listen = $my_ip\n"
    found = findings([Source("f", text)], "zed", "compute")
    (finding,) = (f for f in about(found, "vnc", "server_listen") if f.kind == "value")
    assert finding.line == 4


def test_a_later_file_wins() -> None:
    first = Source("nova.conf", "[libvirt]\nvirt_type = kvm\n[vnc]\nserver_listen = 0.0.0.0\n")
    second = Source("nova-compute.conf", "[vnc]\nserver_listen = 10.0.0.1\n")
    assert about(findings([first], "zed", "compute"), "vnc", "server_listen")
    assert not about(findings([first, second], "zed", "compute"), "vnc", "server_listen")
    (finding,) = about(findings([second, first], "zed", "compute"), "vnc", "server_listen")
    assert (finding.file, finding.line) == ("nova.conf", 4)


# --- rules ----------------------------------------------------------------------------------------

LOGIN = (
    "auth_type = password\nauth_url = http://k\nusername = u\npassword = longer\n"
    "project_name = p\nuser_domain_name = d\nproject_domain_name = d\n"
)


@pytest.mark.parametrize(
    ("without", "lacking"),
    [
        ("auth_url = http://k", "lacks auth_url"),
        ("password = longer", "lacks password"),
        ("user_domain_name = d", "lacks user_domain_name"),
        ("project_name = p", "lacks project_name"),
    ],
)
def test_a_login_has_to_be_whole(without: str, lacking: str) -> None:
    whole = f"[neutron]\n{LOGIN}"
    assert not [f for f in check(whole) if f.section == "neutron"]
    (finding,) = (f for f in check(whole.replace(f"{without}\n", "")) if f.section == "neutron")
    assert lacking in finding.problem
    assert finding.line == 1


def test_a_login_may_be_in_another_section() -> None:
    text = f"[shared]\n{LOGIN}[neutron]\nauth_section = shared\n"
    assert not [f for f in check(text) if f.section in ("neutron", "shared")]
    assert one(check(text + "usernam = x\n"), "neutron", "usernam").kind == "unknown"
    misspelled = text.replace("username", "usernam")
    assert one(check(misspelled), "shared", "usernam").remedy == "did you mean username?"


def test_a_login_that_others_share_is_not_misplaced() -> None:
    text = f"[keystone_authtoken]\n{LOGIN}"
    assert one(check(text, role="compute"), "keystone_authtoken", "").kind == "misplaced"
    shared = f"{text}[neutron]\nauth_section = keystone_authtoken\n"
    found = check(shared, role="compute")
    assert not [f for f in found if f.section in ("neutron", "keystone_authtoken")]


def test_a_service_token_needs_a_login() -> None:
    text = "[service_user]\nsend_service_user_token = true\n"
    (finding,) = (f for f in check(text) if f.section == "service_user")
    assert finding.option == "auth_type"
    assert not [f for f in check(text + LOGIN) if f.section == "service_user"]


def test_token_roles_are_required_by_default_since_keystonemiddleware_13() -> None:
    text = f"[keystone_authtoken]\n{LOGIN}"
    name = ("keystone_authtoken", "service_token_roles_required")
    assert one(check(text, release="zed"), *name).kind == "insecure"
    assert not about(check(text, release="2026.2"), *name)


def test_a_filter_that_the_release_has_not() -> None:
    text = "[filter_scheduler]\nenabled_filters = ComputeFilter,AvailabilityZoneFilter\n"
    assert not about(check(text), "filter_scheduler", "enabled_filters")
    found = one(check(text, release="2023.2"), "filter_scheduler", "enabled_filters")
    assert "has no filter AvailabilityZoneFilter" in found.problem


def test_consoles_that_are_off_need_nothing() -> None:
    text = "[vnc]\nenabled = false\nserver_listen = 0.0.0.0\n"
    assert not [f for f in check(text, "compute") if f.section == "vnc"]


def test_an_all_in_one_host_has_both_roles() -> None:
    text = (
        "[database]\nconnection = mysql+pymysql://nova:longer@c/nova\n"
        "[libvirt]\nvirt_type = qemu\n[DEFAULT]\ncompute_driver = libvirt.LibvirtDriver\n"
    )
    assert not of_option(text, role="all-in-one")
    missing = {(f.section, f.option) for f in check(text, "all-in-one") if f.kind == "missing"}
    assert ("api_database", "connection") in missing
    assert ("vnc", "novncproxy_base_url") in missing


def test_certificates_have_to_be_verified() -> None:
    assert one(check("[neutron]\ninsecure = yes\n"), "neutron", "insecure").kind == "insecure"
    assert not about(check("[neutron]\ninsecure = no\n"), "neutron", "insecure")


# --- what oslo.config itself says -----------------------------------------------------------------

LINES = st.lists(
    st.one_of(
        st.sampled_from(
            ["[DEFAULT]", "[x]", "[", "[]", "a = b", "a: b=c", "  more", "\tmore", "# c", "; c"]
        ),
        st.sampled_from(["", " ", 'q = "x"', "q = '", "= v", "word", "  # c", "a=", "a = \\$b"]),
        st.text(st.sampled_from("ab =:[]#;\"'$ \t\r\x0b\x85"), max_size=8),
    ),
    max_size=12,
)


def oslo_reads(file: Path) -> dict[str, dict[str, list[str]]] | None:
    sections: dict[str, dict[str, list[str]]] = {}
    try:
        cfg.ConfigParser(str(file), sections).parse()
    except iniparser.ParseError:
        return None
    return {name: options for name, options in sections.items() if options}


@hypothesis_settings(max_examples=400, deadline=None)
@given(lines=LINES)
def test_a_file_is_read_as_oslo_config_reads_it(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str]
) -> None:
    file = tmp_path_factory.getbasetemp() / "any.conf"
    file.write_bytes("\n".join(lines).encode())
    ours: dict[str, dict[str, list[str]]] | None = {}
    try:
        for setting in parse("any.conf", file.read_text(encoding="utf-8")).settings:
            assert ours is not None
            values = ours.setdefault(setting.section, {}).setdefault(setting.name, [])
            values.append(setting.value)
    except NotIni:
        ours = None
    assert ours == oslo_reads(file)


VALUES = st.one_of(
    st.sampled_from(["", "true", "Off", "0", "-1", "1.5", "1e3", "65536", "1_0", "a,b", "k:v,w"]),
    st.sampled_from(["10.0.0.1", "010.0.0.1", "::1", "a.b.", "-a", "a_b", "1.2.3", "http://h/p"]),
    st.sampled_from(["ftp://h", "http:/x", "3-1", "1-4", "[a]", "{k:1}", "'q'", "'q", "x" * 64]),
    st.text(st.sampled_from("aZ09.-_:/,[]{}'\" "), max_size=10),
)
KINDS: list[tuple[dict[str, Any], Any]] = [
    ({"type": "boolean"}, types.Boolean()),
    ({"type": "integer", "min": 0, "max": 5}, types.Integer(min=0, max=5)),
    ({"type": "integer", "choices": [1, 3]}, types.Integer(choices=[1, 3])),
    ({"type": "float", "min": 0.5}, types.Float(min=0.5)),
    ({"type": "port", "min": 0, "max": 65535}, types.Port()),
    ({"type": "string", "choices": ["a", "b"]}, types.String(choices=["a", "b"])),
    (
        {"type": "string", "choices": ["Off"], "ignore_case": True},
        types.String(choices=["Off"], ignore_case=True),
    ),
    ({"type": "string", "regex": "^a"}, types.String(regex="^a")),
    ({"type": "string", "quotes": True, "max_length": 3}, types.String(quotes=True, max_length=3)),
    ({"type": "list", "item": {"type": "integer"}}, types.List(types.Integer())),
    ({"type": "list", "item": {"type": "string"}, "bounds": True}, types.List(bounds=True)),
    ({"type": "dict", "item": {"type": "integer"}}, types.Dict(types.Integer())),
    ({"type": "dict", "item": {"type": "string"}, "bounds": True}, types.Dict(bounds=True)),
    ({"type": "range"}, types.Range()),
    ({"type": "ip"}, types.IPAddress()),
    ({"type": "ip", "version": 4}, types.IPAddress(4)),
    ({"type": "hostname"}, types.Hostname()),
    ({"type": "host address"}, types.HostAddress()),
    ({"type": "host domain"}, types.HostDomain()),
    ({"type": "uri", "schemes": ["http"]}, types.URI(schemes=["http"])),
]


@pytest.mark.parametrize(("kind", "theirs"), KINDS, ids=[str(kind) for kind, _ in KINDS])
@hypothesis_settings(max_examples=150, deadline=None)
@given(value=VALUES)
def test_a_value_fits_if_oslo_config_takes_it(
    kind: dict[str, Any], theirs: Any, value: str
) -> None:
    try:
        theirs(value.strip())
        fits = True
    except (ValueError, TypeError):
        fits = False
    assert (problem(kind, value.strip()) is None) is fits


def test_substitution_is_oslo_configs(tmp_path: Path) -> None:
    values = ["$my_ip", "${my_ip}x", "\\$my_ip", "$$my_ip", "a$ b$1", "\\\\$x", "$vnc.enabled"]
    text = "[DEFAULT]\nmy_ip = 10.0.0.1\n[vnc]\nenabled = no\n[api]\n"
    text += "".join(f"o{number} = {value}\n" for number, value in enumerate(values))
    file = tmp_path / "nova.conf"
    file.write_text(text, encoding="utf-8")
    conf = cfg.ConfigOpts()
    conf.register_opt(cfg.StrOpt("my_ip"))
    conf.register_opt(cfg.StrOpt("enabled"), group="vnc")
    conf.register_opts([cfg.StrOpt(f"o{number}") for number in range(len(values))], group="api")
    conf([], project="nova", default_config_files=[str(file)])
    ours = Config([Source("nova.conf", text)], load("zed"), "controller")
    for number, value in enumerate(values):
        assert ours.expanded("api", value).text == conf.api[f"o{number}"]


# --- secrets --------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["text", "json", "sarif"])
@pytest.mark.parametrize("role", ["controller", "compute"])
def test_no_output_shows_a_secret(role: str, how: str, capsys: pytest.CaptureFixture[str]) -> None:
    file = DATA / f"seed-{role}.conf"
    assert main([str(file), "--release", "zed", "--role", role, "--format", how]) == 1
    shown = capsys.readouterr()
    for secret in SEED_SECRETS:
        assert secret not in shown.out + shown.err


@pytest.mark.parametrize(
    "text",
    [
        "[neutron]\npassword = hunter2$hunter2\n",
        "[neutron]\npasword = hunter2\n",
        "[neutrn]\npassword = hunter2\n",
        "[DEFAULT]\ntransport_url = rabbit://a:hunter2@c/ # hunter2\n",
        "[DEFAULT]\nmy_ip = http://a:hunter2@c/\n",
        "[vnc]\nserver_listen = http://a:hunter2@c/\n",
        "[database]\nconnection = $hunter2\n",
        "[database]\nconnection = hunter2\n # hunter2\n",
        "[glance]\napi_servers = http://a:hunter2@c/ # x\n",
        "[oslo_messaging_rabbit]\nrabbit_password = hunter2\n",
        "[keystone_authtoken]\nauth_type = hunter2\nmemcache_secret_key = hunter2\n",
    ],
)
def test_a_secret_in_any_place_stays_hidden(text: str) -> None:
    for role in ("controller", "compute"):
        found = check(text, role)
        assert found
        assert "hunter2" not in repr(found)


def test_a_file_that_is_no_ini_is_refused_without_showing_it() -> None:
    with pytest.raises(NotIni) as error:
        check("[neutron]\nhunter2\n")
    assert str(error.value) == "nova.conf:2: no '=' or ':' in an assignment"


# --- the command line -----------------------------------------------------------------------------


def test_exit_codes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = []
    for file in sources(site(), "compute1"):
        names.append(tmp_path / Path(file.name).name)
        names[-1].write_text(file.text, encoding="utf-8")
        names[-1].chmod(0o640)
    asked = ["--release", "zed", "--role", "compute"]
    assert main([*map(str, names), *asked]) == 0
    assert capsys.readouterr().out.startswith("no findings (Nova 26.")
    names[0].chmod(0o644)
    names[1].chmod(0o644)  # nova-compute.conf holds no secret
    assert main([*map(str, names), *asked]) == 1
    assert f"{names[0]}: error: insecure: everybody on the host" in capsys.readouterr().out
    assert main([str(tmp_path / "none"), *asked]) == 2
    (tmp_path / "binary").write_bytes(b"\xff\xfe[")
    assert main([str(tmp_path / "binary"), *asked]) == 2
    (tmp_path / "not.ini").write_text("my_ip = 1\n", encoding="utf-8")
    assert main([str(tmp_path / "not.ini"), *asked]) == 2
    assert "an option before the first [section]" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stopped:
        main([str(names[0]), "--release", "grizzly", "--role", "compute"])
    assert stopped.value.code == 2


def test_json_and_sarif_say_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    words = [str(DATA / "seed-compute.conf"), "--release", "zed", "--role", "compute", "--format"]
    main([*words, "json"])
    plain = json.loads(capsys.readouterr().out)
    main([*words, "sarif"])
    results = json.loads(capsys.readouterr().out)["runs"][0]["results"]
    assert (plain["release"], plain["role"]) == ("zed", "compute")
    assert len(plain["findings"]) == len(results) > 10
    for finding, result in zip(plain["findings"], results, strict=True):
        place = result["locations"][0]["physicalLocation"]
        assert place.get("region", {}).get("startLine", 0) == finding["line"]
        assert result["ruleId"] == finding["kind"]


def test_run_checks_a_file_from_anywhere_without_an_environment(tmp_path: Path) -> None:
    (tmp_path / "mine.conf").write_text("[DEFAULT]\nuse_neutron = true\n", encoding="utf-8")
    run = Path(__file__).resolve().parents[2] / "run"
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        [run, "check", "mine.conf", "--release", "zed", "--role", "compute"],
        cwd=tmp_path,
        env={"PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "mine.conf:2: warning: removed: [DEFAULT] use_neutron" in done.stdout


# --- speed ----------------------------------------------------------------------------------------


def test_it_needs_nothing_but_pythons_own_library() -> None:
    code = "import sys, pyinfra_nova.nova_conf.check.__main__; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, '.'); {code}"],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert not {"yaml", "pydantic", "pyinfra", "nova", "oslo_config"} & set(done.stdout.split())


@pytest.mark.parametrize("role", ["controller", "compute"])
def test_a_file_is_checked_in_50_ms(role: Role) -> None:
    text = (DATA / f"seed-{role}.conf").read_text(encoding="utf-8")
    times = []
    for _ in range(5):
        load.cache_clear()
        started = time.perf_counter()
        check(text, role)
        times.append(time.perf_counter() - started)
    assert min(times) < 0.05


@pytest.mark.parametrize("release", VERSIONS)
def test_every_release_has_its_table(release: str) -> None:
    table = load(release)
    assert table.release == release
    assert table.nova.split(".")[0] == str(VERSIONS[release])
    assert table.option("DEFAULT", "transport_url")
    assert "password" in table.login_plugins
    assert {"neutron", "placement", "service_user", "keystone_authtoken"} <= table.login_sections
    assert "ComputeFilter" in table.scheduler_filters
    assert len(table.sections()) > 50
