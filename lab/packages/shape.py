"""What the packages of a release are like on a system: its row of platforms.yaml."""

from __future__ import annotations

from dataclasses import dataclass

import yaml

from lab.packages.releases import stand_in
from lab.shell import LabError
from pyinfra_nova.knowledge import platforms, releases
from pyinfra_nova.knowledge.platforms import Platform

SERIES = {"jammy": "22.04", "noble": "24.04"}
"""Ubuntu's own names of its versions, as in its archive."""

CLOUD_ARCHIVE = "ubuntu-cloud.archive.canonical.com"
ARCHIVE = "archive.ubuntu.com"


@dataclass(frozen=True)
class Shape:
    """The packages of a release for a series.

    Attributes:
        row: whose names and paths they have.
        suite: of the archive that holds them, the Ubuntu Cloud Archive's pocket or the series.
        archive: the host name of that archive.
        version: as that archive would call it.
    """

    series: str
    release: str
    row: Platform
    suite: str
    archive: str
    version: str


def codename(release: str) -> str:
    """What the Ubuntu Cloud Archive calls RELEASE."""
    names: dict[str, str] = yaml.safe_load(platforms.TABLE.read_text(encoding="utf-8"))["codenames"]
    return names[release]


def native_release(series: str) -> str:
    """The release that SERIES has without the Ubuntu Cloud Archive."""
    return next(
        row.release
        for row in platforms.table().platforms
        if (row.os, row.os_version) == ("ubuntu", SERIES[series])
        and row.repository is not None
        and not row.repository.ids
    )


def _row(series: str, release: str) -> tuple[Platform, bool]:
    """The row for both, or the nearest; whether it is theirs."""
    ubuntu = [row for row in platforms.table().platforms if row.os == "ubuntu"]
    own = [row for row in ubuntu if row.os_version == SERIES[series]]
    for row in own:
        if row.release == release:
            return row, True
    if releases.VERSIONS[release] < releases.VERSIONS[own[-1].release]:
        known = ", ".join(row.release for row in own)
        raise LabError(f"{release} is not for {series}; possible are {known} and later ones")
    # The upgrade through all releases stays on one host, whatever the series has.
    return next((row for row in ubuntu if row.release == release), ubuntu[-1]), False


def shape_of(series: str, release: str) -> Shape:
    """The shape of RELEASE for SERIES; one that is too late for it has a later series' shape.

    Raises:
        LabError: there is no such series, no stand-in for the release, or it is older than those
            of the series.
    """
    if series not in SERIES:
        raise LabError(f"there is no series {series}; possible are: {', '.join(SERIES)}")
    nova = stand_in(release).nova
    row, own = _row(series, release)
    native = own and row.repository is not None and not row.repository.ids
    return Shape(
        series=series,
        release=release,
        row=row,
        suite=series if native else f"{series}-updates/{codename(release)}",
        archive=ARCHIVE if native else CLOUD_ARCHIVE,
        version=f"3:{nova}-0ubuntu1" + ("" if native else "~cloud0"),
    )
