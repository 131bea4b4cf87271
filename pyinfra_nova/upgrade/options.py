"""What becomes of options of nova.conf between two releases, by the tables of what each reads."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pyinfra_nova.knowledge import releases
from pyinfra_nova.knowledge.releases import Option, normal, translated
from pyinfra_nova.knowledge.upgrades import upgrades

Kind = Literal["removed", "renamed", "deprecated", "added", "default"]


@dataclass(frozen=True)
class Change:
    """One option that is another thing from a release on.

    Attributes:
        section, name: as the site writes it; with a new default, as the new release does.
        now: the section and the name to be used instead; None where nothing takes its place.
        text: what is said of it, as the end of a sentence.
    """

    kind: Kind
    section: str
    name: str
    text: str
    now: tuple[str, str] | None = None

    @property
    def line(self) -> str:
        return f"[{self.section}] {self.name}: {self.text}"


def _read(section: str, name: str, release: str) -> Option | None:
    table = releases.load(release)
    return table.option(section, name) or table.renamed(section, name)


def changes(
    overrides: Mapping[str, Mapping[str, Any]], before: str, after: str
) -> Iterator[Change]:
    """What becomes of a site's own OVERRIDES, {section: {option: value}}, from BEFORE to AFTER."""
    for section, options in overrides.items():
        for name in options:
            if found := _change(normal(section), name, before, after):
                yield found


def _change(section: str, name: str, before: str, after: str) -> Change | None:
    old, new = _read(section, name, before), _read(section, name, after)
    if new is None:
        return _gone(section, name, before, after)
    current = (new.section, new.name)
    if old is None:
        return _come(section, name, before, after, new)
    if (old.section, old.name) != current:
        old_name = f"[{old.section}] {old.name}" if (section, name) == current else ""
        text = (
            f"was {old_name}, and is written under its new name"
            if old_name
            else f"is [{new.section}] {new.name} now, and is written so"
        )
        return Change("renamed", section, name, text, current)
    if new.deprecated is not None and old.deprecated is None:
        why = f": {new.deprecated}" if new.deprecated else ""
        return Change("deprecated", section, name, f"is still read, but is to go{why}", current)
    return None


def _gone(section: str, name: str, before: str, after: str) -> Change | None:
    if _read(section, name, before) is None and not releases.removed(section, name, after):
        return None  # of a driver that is not Nova's own: nothing is known of it in either
    now = translated(section, name, after)
    row = releases.removed(section, name, after)
    why = row.problem if row else f"Nova {releases.VERSIONS[after]} does not read it"
    instead = f"write it as [{now[0]}] {now[1]}" if now else "leave it out"
    return Change("removed", section, name, f"{why}; {instead}", now)


def _come(section: str, name: str, before: str, after: str, new: Option) -> Change:
    """What BEFORE did not read under this name; under a former one, perhaps."""
    former = _former_name(new, before)
    if former:
        text = f"was [{former[0]}] {former[1]}, and is written under its new name"
        return Change("renamed", section, name, text, (new.section, new.name))
    text = f"{before} does not read it, {after} does"
    return Change("added", section, name, text, (new.section, new.name))


def _former_name(option: Option, before: str) -> tuple[str, str] | None:
    """The name under which BEFORE has what OPTION is now."""
    table = releases.load(before)
    for former in option.data.get("former", ()):
        group, _, old = former.rpartition("/")
        found = table.option(group or option.section, old)
        if found:
            return found.section, found.name
    return None


def new_defaults(before: str, after: str, written: Container[tuple[str, str]]) -> Iterator[Change]:
    """What Nova does otherwise in AFTER because a default is another, and nobody has WRITTEN it."""
    old, new = releases.load(before), releases.load(after)
    for section in new.sections():
        if section not in old.sections():
            continue
        for name in new.names(section):
            was, now = old.option(section, name), new.option(section, name)
            if was is None or now is None or was.default == now.default:
                continue
            if f"{section}/{name}" in upgrades().passed_over or (section, name) in written:
                continue
            text = f"is {_value(now)} by default, and was {_value(was)}"
            yield Change("default", section, name, text, (section, name))


def _value(option: Option) -> str:
    if option.secret:
        return "another secret"
    return "not set" if option.default is None else option.default or "empty"
