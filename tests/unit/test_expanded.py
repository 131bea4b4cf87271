"""Options that refer to others, as oslo.config reads them, and the folders that the proof tries."""

from __future__ import annotations

from pathlib import Path

import pytest
from oslo_config import cfg

from pyinfra_nova.nova_conf.ini import expanded, option_values
from pyinfra_nova.proof import host_proof
from pyinfra_nova.run.host_plan import HostPlan
from pyinfra_nova.site.run_scope import scope_of

from .site_data import debian, site

TEXT = """
[DEFAULT]
state_path = /s
name = $state_path
a = $state_path/x
b = ${state_path}/x
c = ${state_path}x/$name/${name}
d = \\$state_path
e = $$state_path
f = 5$ and $ 5
[own]
state_path = /own
a = $state_path/x
b = ${state_path}/$name
"""
OPTIONS = [*(("DEFAULT", name) for name in "abcdef"), ("own", "a"), ("own", "b")]


@pytest.fixture
def oslo(tmp_path: Path) -> cfg.ConfigOpts:
    path = tmp_path / "nova.conf"
    path.write_text(TEXT)
    found = cfg.ConfigOpts()
    for section, names in ((None, ["name", *"abcdef"]), ("own", ["a", "b"])):
        found.register_opts([cfg.StrOpt(name) for name in ("state_path", *names)], section)
    found(["--config-file", str(path)])
    return found


@pytest.mark.parametrize(("section", "name"), OPTIONS)
def test_an_option_is_what_oslo_config_makes_of_it(
    section: str, name: str, oslo: cfg.ConfigOpts
) -> None:
    where = oslo if section == "DEFAULT" else oslo[section]
    assert expanded(f"{section}/{name}", option_values(TEXT)) == where[name]


def test_a_section_may_be_named() -> None:
    values = {"own/a": ["/own"], "DEFAULT/b": ["${own.a}/x"], "DEFAULT/c": ["$own.a/x"]}
    assert expanded("DEFAULT/b", values) == "/own/x" == expanded("DEFAULT/c", values)


@pytest.mark.parametrize("value", ["$a", "$b/x", "${nobody}"])
def test_what_cannot_be_told_is_nothing(value: str) -> None:
    assert expanded("DEFAULT/a", {"DEFAULT/a": [value], "DEFAULT/b": ["$a"]}) is None
    assert expanded("DEFAULT/x", {}) is None


@pytest.mark.parametrize("spelling", ["$state_path", "${state_path}"])
def test_the_proof_writes_where_nova_does(spelling: str) -> None:
    where = site()
    compute = where.hosts["compute1"]
    plan = HostPlan(compute, where, debian(), "qemu", scope_of(where, where.hosts))
    options = {
        "DEFAULT/state_path": ["/srv/nova"],
        "DEFAULT/instances_path": [f"{spelling}/guests"],
        "oslo_concurrency/lock_path": [f"{spelling}/tmp"],
    }
    assert host_proof._folders(plan, options) == [
        *("/srv/nova", "/srv/nova/tmp", "/srv/nova/guests"),
    ]
    assert host_proof._folders(plan, {}) == ["/var/lib/nova", "/var/lib/nova/instances"]


def test_a_dollar_sign_that_the_settings_ask_for_is_one() -> None:
    """What is in nova_conf is written literally: oslo.config reads no name there."""
    literal = {"DEFAULT": {"instances_path": "/srv/$state_path"}}
    where = site(group_data={"computes": {"nova_conf": literal}})
    compute = where.hosts["compute1"]
    plan = HostPlan(compute, where, debian(), "qemu", scope_of(where, where.hosts))
    assert "/srv/$state_path" in host_proof.question(plan, [])["folders"]
