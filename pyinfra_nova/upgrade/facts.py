"""What an upgrade has to know of the cloud: asked once, and only where one is wanted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError

from pyinfra_nova.audit.question import CloudAudit, of_cloud
from pyinfra_nova.care.files import STATE
from pyinfra_nova.session.host_script import ScriptFact
from pyinfra_nova.site.settings import HostSettings, Site

HARMFUL = (
    *("broker-down", "cell-doubled", "cell-missing"),
    *("service-of-a-stranger", "service-renamed", "service-doubled", "service-in-cell0"),
    *("service-silent", "compute-doubled", "compute-unmapped"),
    *("node-of-a-stranger", "nodes-doubled", "hypervisor-name-doubled"),
    *("guest-without-node", "guest-unmapped", "guest-on-unnamed-host", "machine-type-unset"),
    *("guest-stuck", "migration-stuck", "move-not-recorded"),
)
"""The kinds of an audit's findings with which no upgrade is begun."""
SLOWING = ("rows-not-archived",)
"""Those that only make it take longer."""
OF_ITS_OWN = ("service-silent",)
"""Those that an upgrade which was cut off may have left itself: the next run goes on past them."""

PROGRAMS, ARCHIVES, DATA = "/usr", "/var/cache", "/var/lib/mysql"
"""Where packages are unpacked, where they are fetched to, where MariaDB keeps its tables."""
Bytes = Annotated[int, Field(ge=0, le=2**62)]
Few = Annotated[list[Annotated[str, Field(max_length=400)]], Field(max_length=5)]


class DiskRoom(ScriptFact):
    """How much room there is on a host."""

    script = "disk_room"


class UpgradeFacts(ScriptFact):
    """What the cloud says of itself, on the primary controller."""

    script = "upgrade_facts"
    uses = (*CloudAudit.uses, CloudAudit.script, "jobs", "guest_numbers", DiskRoom.script)


class Finding(BaseModel):
    """One of an audit's."""

    kind: str
    where: str
    what: str
    remedy: str


class Some(BaseModel):
    """How many there are, and what a few of them are called."""

    count: Annotated[int, Field(ge=0)]
    few: Few


class Place(BaseModel):
    """One folder: which file system it is on, and what is free there."""

    disk: int
    free: Bytes


Room = Mapping[str, Place]


class Rows(BaseModel):
    """What ``nova-manage db online_data_migrations`` will find; see ``files/guest_numbers.py``."""

    matched: Annotated[int, Field(ge=0)]
    left: Annotated[int, Field(ge=0)]
    few: Few


class LastBackup(BaseModel):
    """What the timer's job has left.

    Attributes:
        done: the epoch of the last one that there is; None for none.
    """

    outcome: str
    said: str = ""
    done: float | None = None


class Facts(BaseModel):
    """The answer; see ``files/upgrade_facts.py``.

    Attributes:
        computes: the versions of nova-compute's services, by host.
        linux_bridges: hosts with that agent of Neutron's; None where Neutron does not say.
        bytes: of Nova's databases.
        at: the epoch at which the databases were read.
    """

    findings: list[Finding]
    silent: dict[str, str]
    guests: dict[str, Some]
    computes: dict[str, int]
    linux_bridges: list[str] | None
    room: dict[str, Place]
    rows: Rows | None
    bytes: Bytes | None
    backup: LastBackup | None
    at: float

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Facts | None:
        """The facts that ANSWER is; None where it is nothing that can be read."""
        try:
            return cls.model_validate(answer)
        except ValidationError:
            return None


def paths_of(site: Site, host: HostSettings) -> list[str]:
    """The folders of HOST in which an upgrade needs room."""
    found = [PROGRAMS, ARCHIVES] if host.is_controller or host.is_compute else []
    backup = site.settings.care.backup
    if backup and host.name == site.primary_controller.name:
        found.append(backup.folder)
    if site.database_host and site.database_host.name == host.name:
        found.append(DATA)
    return found


def question(site: Site) -> dict[str, Any]:
    """What UpgradeFacts is asked on the primary controller."""
    return {
        **of_cloud(site, None),
        "kinds": [*HARMFUL, *SLOWING],
        "paths": paths_of(site, site.primary_controller),
        "care": STATE,
    }


def room_question(paths: Sequence[str]) -> dict[str, Any]:
    """What DiskRoom is asked."""
    return {"paths": list(paths)}


def room_of(answer: Mapping[str, Any]) -> dict[str, Place] | None:
    """The room that DiskRoom's ANSWER tells of; None where it tells of none."""
    try:
        return {path: Place.model_validate(each) for path, each in answer["room"].items()}
    except (ValidationError, KeyError, AttributeError):
        return None
