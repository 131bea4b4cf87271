"""What the Nova of each OpenStack release reads from nova.conf, as data made by ``generate/``.

Nothing but Python's own library is needed to read it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent

VERSIONS: Mapping[str, int] = {
    "yoga": 25,
    "zed": 26,
    "2023.1": 27,
    "2023.2": 28,
    "2024.1": 29,
    "2024.2": 30,
    "2025.1": 31,
    "2025.2": 32,
    "2026.1": 33,
    "2026.2": 34,
}
"""The major version of Nova in each release, oldest first."""


BACKPORTED: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    # The fix of CVE-2026-44393, which packages of older releases have got, with another default:
    # Debian's python3-oslo.messaging 14.0.3-0+deb12u1 and 16.1.0-3+deb13u1.
    "oslo_messaging_rabbit": {
        "ssl_enforce_hostname_verification": {"type": "boolean", "default": "false"},
    },
}
"""Options that a release has in packages of systems alone; elsewhere they are passed over."""


@dataclass(frozen=True)
class Option:
    """An option as one release reads it.

    Attributes:
        section, name: as nova.conf writes them.
        data: what ``generate/dump.py`` says of it: `type` and its bounds, `default` where it is
            short, and so on.
    """

    section: str
    name: str
    data: Mapping[str, Any]

    @property
    def secret(self) -> bool:
        """Its value is not to be shown."""
        return bool(self.data.get("secret"))

    @property
    def multi(self) -> bool:
        """It may be given several times, and every value counts."""
        return bool(self.data.get("multi"))

    @property
    def default(self) -> str | None:
        """As a file would write it; None if it has none, or one that no file could hold."""
        value: str | None = self.data.get("default")
        return value

    @property
    def deprecated(self) -> str | None:
        """Why it is to go, "" if nothing is said; None if it is not to go."""
        reason: str | None = self.data.get("deprecated")
        return reason

    @property
    def since(self) -> str:
        """The release that deprecated it, in the option's own words."""
        return str(self.data.get("since", ""))


@dataclass(frozen=True)
class Removed:
    """What became of an option that a release does not have any more.

    Attributes:
        version: the first major version of Nova without it; 0 if there never was such an option.
        reason: in words for an operator, or "".
        source: what says so: a release note of Nova, a file of it or a library; or "".
        instead: the ``section/option`` that took its place, or "".
    """

    version: int
    reason: str = ""
    source: str = ""
    instead: str = ""

    @property
    def problem(self) -> str:
        """One line that says all of it."""
        gone = f"gone since Nova {self.version}" if self.version else "there is no such option"
        return f"{gone}: {self.reason}" if self.reason else gone


def normal(section: str) -> str:
    """SECTION as oslo.config compares it: in lower case, DEFAULT apart (cfg.py)."""
    return section if section == "DEFAULT" else section.lower()


