"""Data that means something to a shell, SQL, INI, Jinja or a URL ends up literally or is refused.

Refused: by a fault that names file and key on one line. Literally: read back by real parsers.
"""

from __future__ import annotations

import configparser
import json
import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch
from urllib.parse import quote, unquote

import broker_users
import config_files
import pytest
from hypothesis import HealthCheck, assume, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from oslo_config import types as oslo_types
from pydantic import SecretStr, ValidationError
from pyinfra.context import ctx_host

from pyinfra_nova.commands.ssh import ssh_arguments
from pyinfra_nova.nova_conf.config_file import ConfigFile
from pyinfra_nova.nova_conf.render import files_for
from pyinfra_nova.nova_conf.values import option
from pyinfra_nova.resources.cells import nova_manage
from pyinfra_nova.resources.databases import DatabaseUser, statements
from pyinfra_nova.session.redaction import Redactor
from pyinfra_nova.session.steps import refused
from pyinfra_nova.site.faults import SettingsError
from pyinfra_nova.site.secrets import Secrets
from pyinfra_nova.site.settings import Site
from tests.unit.rabbitmqctl_stand_in import Rabbitmqctl
from tests.unit.site_data import AWKWARD, GROUPS, HOSTS, debian, read_back, secrets, site

NOVA_CONF = "/etc/nova/nova.conf"
COMPUTE_CONF = "/etc/nova/nova-compute.conf"
FRAGMENTS = [
    *("'", '"', "\\", "`", "$(id)", "${HOME}", "; id", "| id", "&", "*", "?", "~", "!", "-x", "--"),
    *("' OR 1=1 -- ", "\\'", "');", "%", "_", "/*", "\\g"),
    *("[section]", "[", "]", "=", ":", "#", ";", " # c", " ; c", "a = b", "\nb = c", "\n  more"),
    *("{{ 7*7 }}", "{% raw %}", "{#", "}}", "{username}", "{0}"),
    *("$my_ip", "$$", "\\$", "%(x)s", "%%", "$"),
    *("@", "/", "//", "://", "%2F", "%00", "+", ",", "#f", "?q=1", "[::1]", ":0", ":99999", "../"),
    *(" ", "\t", "\r", "\n", "\0", "\x0b", "\x0c", "\x1b[2J", "\x85", "\u2028", "\u2029", "\xa0"),
    *("\ufeff", "\u202e", "é", "€", "漢", "😀", "\ud800", "x" * 300, "x" * 5000),
    *("password", "CHANGE_ME", "abcdefgh", "nova", "controller", "10.0.0.1", "http://h:1/"),
]
HOSTILE = st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=4), max_size=4).map("".join)
URLISH = st.text("abz09.:/?#[]@!$&'()*+,;=%-_~", max_size=12).map(lambda rest: f"http://h{rest}")

