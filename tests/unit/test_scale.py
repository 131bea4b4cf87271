"""Many hosts: what is the same for all is worked out once a run, whatever their number.

Counted in calls, because times differ from machine to machine; `./run bench --scale` measures them.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pyinfra_nova.knowledge.platforms import platforms_of
from pyinfra_nova.nova_conf import render
from pyinfra_nova.nova_conf.certificate_files import revocation_files
from pyinfra_nova.nova_conf.render import files_for
from pyinfra_nova.run import preflight
from pyinfra_nova.run.preflight import check_files
from pyinfra_nova.session import host_script
from pyinfra_nova.site.faults import SettingsError
from pyinfra_nova.site.names import named
from pyinfra_nova.site.run_scope import cut_off, scope_of
from pyinfra_nova.site.secrets import Secrets
from pyinfra_nova.site.settings import HostSettings, Site

from .site_data import debian, secrets, site

FEW, MANY = 3, 60
HOSTS: dict[str, dict[str, Any]] = {
    "controller": {"my_ip": "10.0.0.11"},
    "compute1": {"my_ip": "10.0.1.1"},
}


def many(number: int, passwords: Secrets | None = None, **own: Any) -> Site:
    """A site with a controller and NUMBER computes; OWN is what the first one has of its own."""
    hosts: dict[str, dict[str, Any]] = {
        f"compute{i}": {"my_ip": f"10.0.1.{i}"} for i in range(1, number + 1)
    }
    hosts["compute1"] |= own
    groups = {"controllers": ["controller"], "computes": list(hosts)}
    return site(
        {"management_network": "10.0.0.0/16"},
        groups=groups,
        hosts={"controller": {"my_ip": "10.0.0.11"}, **hosts},
        passwords=passwords,
    )


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Callable[[object, str], Counter[str]]:
    """How often functions of a module are called."""
    counted: Counter[str] = Counter()

    def count(module: object, name: str) -> Counter[str]:
        function = getattr(module, name)

        def counting(*arguments: Any, **more: Any) -> Any:
            counted[name] += 1
            return function(*arguments, **more)

        monkeypatch.setattr(module, name, counting)
        return counted

    return count


Calls = Callable[[object, str], "Counter[str]"]


@pytest.mark.parametrize("number", [FEW, MANY])
def test_the_files_of_a_kind_of_host_are_rendered_and_checked_once(
    calls: Calls, number: int
) -> None:
    calls(render, "_rendered")
    counted = calls(preflight, "file_findings")
    wanted = many(number)
    check_files(wanted)
    platforms = len(platforms_of("zed"))
    assert counted == {"_rendered": 2 * platforms, "file_findings": 2}
    for host in wanted.hosts.values():
        files_for(wanted, host, debian(), "qemu")
    assert counted["_rendered"] == 2 * platforms


def test_a_file_of_many_hosts_has_each_hosts_own_values() -> None:
    wanted = many(MANY)
    for name in ("compute1", "compute60"):
        host = wanted.hosts[name]
        text = "\n".join(file.content for file in files_for(wanted, host, debian(), "qemu"))
        assert f"\nmy_ip = {host.my_ip}\n" in text
        assert f"\nhost = {name}\n" in text
        assert f"\nserver_listen = {host.my_ip}\n" in text
        assert text.count("my_ip-") == text.count("nova_host-") == 0


def test_a_host_with_something_of_its_own_has_files_of_its_own(calls: Calls) -> None:
    counted = calls(render, "_rendered")
    wanted = many(FEW, nova_conf={"DEFAULT": {"debug": True}})
    texts = {
        name: files_for(wanted, host, debian(), "qemu")[0].content
        for name, host in wanted.hosts.items()
    }
    assert [name for name, text in texts.items() if "debug = true" in text] == ["compute1"]
    assert counted["_rendered"] == 3  # a controller, a compute, and this one


def test_a_host_that_differs_only_in_how_a_value_is_typed_is_of_another_kind() -> None:
    kinds = {
        many(FEW, nova_conf={"DEFAULT": {"max_logfile_count": value}}).hosts["compute1"].kind
        for value in (1, True, "1")
    }
    assert len(kinds) == 3


def test_the_same_host_of_another_site_is_rendered_with_that_sites_values() -> None:
    for password in ("first-password", "second-password"):
        wanted = many(FEW, passwords=secrets(nova_password=password))
        (nova_conf, *_) = files_for(wanted, wanted.hosts["compute1"], debian(), "qemu")
        assert f"password = {password}\n" in nova_conf.content


def test_a_fault_of_many_hosts_names_a_few_and_counts_the_rest() -> None:
    hosts = {f"compute{i}": {"my_ip": f"10.0.0.{i}"} for i in range(1, 9)}
    with pytest.raises(SettingsError) as raised:
        check_files(
            site(
                groups={"controllers": ["compute1"], "computes": list(hosts)},
                hosts=hosts,
                group_data={"computes": {"nova_conf": {"DEFAULT": {"no_such_option": 1}}}},
            )
        )
    assert "compute1, compute2, compute3, compute4, compute5 and 3 more" in str(raised.value)


def test_a_fault_of_a_group_is_said_once() -> None:
    with pytest.raises(SettingsError) as raised:
        site(group_data={"computes": {"libvirt": {"cpu_mode": "custom"}}})
    (fault,) = raised.value.faults
    assert fault.file == "group_data/computes.py"


@pytest.mark.parametrize(
    ("number", "said"),
    [(1, "h1"), (5, "h1, h2, h3, h4, h5"), (1000, "h1, h2, h3, h4, h5 and 995 more")],
)
def test_names_are_listed_or_counted(number: int, said: str) -> None:
    assert named([f"h{i}" for i in range(1, number + 1)]) == said


def test_a_run_of_some_hosts_names_a_few_of_those_it_leaves_out() -> None:
    left_out = scope_of(many(MANY), ["controller"]).left_out
    assert "leaves out compute1, compute2, compute3, compute4, compute5 and 55 more" in cut_off(
        "it", left_out
    )


def test_the_hosts_of_a_role_are_looked_for_once() -> None:
    wanted = many(FEW)
    assert wanted.computes is wanted.with_role("compute")
    assert [host.name for host in wanted.computes] == ["compute1", "compute2", "compute3"]


@pytest.mark.parametrize("number", [FEW, MANY])
def test_no_retired_compute_is_compared_with_each_that_leaves(calls: Calls, number: int) -> None:
    retired = {f"old{i}": {"my_ip": f"10.0.2.{i}", "state": "retired"} for i in range(1, number)}
    where = site(
        {"management_network": "10.0.0.0/16", "tls": {"mode": "internal"}},
        groups={"controllers": ["controller"], "computes": ["compute1", *retired]},
        hosts={**HOSTS, **retired},
        passwords=secrets(tls_secret="t" * 32),
    )
    counted = calls(HostSettings, "__eq__")
    leaving = list(where.retired)[1:]
    found = list(revocation_files(where, where.hosts["compute1"], debian(), leaving))
    assert found and not counted


@pytest.mark.parametrize("number", [FEW, MANY])
def test_the_scripts_are_read_once_for_all_hosts(
    monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    read: Counter[str] = Counter()
    read_text = Path.read_text

    def counting(path: Path, **more: Any) -> str:
        read[path.name] += 1
        return read_text(path, **more)

    monkeypatch.setattr(Path, "read_text", counting)
    host_script._modules.cache_clear()
    messages = [
        json.loads(host_script.script_input("units", {"host": i}, ("nova_state",)).readlines()[0])
        for i in range(number)
    ]
    assert read == {"units.py": 1, "nova_state.py": 1}
    assert [message["request"]["host"] for message in messages] == list(range(number))
    assert [name for name, _ in messages[-1]["modules"]] == ["nova_state", "units"]
