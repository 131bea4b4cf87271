"""What a compute and Nova know each other by: its name, its node, and since Nova 27 a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import PurePath
from typing import Annotated, Any

from pydantic import BaseModel, Field
from pyinfra.api import operation

from pyinfra_nova.knowledge.platforms import Platform, platforms_of
from pyinfra_nova.nova_conf.folders import STATE, instances_path
from pyinfra_nova.resources import databases
from pyinfra_nova.session.host_script import NO_ANSWER, ScriptFact, script_command
from pyinfra_nova.session.steps import Commands, Step, refused, taken
from pyinfra_nova.site.settings import HostSettings, Site

Uuid = Annotated[str, Field(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]


# --- what a host has ------------------------------------------------------------------------------


class IdentityFile(BaseModel):
    """A file in which nova-compute looks for its node's UUID.

    Attributes:
        problem: why Nova cannot read one there.
    """

    path: str
    uuid: Uuid | None
    problem: str | None


class Presence(BaseModel):
    """What a compute has of that by which Nova knows it; see ``files/compute_presence.py``.

    Attributes:
        name: the host's name as libvirt gives it, which is that of its node.
        host: ``[DEFAULT] host`` of its nova.conf as it is before this run.
        running: whether nova-compute runs; guests are only looked for where it does not.
        domains: those of libvirt, and whether Nova has made them.
        folders: the guests of which there are folders.
        unread: why guests are not known.
    """

    name: str
    host: str | None
    running: bool
    identities: list[IdentityFile]
    domains: dict[Uuid, bool] | None
    folders: list[Uuid] | None
    unread: str | None = None

    @property
    def guests(self) -> set[str] | None:
        """Nova's guests of which something is there; None where nobody knows."""
        if self.domains is None or self.folders is None:
            return None
        return {uuid for uuid, of_nova in self.domains.items() if of_nova} | set(self.folders)


@cache
def _places(release: str) -> Mapping[str, Any]:
    """Where Nova of RELEASE may have its files, whatever system it is on."""
    platforms = platforms_of(release)
    paths = [path for p in platforms for path in (p.paths.nova_conf, p.paths.nova_compute_conf)]
    units = [unit for p in platforms for unit in p.units_for(["compute"]) if unit.broker]
    return {
        "user": platforms[0].user,
        "files": list(dict.fromkeys(path for path in paths if path)),
        "state": STATE,
        "units": list(dict.fromkeys(unit.name for unit in units)),
    }


def presence_question(host: HostSettings, release: str) -> dict[str, Any] | None:
    """What a compute with Nova of RELEASE is asked; None for another host."""
    if not host.is_compute:
        return None
    return {**_places(release), "instances": instances_path(host)}


# --- what Nova has --------------------------------------------------------------------------------


class Node(BaseModel):
    """A compute node that is not deleted, by its host and the name of its hypervisor."""

    uuid: Uuid
    host: str
    name: str


class NovaComputes(BaseModel):
    """What Nova has of computes; see ``files/nova_computes.py``.

    Attributes:
        services: the versions of nova-compute's services, by host.
        guests: by host, those that have been built.
        error: why nothing is known; ``early`` where the run itself mends that.
    """

    nodes: list[Node] = []
    services: dict[str, int] = {}
    guests: dict[str, list[str]] = {}
    error: str | None = NO_ANSWER
    early: bool = False

    @cached_property
    def by_host(self) -> Mapping[str, Sequence[Node]]:
        found: dict[str, list[Node]] = {}
        for node in self.nodes:
            found.setdefault(node.host, []).append(node)
        return found

    @cached_property
    def by_uuid(self) -> Mapping[str, Node]:
        return {node.uuid: node for node in self.nodes}

    @cached_property
    def by_name(self) -> Mapping[str, Node]:
        """One of each name in lower case, as MariaDB compares them."""
        return {node.name.lower(): node for node in self.nodes}


class ComputesOfNova(ScriptFact):
    """What Nova has of its computes, where the preflight could not see it yet."""

    script = "nova_computes"
    uses = ("trust", "sql", "nova_state")


def nova_question(
    site: Site, computes: Sequence[HostSettings], *, there: bool = False
) -> dict[str, Any]:
    """What the primary controller is asked about COMPUTES; THERE: Nova's tables have to be."""
    return {
        "database": databases.as_nova(site),
        "names": {"cell1": site.settings.database.nova},
        "hosts": [compute.nova_host for compute in computes],
        "there": there,
    }


# --- what comes of it -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Outcome:
    """What is right for a compute: nothing to do, a file to be written, or why it is refused.

    Attributes:
        lost: the UUID that its file has to hold again.
        fault: what is wrong, and the remedy.
        said: what is right, in a few words.
    """

    lost: str | None = None
    fault: str | None = None
    said: str = ""


@operation()
def kept(found: Callable[[], Outcome], platform: Platform) -> Commands:
    """Have a compute start as what Nova knows it to be, as FOUND says; else it is not started."""
    outcome = found()
    if outcome.fault:
        yield from refused(outcome.fault)
        return
    if outcome.lost:
        path = str(PurePath(platform.paths.state) / "compute_id")
        who = {"user": platform.user, "group": platform.group}
        request = {"path": path, "uuid": outcome.lost, **who}
        text = f"put back {path}: Nova has this host as {outcome.lost}"
        yield from taken([Step(text, (script_command("compute_identity", "write", request),))])