fuzzed = hypothesis_settings(
    max_examples=60,
    deadline=None,  # machines differ
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def rendered(where: Site, name: str) -> dict[str, ConfigFile]:
    return {f.path: f for f in files_for(where, where.hosts[name], debian(), "qemu")}


def options(tmp_path: Path, where: Site, name: str) -> dict[str, str]:
    """``section/option`` as the daemons of host NAME read them."""
    paths = []
    for path, file in rendered(where, name).items():
        if path in (NOVA_CONF, COMPUTE_CONF):
            paths.append(tmp_path / Path(path).name)
            paths[-1].write_text(file.content, encoding="utf-8")
    sections = read_back(*paths)
    return {f"{s}/{o}": value for s, found in sections.items() for o, value in found.items()}


def built(*arguments: Any, **sources: Any) -> Site | None:
    """The site, or None where every fault names file and key on one line."""
    try:
        return site(*arguments, **sources)
    except SettingsError as error:
        assert error.faults
        for fault in error.faults:
            assert fault.file and fault.key
            assert str(fault).isprintable()
            assert len(str(fault)) < 500 or "x" * 300 in fault.key
        return None


# --- settings -------------------------------------------------------------------------------------

LOGIN = {
    "username": ("keystone_authtoken/username", "service_user/username"),
    "project_name": ("keystone_authtoken/project_name", "service_user/project_name"),
    "user_domain_name": ("keystone_authtoken/user_domain_name", "service_user/user_domain_name"),
    "project_domain_name": ("service_user/project_domain_name",),
    "auth_url": ("keystone_authtoken/auth_url", "service_user/auth_url"),
    "www_authenticate_uri": ("keystone_authtoken/www_authenticate_uri",),
}
WRITTEN: dict[str, tuple[str, ...]] = {
    **{f"keystone.{key}": where for key, where in LOGIN.items()},
    **{
        f"{section}.{key}": (f"{section}/{key}",)
        for section in ("placement", "neutron")
        for key in (*list(LOGIN)[:5], "region_name")
    },
    "glance.region_name": ("glance/region_name",),
    "cinder.os_region_name": ("cinder/os_region_name",),
}
"""Where in a controller's nova.conf a setting is found, as it is."""
ELSEWHERE = (
    *("controller_host", "region", "release", "database.host", "database.user", "database.nova"),
    *("messaging.user", "messaging.virtual_host", "vnc.novncproxy_base_url", "vnc.server_listen"),
    *("endpoints.public", "keystone.admin.username", "keystone.admin.project_name"),
)


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """{"a.b": 1} as {"a": {"b": 1}}."""
    data: dict[str, Any] = {}
    for path, value in values.items():
        *parents, last = path.split(".")
        inner = data
        for parent in parents:
            inner = inner.setdefault(parent, {})
        inner[last] = value
    return data


@fuzzed
@given(
    values=st.dictionaries(
        st.sampled_from([*WRITTEN, *ELSEWHERE]), HOSTILE | URLISH, min_size=1, max_size=2
    )
)
def test_a_setting_is_read_back_as_it_is_or_refused(tmp_path: Path, values: dict[str, str]) -> None:
    where = built(nested(values))
    assume(where)
    assert where
    found = options(tmp_path, where, "controller")
    for path, text in values.items():
        for place in WRITTEN.get(path, ()):
            assert found[place] == text
    on_compute = options(tmp_path, where, "compute1")
    if "vnc.novncproxy_base_url" in values:
        assert on_compute["vnc/novncproxy_base_url"] == values["vnc.novncproxy_base_url"]
    assert_same_urls(where, found)


@fuzzed
@given(
    servers=st.lists(HOSTILE | st.just("cache:11211"), min_size=1, max_size=2),
    urls=st.lists(HOSTILE | URLISH, min_size=1, max_size=2),
    models=st.lists(HOSTILE | st.just("EPYC-Rome"), min_size=1, max_size=2),
)
def test_a_list_has_the_same_items_afterwards_or_is_refused(
    tmp_path: Path, servers: list[str], urls: list[str], models: list[str]
) -> None:
    as_list = oslo_types.List()
    for data, name, place, items in (
        (
            {"memcached_servers": servers},
            *("controller", "keystone_authtoken/memcached_servers", servers),
        ),
        ({"glance": {"api_servers": urls}}, "controller", "glance/api_servers", urls),
        (
            {"libvirt": {"cpu_mode": "custom", "cpu_models": models}},
            *("compute1", "libvirt/cpu_models", models),
        ),
    ):  # fmt: skip
        if where := built(data):
            assert as_list(options(tmp_path, where, name)[place]) == items


@fuzzed
@given(name=HOSTILE, alias=HOSTILE, address=HOSTILE, host_name=st.none() | HOSTILE)
def test_names_and_addresses_of_hosts(
    tmp_path: Path, name: str, alias: str, address: str, host_name: str | None
) -> None:
    assume(name not in HOSTS)
    data: dict[str, Any] = {"my_ip": "10.0.0.40"}
    for key, value in (("nova_host", host_name), ("my_ip", address if alias else None)):
        data |= {key: value} if value is not None else {}
    groups = {**GROUPS, "computes": [name]}
    where = built(groups=groups, hosts={**HOSTS, name: data})
    if where:
        found = options(tmp_path, where, name)
        assert found["DEFAULT/host"] == (host_name or name.rpartition("/")[2])
        assert found["DEFAULT/my_ip"] == data["my_ip"]


# --- overrides ------------------------------------------------------------------------------------

NAMES = st.sampled_from(["DEFAULT", "api", "Neutron", "a.b", "x:y", "debug", "host_x"]) | HOSTILE


@fuzzed
@given(
    place=st.sampled_from(["all", "computes", "host", "command line"]),
    section=NAMES,
    name=NAMES,
    value=HOSTILE | st.booleans() | st.integers() | st.floats() | st.lists(HOSTILE, max_size=2),
)
def test_an_override_is_read_back_as_it_is_or_refused(
    tmp_path: Path, place: str, section: str, name: str, value: Any
) -> None:
    data = {"nova_conf": {section: {name: value}}}
    where = built(
        data if place == "all" else {},
        group_data={"computes": data} if place == "computes" else {},
        hosts={**HOSTS, "compute1": {**HOSTS["compute1"], **(data if place == "host" else {})}},
        override_data=data if place == "command line" else None,
    )
    if where is None:
        return
    found = options(tmp_path, where, "compute1")
    key = f"{section if section == 'DEFAULT' else section.lower()}/{name}"
    if isinstance(value, list):
        assert found.get(key) == (value[-1] if value else None)
    else:
        expected = str(value).lower() if isinstance(value, bool) else str(value)
        assert found[key] == expected


@pytest.mark.parametrize(
    "value",
    [[1], ["a", None], [["a"]], {"a": 1}, 10**5000, b"a", ("a",)],
    ids=["number", "None", "list", "mapping", "huge", "bytes", "tuple"],
)
def test_an_override_of_another_type_is_one_fault(value: Any) -> None:
    with pytest.raises(SettingsError) as caught:
        site({"nova_conf": {"api": {"a": value}}})
    (fault,) = caught.value.faults
    assert (fault.file, fault.key) == ("group_data/all.py", "nova_conf.api.a")


# --- passwords ------------------------------------------------------------------------------------


def sqlalchemy_login(url: str) -> tuple[str, str, str, str]:
    """User, password, host:port and database as sqlalchemy/engine/url.py `_parse_url` has them."""
    match = re.fullmatch(
        r"[\w+]+://(?P<user>[^:/]*)(?::(?P<password>[^@]*))?@(?P<host>[^/?]*)/(?P<name>.*)", url
    )
    assert match
    user, password, host, name = match.group("user", "password", "host", "name")
    return unquote(user), unquote(password), host, name


def messaging_logins(url: str) -> tuple[list[tuple[str, str, str]], str]:
    """User, password and host:port of each node, and the virtual host, as oslo.messaging has them.

    oslo_messaging/transport.py TransportURL.parse
    """
    netloc, _, path = url.removeprefix("rabbit://").partition("/")
    assert not set("?#") & set(url)
    nodes = []
    for node in netloc.split(","):
        login, _, host = node.strip().rpartition("@")
        user, _, password = login.partition(":")
        nodes.append((unquote(user), unquote(password), host))
    return nodes, unquote(path)


def assert_same_urls(where: Site, found: Mapping[str, str]) -> None:
    database, broker = where.settings.database, where.settings.messaging
    password = where.secrets.database_password.get_secret_value()
    for place, name in (("database", database.nova), ("api_database", database.nova_api)):
        login = sqlalchemy_login(found[f"{place}/connection"])
        assert login == (database.user, password, f"{database.host}:{database.port}", name)
    password = where.secrets.messaging_password.get_secret_value()
    nodes, virtual_host = messaging_logins(found["DEFAULT/transport_url"])
    assert nodes == [(broker.user, password, f"{host}:{broker.port}") for host in broker.hosts]
    assert (virtual_host or "/") == broker.virtual_host


PASSWORDS = st.fixed_dictionaries(
    dict.fromkeys(
        AWKWARD, HOSTILE | st.text(min_size=8, max_size=12) | st.text("*0 $@:", min_size=8)
    )
)


def usable(values: Mapping[str, str]) -> dict[str, str]:
    """VALUES, with those that are refused by name replaced."""
    try:
        Secrets.model_validate(values)
    except ValidationError as error:
        refused = {str(details["loc"][0]) for details in error.errors()}
        return {**values, **{name: AWKWARD[name] for name in refused}}
    return dict(values)


@fuzzed
@given(values=PASSWORDS)
def test_a_password_is_read_back_as_it_is_and_shown_nowhere(
    tmp_path: Path, values: dict[str, str]
) -> None:
    values = usable(values)
    assume(not any(set(value) == {"*"} for value in values.values()))
    where = site({"messaging": {"hosts": ["mq1", "mq2"]}}, passwords=secrets(**values))
    found = options(tmp_path, where, "controller")
    for place, name in (
        ("keystone_authtoken/password", "nova_password"),
        ("service_user/password", "nova_password"),
        ("placement/password", "placement_password"),
        ("neutron/password", "neutron_password"),
        ("neutron/metadata_proxy_shared_secret", "metadata_secret"),
    ):
        assert found[place] == values[name]
    assert_same_urls(where, found)

    content = rendered(where, "controller")[NOVA_CONF].content
    before = rendered(site(), "controller")[NOVA_CONF].content
    # Ones that are part of what is there anyway, as `password` is, cannot be told from it.
    other = rendered(site(passwords=secrets(**dict.fromkeys(AWKWARD, "q" * 9))), "controller")
    public = config_files.diff(NOVA_CONF, "", other[NOVA_CONF].content)
    public += config_files.diff(NOVA_CONF, before, other[NOVA_CONF].content)
    told = [value for value in values.values() if value not in public]
    for shown in (
        config_files.diff(NOVA_CONF, "", content),
        config_files.diff(NOVA_CONF, before, content),
        config_files.diff(NOVA_CONF, content, before),
    ):
        for value in told:
            for form in {value, option(value), quote(value, safe="")}:
                assert form not in shown
    mask = Redactor(where.secrets).mask
    for text in (content, json.dumps(content), repr(content), json.dumps(json.dumps(content))):
        shown = mask(text)
        for value in told:
            assert value.replace("*", "") == "" or value not in shown


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("database_password", "zwölf Boxkämpfer", "not ASCII, which PyMySQL sends wrongly"),
        ("messaging_password", "zwölf Boxkämpfer", "not ASCII, which rabbitmqctl may misread"),
        ("messaging_password", " outside", "begins or ends with a space, which rabbitmqctl cuts"),
        ("messaging_password", "with/slash", "contains /, which oslo.messaging cannot use"),
        ("nova_password", "x" * 256, "is longer than 255 characters"),
    ],
)
def test_a_password_that_a_program_on_the_way_would_change_is_refused(
    name: str, value: str, said: str
) -> None:
    with pytest.raises(ValidationError, match=re.escape(said)) as caught:
        secrets(**{name: value})
    assert value not in str(caught.value)


