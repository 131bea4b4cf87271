"""The tables of releases, and how they are made."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from oslo_config import cfg, types

from pyinfra_nova.knowledge.releases import HERE, VERSIONS, added, load, removed
from pyinfra_nova.knowledge.releases.generate.dump import described, options_of
from pyinfra_nova.knowledge.releases.generate.option_history import noted, removed_options

MEGABYTE = 1_000_000


@pytest.mark.parametrize(
    ("option", "data"),
    [
        (
            cfg.IntOpt("a", default=3, min=1, max=5),
            {"type": "integer", "min": 1, "max": 5, "default": "3"},
        ),
        (cfg.PortOpt("a"), {"type": "port", "min": 0, "max": 65535}),
        (cfg.StrOpt("a", choices=["x", "y"]), {"type": "string", "choices": ["x", "y"]}),
        (cfg.StrOpt("a", secret=True, default="no"), {"type": "string", "secret": True}),
        (
            cfg.StrOpt("a", default="/here", sample_default="<path>"),
            {"type": "string", "default": "<path>"},
        ),
        (
            cfg.MultiStrOpt("a", default=["x"]),
            {"type": "string", "multi": True, "default": "x"},
        ),
        (
            cfg.ListOpt("a", item_type=types.Integer(min=1), bounds=True),
            {"type": "list", "item": {"type": "integer", "min": 1}, "bounds": True},
        ),
        (cfg.IPOpt("a", version=4), {"type": "ip", "version": 4}),
        (cfg.URIOpt("a", schemes=["http"]), {"type": "uri", "schemes": ["http"]}),
        (
            cfg.BoolOpt(
                "a",
                deprecated_for_removal=True,
                deprecated_since="21.0.0",
                deprecated_reason="\n it is\n old ",
            ),
            {"type": "boolean", "deprecated": "it is old", "since": "21.0.0"},
        ),
        (
            cfg.BoolOpt("a-b", deprecated_name="c", deprecated_group="DEFAULT"),
            {"type": "boolean", "former": ["DEFAULT/c"]},
        ),
        (
            cfg.BoolOpt("a", deprecated_opts=[cfg.DeprecatedOpt("b-c"), cfg.DeprecatedOpt("a")]),
            {"type": "boolean", "former": ["b-c", "b_c"]},
        ),
    ],
)
def test_an_option_as_data(option: cfg.Opt, data: dict[str, Any]) -> None:
    assert described(option) == data


def test_options_are_held_by_the_name_that_a_file_writes() -> None:
    listed = [(None, [cfg.StrOpt("a-b")]), (cfg.OptGroup("api"), [cfg.StrOpt("c")])]
    assert options_of(listed) == {
        "DEFAULT": {"a_b": {"type": "string"}},
        "api": {"c": {"type": "string"}},
    }


def test_what_became_of_options() -> None:
    history: Any = [
        (1, {"DEFAULT": {"old": [], "gone": [], "back": []}, "api": {"kept": []}}),
        (2, {"DEFAULT": {}, "api": {"kept": [], "new": ["DEFAULT/old"]}}),
        (3, {"DEFAULT": {"back": []}, "api": {"kept": [], "new": []}}),
    ]
    note = {"upgrade": ["The ``gone`` option has been removed. It did nothing."]}
    found = removed_options(history, {}, {"notes/x.yaml": note}, {"api/never": {"removed": 0}})
    assert found == {
        "DEFAULT/gone": {
            "removed": 2,
            "reason": "The gone option has been removed. It did nothing.",
            "source": "notes/x.yaml",
        },
        "DEFAULT/old": {"removed": 3, "instead": "api/new"},
        "api/never": {"removed": 0},
    }


def test_a_note_that_only_uses_the_word_gives_no_reason() -> None:
    notes = {"x": {"upgrade": ["Options to enable ``extensions`` have been removed."]}}
    assert noted("cells/enable", notes) == {}
    assert noted("cells/extensions", notes)["source"] == "x"


@pytest.mark.parametrize(("older", "newer"), list(pairwise(VERSIONS)))
def test_what_a_release_drops_is_explained_in_the_next(older: str, newer: str) -> None:
    before, now = load(older), load(newer)
    for section in before.sections():
        for name in before.names(section):
            if not now.option(section, name) and not now.renamed(section, name):
                row = removed(section, name, newer)
                assert row is not None, f"{section}/{name}"
                assert row.version == VERSIONS[newer]
                assert removed(section, name, older) is None


@pytest.mark.parametrize(("older", "newer"), list(pairwise(VERSIONS)))
def test_what_a_release_adds_is_new_for_the_one_before(older: str, newer: str) -> None:
    before, now = load(older), load(newer)
    for section in now.sections():
        if section in now.login_sections and section not in before.login_sections:
            continue  # what a login takes is no option of one section
        for name in now.names(section):
            if not before.option(section, name) and not before.renamed(section, name):
                login = section in now.login_sections and name not in _own(newer, section)
                was_there = removed(section, name, older)
                assert login or was_there or added(section, name, older) == VERSIONS[newer], name


def _own(release: str, section: str) -> set[str]:
    file = HERE / f"{VERSIONS[release]}.json"
    return set(json.loads(file.read_text(encoding="utf-8"))["sections"][section])


def test_secrets_are_known_and_have_no_default() -> None:
    for release in VERSIONS:
        table = load(release)
        for section, name in [
            ("DEFAULT", "transport_url"),
            ("database", "connection"),
            ("api_database", "connection"),
            ("neutron", "password"),
            ("neutron", "metadata_proxy_shared_secret"),
            ("keystone_authtoken", "memcache_secret_key"),
        ]:
            option = table.option(section, name)
            assert option is not None
            assert option.secret
            assert option.default is None


def test_tables_are_small() -> None:
    assert sum(file.stat().st_size for file in HERE.glob("*.json")) < 3 * MEGABYTE


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
