"""What is to be done about schemas and cells, from what the databases hold."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import SecretStr

from pyinfra_nova.resources.cells import doubles, steps, stuck
from pyinfra_nova.resources.nova_state import Cell, NovaDatabases

TEMPLATE = "{scheme}://{username}:{password}@{hostname}:{port}/"
DATABASES = NovaDatabases(
    host="controller",
    port=3306,
    user="nova",
    password=SecretStr("TopSecret"),
    api="nova_api",
    cell0="nova_cell0",
    cell1="nova",
    api_migrations="/api",
    main_migrations="/main",
    cells=(
        Cell("cell0", "none:///", TEMPLATE + "nova_cell0"),
        Cell("cell1", "rabbit://" + TEMPLATE, TEMPLATE + "nova"),
    ),
)
CURRENT = {"api": "current", "cell0": "current", "cell1": "current"}
RIGHT = [
    {"name": "cell0", "uuid": "0", "right": True, "disabled": False},
    {"name": "cell1", "uuid": "1", "right": True, "disabled": False},
]


def texts(**state: Any) -> list[str]:
    return [step.text for step in steps({"schemas": CURRENT, "cells": RIGHT, **state}, DATABASES)]


def commands(**state: Any) -> list[str]:
    found = steps({"schemas": CURRENT, "cells": RIGHT, **state}, DATABASES)
    return [str(command) for step in found for command in step.commands]


def test_nothing_is_done_where_all_is_right() -> None:
    assert texts() == []


def test_on_empty_databases_cell0_is_mapped_before_the_cells_schemas_are_made() -> None:
    missing = dict.fromkeys(CURRENT, "missing")
    assert texts(schemas=missing, cells=[]) == [
        "bring the schema of nova_api up to date",
        "map cell0",
        "create cell1",
        "bring the schemas of nova_cell0 and nova up to date",
    ]


def test_a_cell_that_points_elsewhere_is_updated_with_every_argument_given() -> None:
    (command,) = commands(cells=[{**RIGHT[0], "right": False}, RIGHT[1]])
    for part in ("update_cell", "--cell_uuid 0", "--name cell0", "none:///", "nova_cell0"):
        assert part in command


def test_a_disabled_cell_is_enabled_and_points_where_it_did() -> None:
    cells = [RIGHT[0], {**RIGHT[1], "disabled": True}]
    assert texts(cells=cells) == ["enable cell1, which takes no new guests"]
    (command,) = commands(cells=cells)
    for part in ("update_cell", "--cell_uuid 1", "--enable", "--transport-url"):
        assert part in command


def test_an_old_schema_alone_is_brought_up_to_date() -> None:
    assert texts(schemas={**CURRENT, "cell0": "old"}) == [
        "bring the schemas of nova_cell0 and nova up to date"
    ]


def test_a_first_migration_that_was_cut_off_is_begun_anew_while_nothing_is_stored() -> None:
    missing = dict.fromkeys(CURRENT, "missing")
    first, second, *_ = texts(schemas={**missing, "api": "empty"}, cells=[])
    assert "drop the empty tables of nova_api" in first
    assert second == "bring the schema of nova_api up to date"


def test_a_migration_cut_off_with_something_stored_is_for_a_person() -> None:
    problem = stuck({"schemas": {**CURRENT, "cell1": "stuck"}}, DATABASES)
    assert problem is not None and problem.startswith("database nova has tables but no schema")
    assert stuck({"schemas": CURRENT}, DATABASES) is None


def test_no_command_holds_the_password() -> None:
    missing = dict.fromkeys(CURRENT, "missing")
    assert "TopSecret" not in "".join(commands(schemas=missing, cells=[]))


@pytest.mark.parametrize("name", ["cell1", "cell7"])
def test_a_further_cell_is_refused_with_the_command_that_removes_it(name: str) -> None:
    further = {"name": name, "uuid": "b2c8", "right": False}
    assert "delete_cell --cell_uuid b2c8" in str(doubles({"cells": [*RIGHT, further]}))
    assert doubles({"cells": RIGHT}) is None
