"""Options that others depend on have an owner, whatever name they are given; nothing is missed."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from keystoneauth1 import loading
from pydantic import BaseModel

from pyinfra_nova.knowledge.platforms import platforms_of
from pyinfra_nova.knowledge.releases import VERSIONS, load
from pyinfra_nova.nova_conf.ini import option_values
from pyinfra_nova.nova_conf.render import TEMPLATES, files_for
from pyinfra_nova.site import option_owners as owners
from pyinfra_nova.site.faults import SettingsError
from pyinfra_nova.site.overrides import merged_overrides, override_faults
from pyinfra_nova.site.secrets import Secrets, ceph_key
from pyinfra_nova.site.settings import HostSettings, Settings, Site
from tests.unit.site_data import GROUPS, HOSTS, secrets, site

CHECKOUT = Path(__file__).resolve().parents[2]
SET = tuple(chain.from_iterable(owners.SETTINGS.values()))
OWNED = (*SET, *owners.FIXED)
EVERY = (*OWNED, *owners.ENCRYPTED)
OTHERS = (*owners.FOLLOWED, *owners.INDEPENDENT)
RELEASES = tuple(VERSIONS)
MODES, KEYS = ("off", "internal"), ("migration_secret", "tls_secret")


def parts(option: str) -> tuple[str, str]:
    section, _, name = option.rpartition("/")
    return section, name


def aliases(option: str, release: str) -> Iterator[tuple[str, str]]:
    """Every section and name under which RELEASE reads OPTION, by the data of its table alone."""
    section, name = parts(option)
    table = load(release)
    if (found := table.option(section, name)) is None:
        return
    yield section, name
    for former in found.data.get("former", ()):
        group, old = parts(former)
        yield group or section, old


def login_options(release: str) -> Iterator[str]:
    names = sorted(load(release).login_options | {"auth_type", "auth_section"})
    yield from (f"{section}/{name}" for section in owners.LOGINS for name in names)


def refused(section: str, name: str, release: str, *, on_compute: bool = False) -> str:
    """What is said of an override, or ""."""
    data = {section: {name: "x"}}
    found = override_faults("all.py", "nova_conf", data, release, on_compute=on_compute)
    return "\n".join(str(fault) for fault in found)


# --- the table ------------------------------------------------------------------------------------


def test_every_name_is_one_that_a_release_reads() -> None:
    for option in (*EVERY, *OTHERS):
        assert any(load(release).option(*parts(option)) for release in RELEASES), option
    for section in owners.LOGINS:
        assert all(section in load(release).login_sections for release in RELEASES), section


def test_no_option_has_two_owners() -> None:
    """But for one of those that `tls` decides: where it is off, somebody else may ask for it."""
    every = (*EVERY, *(option for option in OTHERS if option not in owners.ENCRYPTED))
    assert sorted(set(every)) == sorted(every)


def fields(model: type[BaseModel], path: str) -> bool:
    name, _, rest = path.partition(".")
    if not (info := model.model_fields.get(name)):
        return False
    inner = info.annotation
    return not rest or (isinstance(inner, type) and fields(inner, rest))


def test_a_remedy_names_settings_and_secrets_that_exist() -> None:
    for what in (*owners.SETTINGS, *owners.LOGINS.values()):
        named = re.findall(r"`([\w.]+)`", what)
        secret = re.search(r"(\w+) in secrets.yml", what)
        assert named or secret, what
        for name in named:
            assert fields(Settings, name) or fields(HostSettings, name), name
        assert not secret or secret[1] in Secrets.model_fields


# --- nothing is missed ----------------------------------------------------------------------------

GPU = {"name": "gpu", "vendor_id": "10de", "product_id": "1eb8"}


@cache
def everything(release: str, tls: str) -> Site:
    """A site in which every branch of every template is taken, but for those of TLS."""
    return site(
        {
            **{"release": release, "tls": {"mode": tls}},
            "smoke_guest": {"image": "tiny", "network": "provider"},
            "glance": {"api_servers": ["https://images:9292"]},
            "cinder": {"catalog_info": "volumev3::publicURL", "cross_az_attach": False},
            "compute": {
                **{"cpu_shared_set": "0", "cpu_dedicated_set": "1", "cpu_allocation_ratio": 2},
                **{"ram_allocation_ratio": 1, "disk_allocation_ratio": 1},
                **{"reserved_host_memory_mb": 1, "reserved_host_disk_mb": 1},
            },
            "hugepages": [{"size": "1G", "count": 2, "node": 0, "reserved": 1}],
            "devices": {"enabled_mdev_types": ["nvidia-35"]},
            "pci": {"alias": [GPU], "device_spec": [{"vendor_id": "10de", "product_id": "1eb8"}]},
            "libvirt": {
                **{"virt_type": "kvm", "cpu_mode": "custom", "cpu_models": ["Nehalem"]},
                **{"rbd_user": "cinder", "rbd_secret_uuid": "457eb676-33da-42ec-9a8c-9293d545c337"},
            },
        },
        passwords=secrets(**{k: k * 4 for k in KEYS}, rbd_secret_key=ceph_key()),
    )


def written(release: str, tls: str) -> set[str]:
    found, where = set[str](), everything(release, tls)
    for platform in platforms_of(release):
        for host in where.hosts.values():
            for file in files_for(where, host, platform, "kvm"):
                found |= set(option_values(file.content)) if file.oslo else set()
    return found


def test_every_line_of_a_template_is_taken_by_this_site() -> None:
    """Otherwise the next test would not see it."""
    lines: set[str] = set()
    for name in ("nova.conf.j2", "nova-compute.conf.j2", "libvirt.conf.j2"):
        lines |= set(re.findall(r"^(\w+) =", (TEMPLATES / name).read_text(), re.MULTILINE))
    seen = {parts(o)[1] for release in RELEASES for tls in MODES for o in written(release, tls)}
    assert lines <= seen


@pytest.mark.parametrize("tls", MODES)
@pytest.mark.parametrize("release", RELEASES)
def test_every_option_that_is_written_has_an_owner(release: str, tls: str) -> None:
    for option in written(release, tls):
        owner = owners.refusal(*parts(option), release, is_encrypted=tls != "off")
        assert owner or option in OTHERS, option


# Words of the code that happen to be names of options, too.
WORDS = frozenset(
    (
        *("capabilities", "code", "conductor", "cores", "endpoint", "group", "host_ip"),
        *("hostname", "insecure", "instances", "interface", "key", "key_pairs", "key_size"),
        *("metadata_items", "path", "port", "ram", "required", "scheduler"),
        *("server_group_members", "server_groups", "timeout", "token", "url", "user", "version"),
    )
)
# They judge other people's files, or are the tables themselves.
NOT_WALKED = ("nova_conf/check/", "knowledge/releases/", "site/option_owners.py")


@cache
def every_name() -> tuple[frozenset[str], frozenset[str]]:
    """All options of all releases: ``section/name``, and the names alone; former ones included."""
    found: set[str] = set()
    for release in RELEASES:
        table = load(release)
        current = [
            f"{section}/{name}" for section in table.sections() for name in table.names(section)
        ]
        found |= {"/".join(alias) for option in current for alias in aliases(option, release)}
    return frozenset(found), frozenset(parts(option)[1] for option in found)


def words(path: Path) -> Iterator[str]:
    """Every text, attribute, argument and field of a module."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.keyword) and node.arg:
            yield node.arg
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id