class Table:
    """Every option that one release reads."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self.release: str = data["release"]
        self.nova: str = data["nova"]
        self.libraries: Mapping[str, str] = data["libraries"]
        self.scheduler_filters = frozenset(data["scheduler_filters"])
        self.login_sections = frozenset(data["auth"]["sections"])
        self.login_plugins = frozenset(data["auth"]["plugins"])
        self._login: Mapping[str, Any] = data["auth"]["options"]
        self.login_options = frozenset(self._login)
        self._sections: Mapping[str, Any] = data["sections"]
        self._families = tuple(name[:-1] for name in self._sections if name.endswith("*"))
        self._former = dict(self._former_names())

    def with_logins(self, sections: Iterable[str]) -> Table:
        """This table, SECTIONS having a login's options too: others say so in ``auth_section``."""
        more = frozenset(map(normal, sections)) - self.login_sections
        if not more:
            return self
        table = copy(self)
        table.login_sections = self.login_sections | more
        auth_type = {"auth_type": self._sections["keystone_authtoken"]["auth_type"]}
        table._sections = dict.fromkeys(more, auth_type) | dict(self._sections)
        table._former = dict(table._former_names())
        return table

    def _former_names(self) -> Iterator[tuple[tuple[str, str], tuple[str, str]]]:
        for section, options in self._sections.items():
            login = self._login if section in self.login_sections else {}
            for name, data in (*options.items(), *login.items()):
                for former in data.get("former", ()):
                    group, _, old = former.rpartition("/")
                    yield (normal(group or section), old), (section, name)

    def _held(self, section: str) -> str:
        """The section of the table that SECTION is: ``mdev_nvidia-35`` is ``mdev_*``."""
        name = normal(section)
        if name in self._sections:
            return name
        return next((f"{family}*" for family in self._families if name.startswith(family)), name)

    def option(self, section: str, name: str) -> Option | None:
        """The option of that very name, or None."""
        held = self._held(section)
        data = self._sections.get(held, {}).get(name)
        if data is None and held in self.login_sections:
            data = self._login.get(name)
        if data is None:
            data = BACKPORTED.get(held, {}).get(name)
        return None if data is None else Option(normal(section), name, data)

    def renamed(self, section: str, name: str) -> Option | None:
        """The option that is still read under SECTION and NAME, its former ones; or None."""
        group = normal(section)
        family, _, kind = group.partition("_")
        found = self._former.get((group, name)) or self._former.get((f"{family}_*", name))
        if found is None:
            return None
        return self.option(found[0].replace("*", kind), found[1])

    def has_section(self, section: str) -> bool:
        """Something is read from SECTION."""
        names = {normal(section), f"{normal(section).partition('_')[0]}_*"}
        return self._held(section) in self._sections or any(
            group in names for group, _ in self._former
        )

    def sections(self) -> tuple[str, ...]:
        """The names of all sections."""
        return tuple(self._sections)

    def names(self, section: str) -> tuple[str, ...]:
        """The options of SECTION."""
        held = self._held(section)
        login = self._login if held in self.login_sections else {}
        return (*self._sections.get(held, ()), *login)

    def sections_with(self, name: str) -> tuple[str, ...]:
        """The sections that have an option NAME."""
        return tuple(section for section, options in self._sections.items() if name in options)


@cache
def load(release: str) -> Table:
    """The table of RELEASE.

    Raises:
        KeyError: there is none.
    """
    return Table(_json(f"{VERSIONS[release]}.json"))


def _json(name: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((HERE / name).read_text(encoding="utf-8"))
    return value


@cache
def _history() -> dict[str, Any]:
    return _json("history.json")


def removed(section: str, name: str, release: str) -> Removed | None:
    """What became of an option that RELEASE does not have any more; None of any other."""
    row = _history()["removed"].get(f"{normal(section)}/{name}")
    if row is None or row["removed"] > VERSIONS[release]:
        return None
    return Removed(
        row["removed"], row.get("reason", ""), row.get("source", ""), row.get("instead", "")
    )


def added(section: str, name: str, release: str) -> int | None:
    """The major version of Nova that adds the option, if that is later than RELEASE."""
    version: int | None = _history()["added"].get(f"{normal(section)}/{name}")
    return version if version and version > VERSIONS[release] else None


def translated(section: str, name: str, release: str) -> tuple[str, str] | None:
    """Under which name RELEASE reads what SECTION/NAME was; None where that is not certain.

    Certain is what Nova itself said: some release read the one under the name of the other. An
    option that has been renamed twice is followed.
    """
    return _translated((normal(section), name), release, set())


def _translated(
    option: tuple[str, str], release: str, seen: set[tuple[str, str]]
) -> tuple[str, str] | None:
    if option in seen:
        return None
    seen.add(option)
    table = load(release)
    found = table.option(*option) or table.renamed(*option)
    if found:
        return found.section, found.name
    # From the newest on: what the last release that still knew the name took it for.
    names = list(VERSIONS)
    for earlier in reversed(names[: names.index(release)]):
        now = load(earlier).renamed(*option)
        if now:
            return _translated((now.section, now.name), release, seen)
    return None
