"""Data that means something to a shell, SQL, INI, Jinja or a URL ends up literally or is refused.

Refused: by a fault that names file and key on one line. Literally: read back by real parsers.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from oslo_config import types as oslo_types

from pyinfra_nova.site.faults import SettingsError
from pyinfra_nova.site.settings import Site
from tests.unit.hostile_text import HOSTILE, URLISH, assert_same_urls, fuzzed, options
from tests.unit.site_data import GROUPS, HOSTS, site


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