def modules() -> Iterator[Path]:
    for folder in ("pyinfra_nova", "files", "tasks", "tests/verify"):
        for path in sorted((CHECKOUT / folder).rglob("*.py")):
            if not any(part in path.as_posix() for part in NOT_WALKED):
                yield path


def test_every_option_that_the_code_names_has_an_owner() -> None:
    options, names = every_name()
    known = {parts(option)[1] for option in (*EVERY, *OTHERS)} | {"auth_type", "auth_section"}
    former = {alias[1] for r in RELEASES for o in (*EVERY, *OTHERS) for alias in aliases(o, r)}
    login = {name for release in RELEASES for name in load(release).login_options}
    found = {
        (path.relative_to(CHECKOUT).as_posix(), word)
        for path in modules()
        for word in words(path)
        if word in options or word in names - known - former - login - WORDS
    }
    assert {
        (path, word)
        for path, word in found
        if not (word in (*EVERY, *OTHERS) or ("/" in word and word.rpartition("/")[2] in WORDS))
    } == set()


def test_the_walk_sees_what_it_has_to_see() -> None:
    seen = {word for path in modules() for word in words(path)}
    assert {"service_down_time", "novncproxy_port", "default_availability_zone"} <= seen
    assert len(list(modules())) > 60


@pytest.mark.parametrize("number", [8774, 8775, 6080])
def test_a_port_stands_in_one_place(number: int) -> None:
    homes = [
        path.relative_to(CHECKOUT).as_posix()
        for folder in ("pyinfra_nova", "files", "tasks", "templates", "tests/verify")
        for path in (CHECKOUT / folder).rglob("*.*")
        if path.suffix in (".py", ".j2", ".yaml", ".sh")
        and re.search(rf"\b{number}\b", _code(path.read_text(encoding="utf-8")))
    ]
    assert homes == ["pyinfra_nova/site/settings.py"]


