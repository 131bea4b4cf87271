"""The releases of Nova that are packed, and of which day their libraries are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from lab.shell import LabError

LOCKS = Path(__file__).with_name("locks")
"""What is installed of each release, exactly: `python -m lab.packages lock` writes it."""

BESIDE_NOVA = ("pymysql", "pymemcache", "python-memcached")
"""What a configured Nova loads by name, and no package of it asks for."""

PYTHON = "3.11"
"""The Python of the hosts, Debian 12's."""

PYTHON_3_11 = "2023-03-01"
"""A day on which what is written in C was built for Python 3.11, or could be."""


@dataclass(frozen=True)
class StandIn:
    """One release.

    Attributes:
        nova: the last version of it on PyPI.
        date: the day it came out; libraries are those of that day.
        limits: where the newest library of that day is not what the release was made with.
        newer: libraries of a later day, because those of that day do not know the hosts' Python.
    """

    nova: str
    date: str
    limits: tuple[str, ...] = ()
    newer: Mapping[str, str] = field(default_factory=dict)


def _of_python_3_11(*names: str) -> Mapping[str, str]:
    return MappingProxyType(dict.fromkeys(names, PYTHON_3_11))


# upper-constraints.txt of openstack/requirements has SQLAlchemy 1.4 up to 2024.2 and 2.0 from then
# on, also where a newer one was already there.
OLD_SQL = ("sqlalchemy<2",)
NEW_SQL = ("sqlalchemy<2.1",)
RELEASES: Mapping[str, StandIn] = MappingProxyType(
    {
        "yoga": StandIn(
            "25.3.0",
            "2022-03-30",
            OLD_SQL,
            # Wheels, or sources that compile without the libraries' own headers.
            _of_python_3_11("cffi", "eventlet", "greenlet", "lxml", "numpy", "yappi"),
        ),
        "zed": StandIn(
            "26.3.0",
            "2022-10-05",
            OLD_SQL,
            _of_python_3_11("eventlet", "greenlet", "yappi"),
        ),
        "2023.1": StandIn("27.5.1", "2023-03-22", OLD_SQL),
        "2023.2": StandIn("28.3.1", "2023-10-04", OLD_SQL),
        "2024.1": StandIn("29.4.0", "2024-04-03", OLD_SQL),
        "2024.2": StandIn("30.3.0", "2024-10-02", OLD_SQL),
        "2025.1": StandIn("31.3.1", "2025-04-02", NEW_SQL),
        "2025.2": StandIn("32.2.1", "2025-10-01", NEW_SQL),
        "2026.1": StandIn("33.0.2", "2026-04-01", NEW_SQL),
        "2026.2": StandIn("34.0.0", "2026-09-30", NEW_SQL),
    }
)


def stand_in(release: str) -> StandIn:
    """What is known of RELEASE.

    Raises:
        LabError: nothing is.
    """
    try:
        return RELEASES[release]
    except KeyError:
        raise LabError(
            f"there is no stand-in for {release}; possible are: {', '.join(RELEASES)}"
        ) from None


def lock_of(release: str) -> Path:
    """The lock of RELEASE.

    Raises:
        LabError: it was not made yet.
    """
    path = LOCKS / f"{release}.txt"
    if not path.is_file():
        raise LabError(f"{path} is missing: `python -m lab.packages lock --release {release}`")
    return path
