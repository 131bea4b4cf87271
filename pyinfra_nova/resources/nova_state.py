"""Nova's own state, read from its databases in one remote command."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr
from pyinfra import host
from pyinfra.api import StringCommand

from pyinfra_nova.session.host_script import NO_ANSWER, ScriptFact, script_command


@dataclass(frozen=True)
class Cell:
    """A cell mapping as it should be; both URLs are templates that hold no secret.

    Nova fills ``{username}``, ``{password}`` and the rest from its own nova.conf when it reads the
    mapping (nova's admin guide, cells, "Template URLs"), so a rotated password changes no row.
    """

    name: str
    transport_url: str
    database_connection: str


@dataclass(frozen=True)
class NovaDatabases:
    """Where Nova's databases are, and what its package and its site expect in them."""

    host: str
    port: int
    user: str
    password: SecretStr
    api: str
    cell0: str
    cell1: str
    api_migrations: str
    main_migrations: str
    cells: tuple[Cell, Cell]

    def as_request(self) -> dict[str, Any]:
        cell0, cell1 = self.cells
        return {
            "database": {
                "host": self.host,
                "port": self.port,
                "user": self.user,
                "password": self.password.get_secret_value(),
            },
            "names": {"api": self.api, "cell0": self.cell0, "cell1": self.cell1},
            "migrations": {"api": self.api_migrations, "main": self.main_migrations},
            "cells": {
                cell.name: {
                    "transport_url": cell.transport_url,
                    "database_connection": cell.database_connection,
                }
                for cell in (cell0, cell1)
            },
        }


State = Mapping[str, Any]


class NovaState(ScriptFact):
    """Schemas and cell mappings."""

    script = "nova_state"
    uses = ("trust", "sql")


def command(verb: str, request: Mapping[str, Any]) -> StringCommand:
    """The command that acts on Nova's databases as REQUEST says."""
    return script_command(NovaState.script, verb, request, NovaState.uses)


def unread(state: State) -> str | None:
    """Why the run ends here: Nova's databases could not be read. None where it goes on.

    A plan goes on without what an earlier operation of the run brings: packages, an account.
    """
    error = state.get("error", NO_ANSWER)
    if error and (host.state.is_executing or not state.get("early")):
        return f"Nova's databases could not be read: {error}"
    return None