def _code(text: str) -> str:
    """TEXT without docstrings, whose examples may name a port."""
    return re.sub(r'""".*?"""', "", text, flags=re.DOTALL)


# --- an override of what others depend on is refused, by any of its names -------------------------


@pytest.mark.parametrize("release", RELEASES)
def test_it_is_refused_with_the_remedy_by_every_name_that_the_release_reads(release: str) -> None:
    remedies = {option: what for what, options in owners.SETTINGS.items() for option in options}
    for option in (*OWNED, *login_options(release)):
        for section, name in aliases(option, release):
            if "-" in name:
                continue  # no such spelling is taken at all
            said = refused(section, name, release)
            if option in owners.FIXED:
                assert "is not to be changed: " in said and owners.FIXED[option][1] in said, option
            else:
                what = remedies.get(option) or owners.LOGINS[parts(option)[0]]
                assert f"is decided by the settings; set {what}" in said, (option, section, name)


def test_what_is_read_of_a_log_stays_as_oslo_log_writes_it() -> None:
    """``files/units.py`` tells the age of a failed audit by the beginning of its line."""
    for name in ("log_date_format", "logging_context_format_string", "use_json"):
        assert "read oslo.log's own lines" in refused("DEFAULT", name, "zed"), name
    assert "systemd watches the process" in refused("DEFAULT", "daemon", "zed")


@pytest.mark.parametrize("section", owners.LOGINS)
def test_every_way_to_log_in_is_owned_as_keystoneauth_itself_spells_it(section: str) -> None:
    spelled: set[str] = set()
    newest = RELEASES[-1]
    for plugin in ("password", "v2password", "v3password", "v3token", "v3applicationcredential"):
        for opt in loading.get_plugin_options(plugin):
            spelled |= {opt.name, opt.dest, *(old.name for old in opt.deprecated)}
    assert {"username", "user-name", "tenant_name", "user_id"} <= spelled
    for name in spelled:
        assert refused(section, name, newest), name
        assert refused(section, name.replace("-", "_"), newest), name


@pytest.mark.parametrize(
    ("section", "name", "remedy"),
    [
        ("DEFAULT", "sql_connection", "`database`"),
        ("database", "sql_connection", "`database`"),
        ("sql", "connection", "`database`"),
        ("DEFAULT", "vnc_enabled", "`vnc.enabled`"),
        ("DEFAULT", "novncproxy_port", "`vnc.novncproxy_port`"),
        ("DEFAULT", "logdir", "use_journal"),
        ("DEFAULT", "lock_path", "leave it out"),
        ("DEFAULT", "api_paste_config", "edit that file"),
        ("placement", "user_name", "placement_password"),
        ("neutron", "tenant_name", "neutron_password"),
        ("neutron", "auth_plugin", "neutron_password"),
        ("service_user", "user_id", "`keystone`"),
        ("placement", "auth_section", "placement_password"),
        ("keystone_authtoken", "auth_uri", "`keystone.www_authenticate_uri`"),
        ("keystone_authtoken", "memcache_servers", "`memcached_servers`"),
        ("oslo_messaging_rabbit", "rabbit_use_ssl", "`tls`"),
        ("libvirt", "cpu_model", "`libvirt`"),
        ("neutron", "endpoint_override", "catalogue"),
        ("DEFAULT", "log_config_append", "packages' log files"),
        ("DEFAULT", "servicegroup_driver", "read from the database"),
        ("DEFAULT", "enabled_ssl_apis", "`tls`"),
        ("DEFAULT", "ssl_only", "`tls`"),
        ("DEFAULT", "config_source", "checked"),
    ],
)
@pytest.mark.parametrize("spelling", [str, str.upper, str.title])
def test_other_names_and_other_spellings_of_sections(
    section: str, name: str, remedy: str, spelling: Any
) -> None:
    # oslo.config compares section names in lower case, DEFAULT apart.
    said = refused(section if section == "DEFAULT" else spelling(section), name, "zed")
    assert remedy in said


