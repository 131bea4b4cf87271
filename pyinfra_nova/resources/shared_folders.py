"""Guests' folders that computes have on storage which they share."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.state import State
from pyinfra.context import ctx_host

from pyinfra_nova.session.connections import at_once
from pyinfra_nova.session.host_script import ScriptFact, ask


class SharedFolders(ScriptFact):
    """The guests whose folders a compute has on shared storage."""

    script = "shared_folders"
    uses = ("host_guests",)


def seen(state: State, folders: Mapping[str, str], guests: Collection[str]) -> dict[str, set[str]]:
    """Of each of GUESTS the hosts that have its folder; FOLDERS are where, by name.

    Asked side by side; a host that does not answer has none.
    """

    def asked(name: str) -> list[str]:
        other = state.inventory.get_host(name)
        request = {"instances": folders[name], "guests": sorted(guests)}
        try:
            with ctx_host.use(other):
                there: list[str] = ask(other, SharedFolders, request).get("there", [])
        except PyinfraError:
            return []
        return there

    pool = at_once(state)
    jobs = {name: pool.spawn(asked, name) for name in folders}
    found: dict[str, set[str]] = {uuid: set() for uuid in guests}
    for name, job in jobs.items():
        for uuid in job.get():
            found[uuid].add(name)
    return found
