"""Nova's schemas and its cells v2 mappings, brought in line rather than created once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pyinfra import host
from pyinfra.api import StringCommand, operation
from pyinfra.api.command import QuoteString

from pyinfra_nova.resources.nova_state import (
    Cell,
    NovaDatabases,
    NovaState,
    State,
    command,
    unread,
)
from pyinfra_nova.session.host_script import ask
from pyinfra_nova.session.steps import Commands, Step, refused, say, taken

BEHIND = ("missing", "old", "empty")
"""The states of a schema that a migration brings up to date."""


def nova_manage(*arguments: str) -> StringCommand:
    """``nova-manage ARGUMENTS`` as the user nova, so that its log file stays the daemons' own."""
    quoted = (QuoteString(argument) for argument in arguments)
    return StringCommand("runuser -u nova -- nova-manage", *quoted)


def doubles(state: State) -> str | None:
    """What to do about cells other than one cell0 and one cell1; None where there are none.

    A cell that nobody declared is for a person to remove; nothing here deletes a mapping.
    """
    seen: set[str] = set()
    repairs = []
    for cell in state["cells"] or ():
        if cell["name"] in seen or cell["name"] not in ("cell0", "cell1"):
            repairs.append(f"nova-manage cell_v2 delete_cell --cell_uuid {cell['uuid']}")
        seen.add(cell["name"])
    if not repairs:
        return None
    return (
        "the cell mappings hold more than cell0 and cell1. See `nova-manage cell_v2 list_cells`, "
        "then remove those that hold no instances: " + "; ".join(repairs)
    )


def _found(state: State, name: str) -> dict[str, Any] | None:
    return next((cell for cell in state["cells"] if cell["name"] == name), None)


def _map_cell0(cell: Cell) -> Step:
    # Without the option map_cell0 decodes the URL of nova.conf before it appends _cell0, which
    # breaks every password with a percent-encoded character (nova/cmd/manage.py).
    command = nova_manage("cell_v2", "map_cell0", "--database_connection", cell.database_connection)
    return Step("map cell0", (command,))


def _create(cell: Cell) -> Step:
    command = nova_manage(
        *("cell_v2", "create_cell", "--name", cell.name, "--verbose"),
        *("--transport-url", cell.transport_url),
        *("--database_connection", cell.database_connection),
    )
    return Step(f"create {cell.name}", (command,))


def _update(uuid: str, cell: Cell) -> Step:
    # Every argument is given: what is left out is taken from nova.conf, which for cell0 is wrong.
    command = nova_manage(
        *("cell_v2", "update_cell", "--cell_uuid", uuid, "--name", cell.name),
        *("--transport-url", cell.transport_url),
        *("--database_connection", cell.database_connection),
    )
    return Step(f"point {cell.name} at the database and broker of nova.conf", (command,))


def _enable(uuid: str, cell: Cell) -> Step:
    # Only this option changes it, and what is not given is taken from nova.conf (`_update`).
    command = nova_manage(
        *("cell_v2", "update_cell", "--cell_uuid", uuid, "--enable"),
        *("--transport-url", cell.transport_url),
        *("--database_connection", cell.database_connection),
    )
    return Step(f"enable {cell.name}, which takes no new guests", (command,))


def stuck(state: State, databases: NovaDatabases) -> str | None:
    """What to do about schemas that no migration can go on from; None where there are none."""
    names = _in_state(state["schemas"], databases, "stuck")
    if not names:
        return None
    return (
        f"database {', '.join(names)} has tables but no schema version: a first migration was cut "
        "off after something was stored, or something else lives there. Restore it from a backup, "
        "or drop its tables if nothing in them is needed"
    )


def _in_state(schemas: Mapping[str, str], databases: NovaDatabases, found: str) -> list[str]:
    return [getattr(databases, key) for key, state in schemas.items() if state == found]


def _clear(schemas: Mapping[str, str], databases: NovaDatabases) -> Iterator[Step]:
    names = _in_state(schemas, databases, "empty")
    if names:
        request = {**databases.as_request(), "clear": names}
        text = f"drop the empty tables of {', '.join(names)}: their migration was cut off"
        yield Step(text, (command("clear", request),))


def _not_known(state: State, databases: NovaDatabases) -> Iterator[Step]:
    """What a plan says of what cannot be looked at yet; while operations run it is refused."""
    names = _in_state(state["schemas"], databases, "unknown")
    if names:
        text = f"compare schemas and cells once {', '.join(names)} can be read ({state['error']})"
        yield Step(text, (command("read", databases.as_request()),))


def steps(state: State, databases: NovaDatabases) -> Iterator[Step]:
    """What is to be done, in Nova's own order: the API schema, cell0, cell1, the cells' schemas."""
    schemas = state["schemas"]
    yield from _not_known(state, databases)
    yield from _clear(schemas, databases)
    if schemas["api"] in BEHIND:
        sync = nova_manage("api_db", "sync")
        yield Step(f"bring the schema of {databases.api} up to date", (sync,))
    for cell, make in zip(databases.cells, (_map_cell0, _create), strict=True):
        if state["cells"] is None:
            continue
        found = _found(state, cell.name)
        if found is None:
            yield make(cell)
        elif not found["right"]:
            yield _update(found["uuid"], cell)
        if found and found["disabled"]:
            yield _enable(found["uuid"], cell)
    if schemas["cell0"] in BEHIND or schemas["cell1"] in BEHIND:
        text = f"bring the schemas of {databases.cell0} and {databases.cell1} up to date"
        yield Step(text, (nova_manage("db", "sync"),))


@operation()
def converged(databases: NovaDatabases) -> Commands:
    """Have current schemas, and exactly cell0 and cell1 with the right URLs.

    The order matters: ``db sync`` before cell0 is mapped leaves cell0 without tables and still
    exits 0.
    Further cells end the run, with the exact repair. A first migration that was cut off is begun
    anew as long as nothing was stored: what MariaDB has made of it cannot be gone on from.
    Nothing is concluded from a database that does not answer: the run ends with what it said.
    """
    state = ask(host, NovaState, databases.as_request())
    if problem := unread(state) or doubles(state) or stuck(state, databases):
        yield from refused(problem)
        return
    if state["error"] and "unknown" not in state["schemas"].values():
        say(f"Nova cannot look into its databases yet ({state['error']})")
    yield from taken(list(steps(state, databases)))