@pytest.mark.parametrize(
    ("section", "name"),
    [
        *[("vnc", name) for name in ("novncproxy-port", " enabled", "enabled ", "enabled:", "")],
        *[("vnc", name) for name in ("enabled=x\n[vnc]\nenabled", "énabled", "enabled\x00")],
        *[(name, "enabled") for name in (" vnc", "vnc ", "vnc]", "[vnc", "vnc\n", "\uff56nc", "")],
        *[
            ("default", "my_ip"),
            ("Default", "my_ip"),
            ("DEFAULT ", "my_ip"),
            ("\uff24EFAULT", "my_ip"),
        ],
    ],
)
def test_a_hostile_spelling_is_no_way_round(section: str, name: str) -> None:
    assert refused(section, name, "zed")


@pytest.mark.parametrize("value", [8080, "8080", None, [8080], {}])
@pytest.mark.parametrize("place", ["all", "controllers", "computes", "host", "command line"])
def test_whatever_is_said_wherever_it_is_said(place: str, value: Any) -> None:
    data = {"nova_conf": {"VNC": {"novncproxy_port": value}}}
    host = {**HOSTS["compute1"], **data} if place == "host" else HOSTS["compute1"]
    with pytest.raises(SettingsError) as caught:
        site(
            data if place == "all" else {},
            group_data={place: data} if place in GROUPS else {},
            hosts={**HOSTS, "compute1": host},
            override_data=data if place == "command line" else None,
        )
    (fault,) = caught.value.faults
    assert str(fault).endswith("is decided by the settings; set `vnc.novncproxy_port`")


# --- what computes do not get ---------------------------------------------------------------------


@pytest.mark.parametrize("release", RELEASES)
def test_nothing_of_the_controllers_sections_reaches_a_compute(release: str) -> None:
    table = load(release)
    for section in owners.CONTROLLER_SECTIONS:
        for option in (f"{section}/{name}" for name in table.names(section)):
            for group, name in aliases(option, release):
                data = {group: {name: "x"}}
                assert merged_overrides([data], release, controller=False) == {}, (group, name)
                if "-" not in name:
                    assert refused(group, name, release, on_compute=True), (group, name)


def test_for_all_hosts_it_may_be_said_under_any_name() -> None:
    where = site({"nova_conf": {"DEFAULT": {"sql_max_retries": 3}}})
    assert where.hosts["controller"].nova_conf == {"database": {"max_retries": 3}}
    assert where.hosts["compute1"].nova_conf == {}
    with pytest.raises(SettingsError, match="sql_max_retries: a compute gets no such option"):
        site(group_data={"computes": {"nova_conf": {"DEFAULT": {"sql_max_retries": 3}}}})


# --- what is followed -----------------------------------------------------------------------------


@pytest.mark.parametrize("release", RELEASES)
def test_what_may_be_said_is_held_under_its_current_name(release: str) -> None:
    """Those who ask for it know that one alone, and a former one loses against what is written."""
    for option in OTHERS:
        section, name = parts(option)
        for group, old in aliases(option, release):
            held = merged_overrides([{group.upper() if group != "DEFAULT" else group: {old: 1}}],
                                    release, controller=True)  # fmt: skip
            assert held == {section: {name: 1}}, (group, old)


def test_an_override_under_a_former_name_wins_over_the_setting() -> None:
    device = {"vendor_id": "10de", "product_id": "1eb8"}
    literal = '{"address": "0000:06:00.0"}'
    given = {"pci": {"passthrough_whitelist": literal}}
    where = site({"pci": {"device_spec": [device]}, "nova_conf": given})
    (platform,) = (row for row in platforms_of("zed") if row.os == "debian")
    file = files_for(where, where.hosts["compute1"], platform, "qemu")[0]
    values = option_values(file.content)
    assert values["pci/device_spec"] == [literal]
    assert "pci/passthrough_whitelist" not in values