# --- regressions, one an input --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"memcached_servers": ["cache:many"]}, "memcached_servers.0: 'cache:many' is not a host"),
        ({"memcached_servers": ["a:1,b:2"]}, "memcached_servers.0: 'a:1,b:2' is not a host"),
        ({"glance": {"api_servers": ["http://a,http://b"]}}, "api_servers.0: 'http://a,http://b'"),
        ({"endpoints": {"public": 'http://h/"x"'}}, "holds a character that no URL has"),
        ({"endpoints": {"public": "http://hé/"}}, "holds a character that no URL has"),
        ({"database": {"user": "no'va"}}, "database.user: is not made of at most 80 letters"),
        ({"database": {"user": "n" * 81}}, "database.user: is not made of at most 80 letters"),
        ({"messaging": {"user": "--help"}}, "messaging.user: is not made of at most 80 letters"),
        ({"messaging": {"virtual_host": "-p"}}, "messaging.virtual_host: '-p' is neither / nor"),
        ({"messaging": {"virtual_host": "v" * 256}}, "messaging.virtual_host: 'vvv"),
        ({"region": " RegionOne"}, "region: begins or ends with a space"),
        ({"region": "r" * 256}, "region: is longer than 255 characters"),
        ({"neutron": {"valid_interfaces": []}}, "neutron.valid_interfaces: "),
    ],
)  # fmt: skip
def test_what_a_program_on_the_way_would_change_is_refused(data: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        site(data)
    assert said in str(caught.value.faults[0])


@pytest.mark.parametrize(
    "data",
    [
        {"database": {"host": "nova:hunter2hunter2@db"}},
        {"keystone": {"auth_url": "http://nova:hunter2hunter2@h:99999"}},
        {"endpoints": {"public": "http://nova:hunter2hunter2@h/ x"}},
        {"vnc": {"server_listen": "nova:hunter2hunter2@1.2.3.4"}},
        {"messaging": {"user": "nova:hunter2hunter2@mq"}},
        {"messaging": {"virtual_host": "nova:hunter2hunter2@mq"}},
    ],
)
def test_a_password_in_the_wrong_place_is_not_shown(data: dict[str, Any]) -> None:
    with pytest.raises(SettingsError) as caught:
        site(data)
    assert "hunter2" not in str(caught.value)


def test_a_fault_is_one_line_whatever_a_key_holds() -> None:
    with pytest.raises(SettingsError) as caught:
        site({"a\nb\x1b[2J": 1})
    assert "a\\nb\\x1b[2J: unknown key" in str(caught.value.faults[0])


# --- other files ----------------------------------------------------------------------------------


def test_what_uwsgi_and_sh_read_holds_nothing_of_the_operators() -> None:
    hostile = site(
        {"region": "a\u00a0; [x] $(id)", "messaging": {"user": "a@b"}}, passwords=secrets()
    )
    plain = site(passwords=secrets(**dict.fromkeys(AWKWARD, "12345678")))
    ours = rendered(hostile, "controller")
    for path, file in rendered(plain, "controller").items():
        if path != NOVA_CONF:
            assert ours[path].content == file.content


def test_sh_reads_the_console_proxys_defaults() -> None:
    content = rendered(site(), "controller")["/etc/default/nova-consoleproxy"].content
    script = content + '\necho "$NOVA_CONSOLE_PROXY_TYPE $NOVA_SERIAL_PROXY_START"'
    done = subprocess.run(["sh", "-eu", "-c", script], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("novnc FALSE\n", "")


def test_uwsgis_files_have_no_option_that_configparser_cannot_read() -> None:
    for path, file in rendered(site(), "controller").items():
        if path.endswith(".ini"):
            parser = configparser.RawConfigParser(strict=True)
            parser.read_string(file.content)
            assert parser.sections() == ["uwsgi"]


# --- commands and statements ----------------------------------------------------------------------

LOGINS = st.text("abcXYZ019._@+-", min_size=1, max_size=80).filter(lambda name: name[0] != "-")
VIRTUAL_HOSTS = LOGINS.filter(lambda name: not {"@", "+"} & set(name))
END = "end of the call"

few = hypothesis_settings(
    max_examples=5,  # each starts programs, and draws a list
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def ran(tmp_path: Path, *commands: object) -> list[list[str]]:
    """What ``sh`` runs of COMMANDS: the arguments of each runuser, in order."""
    record = tmp_path / "record"
    record.write_text("")
    program = tmp_path / "runuser"
    program.write_text(f"""#!/bin/sh\nprintf '%s\\0' "$@" '{END}' >>'{record}'\n""")
    program.chmod(0o755)
    script = "\n".join(str(command) for command in commands)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
    subprocess.run(["sh"], input=script.encode(), env=environment, check=False)
    calls = record.read_bytes().decode().split(f"{END}\0")[:-1]
    return [call.split("\0")[:-1] for call in calls]


@few
@given(names=st.lists(st.tuples(LOGINS, VIRTUAL_HOSTS), min_size=1, max_size=4))
def test_rabbitmqctl_gets_names_as_they_are(tmp_path: Path, names: list[tuple[str, str]]) -> None:
    expected = []
    tool = Rabbitmqctl(tmp_path, vhosts=[])
    with patch.dict(os.environ, {"PATH": f"{tmp_path}:/usr/bin:/bin"}):
        for name, virtual_host in dict(names).items():
            tool.set(vhosts=[])
            broker_users.set_password(name, "x" * 8)
            broker_users.permit(name, virtual_host)
            expected += [
                ["-q", "--formatter", "json", "list_users"],
                ["add_user", name],
                ["-q", "--formatter", "json", "list_vhosts"],
                ["-q", "add_vhost", virtual_host],
                ["-q", "set_permissions", "-p", virtual_host, name, ".*", ".*", ".*"],
            ]
    assert tool.asked == expected


@few
@given(lists=st.lists(st.lists(HOSTILE, min_size=1, max_size=3), min_size=1, max_size=8))
def test_nova_manage_gets_arguments_as_they_are(tmp_path: Path, lists: list[list[str]]) -> None:
    # What no argument can hold is kept out of every setting as a forbidden character.
    sound = [[re.sub("[\0\ud800-\udfff]", "", word) for word in words] for words in lists]
    calls = ran(tmp_path, *(nova_manage(*words) for words in sound))
    assert calls == [["-u", "nova", "--", "nova-manage", *words] for words in sound]


def test_the_reason_of_a_refusal_is_printed_as_it_is() -> None:
    """dash's echo, say, would end the text at a backslash and c."""
    host = SimpleNamespace(state=SimpleNamespace(is_executing=True))
    with ctx_host.use(host):
        (command,) = refused("50% of \\config\\n; `id`")
    done = subprocess.run(["sh", "-c", str(command)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "50% of \\config\\n; `id`\n"


def test_ssh_takes_no_address_for_an_option() -> None:
    words = ssh_arguments("x", {"ssh_hostname": "-oProxyCommand=id"}, ["uptime"])
    done = subprocess.run([words[0], "-G", *words[1:]], capture_output=True, text=True, check=False)
    assert "proxycommand" not in done.stdout


def tokens(sql: str) -> list[str]:
    """SQL by the manual's lexical rules: literals as ``'value``, names as ```value``, words."""
    found, position = [], 0
    rule = re.compile(
        r"\s+|'(?P<text>(?:[^'\\]|''|\\.)*)'|`(?P<name>(?:[^`]|``)*)`|(?P<word>\w+|[^\w\s])",
        re.DOTALL,
    )
    while position < len(sql):
        match = rule.match(sql, position)
        assert match, sql[position:]
        position = match.end()
        if match["text"] is not None:
            text = re.sub(r"\\(.)|''", lambda m: m[1] or "'", match["text"], flags=re.DOTALL)
            found.append("'" + text)
        elif match["name"] is not None:
            found.append("`" + match["name"].replace("``", "`"))
        elif match["word"]:
            found.append(match["word"])
    return found


@fuzzed
@given(user=HOSTILE, database=HOSTILE)
def test_a_name_in_a_statement_is_one_token(user: str, database: str) -> None:
    lack = {
        "name": user,
        "missing": True,
        "password_differs": False,
        "missing_grants": [database],
    }
    state = {"missing_databases": [database], "users": [lack]}
    account = DatabaseUser(user, SecretStr("x" * 8), (database,))
    create, make, grant = (tokens(sql) for _, sql in statements(state, [account]))
    assert create == ["CREATE", "DATABASE", "`" + database, "CHARACTER", "SET", "utf8mb3", ";"]
    assert make[:5] == ["CREATE", "USER", "'" + user, "@", "'%"]
    pattern = database.replace("\\", "\\\\").replace("_", "\\_").replace("%", "\\%")
    assert grant[3:] == ["ON", "`" + pattern, ".", "*", "TO", "'" + user, "@", "'%", ";"]
