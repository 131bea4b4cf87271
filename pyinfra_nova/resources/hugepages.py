"""Huge pages of a compute: set aside now, as far as there is room, and for every boot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pyinfra import host
from pyinfra.api import operation

from pyinfra_nova.session.host_script import NO_ANSWER, ScriptFact, ask, script_command
from pyinfra_nova.session.steps import Commands, changing, refused, say
from pyinfra_nova.site.capacity import HugePages


class HugePageDifferences(ScriptFact):
    """What differs from the pages that should be set aside, and what is left to do by hand."""

    script = "hugepages"
    uses = ("mount_users",)


def _request(pages: Sequence[HugePages], libvirtd: str, *, apply: bool) -> dict[str, Any]:
    wanted = [{"kilobytes": p.kilobytes, "count": p.count, "node": p.node} for p in pages]
    return {"pages": wanted, "daemons": [libvirtd], "apply": apply}


def comparison(pages: Sequence[HugePages], libvirtd: str) -> dict[str, Any]:
    """What HugePageDifferences is asked to compare PAGES with a host's."""
    return _request(pages, libvirtd, apply=False)


@operation()
def set_aside(pages: Sequence[HugePages], libvirtd: str) -> Commands:
    """Have PAGES set aside, and no others of an earlier run; LIBVIRTD is the unit of its daemon.

    A reboot that is needed for it is said, never made. Pages that the host cannot have, or more
    than nine tenths of its memory, end the run. As long as memory is too fragmented for all of
    them, the next plan has them again. What guests still use stays, and is said.
    """
    found = ask(host, HugePageDifferences, comparison(pages, libvirtd))
    if error := found.get("error", NO_ANSWER):
        yield from refused(str(error))
        return
    for text in (*found.get("changes", []), *found.get("remarks", [])):
        say(text)
    if found.get("changes"):
        request = _request(pages, libvirtd, apply=True)
        uses = HugePageDifferences.uses
        yield changing(script_command("hugepages", "apply", request, uses))
        if host.state.is_executing:
            left = ask(host, HugePageDifferences, comparison(pages, libvirtd))
            for text in left.get("changes", []):
                say(f"left, where memory has no room in one piece until a reboot: {text}")
            for text in left.get("remarks", []):
                if text not in found.get("remarks", []):
                    say(text)
