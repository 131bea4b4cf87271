"""A rendered file with the options put in that somebody wants written literally."""

from __future__ import annotations

import re

from pyinfra_nova.knowledge.releases import load
from pyinfra_nova.nova_conf.values import option
from pyinfra_nova.site.value_types import OptionValue, Overrides

_SECTION = re.compile(r"\[(.+)\]")
_OPTION = re.compile(r"(\w+) =")


def overridden(text: str, overrides: Overrides, release: str) -> str:
    """TEXT, a rendered file, with OVERRIDES put in: replaced, added, or removed where None.

    A list becomes one line with commas for an option that is a list in RELEASE, and several lines
    for one that is given several times, as ``pci/device_spec``.
    """
    sections = _split(text)
    for name, options in overrides.items():
        lines = sections.setdefault(name, [])
        for key, value in options.items():
            several = isinstance(value, list) and not _is_list(release, name, key)
            _set(lines, key, value, several=several)
    if set(sections) == {""}:
        return text
    return (
        "\n\n".join(
            "\n".join(([f"[{name}]"] if name else []) + lines)
            for name, lines in sections.items()
            if lines
        )
        + "\n"
    )


def _split(text: str) -> dict[str, list[str]]:
    """The lines of each section by its name; those before the first are under ""."""
    sections: dict[str, list[str]] = {"": []}
    lines = sections[""]
    for line in text.splitlines():
        if match := _SECTION.fullmatch(line):
            lines = sections.setdefault(match[1], [])
        elif line:
            lines.append(line)
    return sections


def _is_list(release: str, section: str, name: str) -> bool:
    table = load(release)
    found = table.option(section, name) or table.renamed(section, name)
    return found is not None and found.data["type"] == "list" and not found.multi


def _set(lines: list[str], key: str, value: OptionValue, *, several: bool) -> None:
    found = [i for i, line in enumerate(lines) if (m := _OPTION.match(line)) and m[1] == key]
    position = found[0] if found else len(lines)
    for index in reversed(found):
        del lines[index]
    values = value if several and isinstance(value, list) else [] if value is None else [value]
    lines[position:position] = [f"{key} = {option(item)}" for item in values]


def shared_out(overrides: Overrides, second: str | None) -> tuple[Overrides, Overrides]:
    """OVERRIDES for nova.conf, and those for SECOND: it wins over nova.conf with what it holds."""
    if second is None:
        return overrides, {}
    held = {
        (name, match[1])
        for name, lines in _split(second).items()
        for line in lines
        if (match := _OPTION.match(line))
    }
    first: Overrides = {}
    last: Overrides = {}
    for section, options in overrides.items():
        for key, value in options.items():
            target = last if (section, key) in held else first
            target.setdefault(section, {})[key] = value
    return first, last
