"""Several files as one service of Nova reads them, and what can be found in them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from pyinfra_nova.knowledge.releases import Option, Table, normal
from pyinfra_nova.nova_conf.check.values import TRUE
from pyinfra_nova.nova_conf.ini import Parsed, Setting, escaped_dollars, parse, references

Role = Literal["controller", "compute", "all-in-one"]
Level = Literal["error", "warning", "note"]
Kind = Literal[
    "duplicate",
    "insecure",
    "misplaced",
    "missing",
    "removed",
    "renamed",
    "deprecated",
    "unknown",
    "value",
]

LONGEST_SHOWN = 60


@dataclass(frozen=True)
class Source:
    """A configuration file.

    Attributes:
        name: how findings call it.
        text: its content.
        mode: its permissions, if it is a file on a disk.
    """

    name: str
    text: str = field(repr=False)
    mode: int | None = None


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong; no part of it holds the value of a secret.

    Attributes:
        file: the ``name`` of a source.
        line: where, counted from 1; 0 for the file as a whole.
        section, option: what it is about; the option is "" for a whole section.
        kind: what sort of thing it is.
        level: an error keeps Nova from working or gives something away; a warning does not; a note
            is worth to know, and may be just as it is meant.
        problem: what is wrong.
        remedy: what to do about it.
        source: what says so: a file of Nova or a library, a release note, an advisory.
        in_plain_text: whether it is that something goes in plain text while other things do not.
    """

    file: str
    line: int
    section: str
    option: str
    kind: Kind
    level: Level
    problem: str
    remedy: str = ""
    source: str = ""
    in_plain_text: bool = False


Found = Iterator[Finding]


@dataclass(frozen=True)
class Expanded:
    """A value with its references replaced.

    Attributes:
        text: None if it depends on the host that reads it.
        problem: why oslo.config would refuse it, or "".
    """

    text: str | None = field(repr=False)
    problem: str = ""


# Values of these are not shown even where the option is not known, or not known as secret.
_SECRET_NAME = re.compile(r"pass|secret|token|key|credential|connection|url", re.IGNORECASE)
_LOGIN_IN_URL = re.compile(r"://[^/\s]*@")


class Config:
    """FILES merged in order as oslo.config does, and the table of what is read from them."""

    def __init__(self, files: Sequence[Source], table: Table, role: Role) -> None:
        self.files = files
        self.role = role
        self.parsed: Mapping[str, Parsed] = {
            file.name: parse(file.name, file.text) for file in files
        }
        self.shared_logins = frozenset(
            normal(setting.value)
            for setting in self.settings()
            if setting.name == "auth_section" and normal(setting.section) in table.login_sections
        )
        self.table = table.with_logins(self.shared_logins)
        self._settings: dict[tuple[str, str], Setting] = {}
        for parsed in self.parsed.values():
            self._settings.update(self._of_one_file(parsed))

    @property
    def controller(self) -> bool:
        """It is for a host that runs the APIs, the scheduler and the conductor."""
        return self.role != "compute"

    @property
    def compute(self) -> bool:
        """It is for a host that runs nova-compute."""
        return self.role != "controller"

    def _of_one_file(self, parsed: Parsed) -> dict[tuple[str, str], Setting]:
        """What one file sets: the last of several, an option's own name before its former ones."""
        own: dict[tuple[str, str], Setting] = {}
        former: dict[tuple[str, str], Setting] = {}
        for setting in parsed.settings:
            key = (normal(setting.section), setting.name)
            if not self.table.option(*key) and (option := self.table.renamed(*key)):
                former[option.section, option.name] = setting
            else:
                own[key] = setting
        return {**former, **own}

    def settings(self) -> Iterator[Setting]:
        """Every option of every file, in order."""
        for parsed in self.parsed.values():
            yield from parsed.settings

    def setting(self, section: str, name: str) -> Setting | None:
        """What sets SECTION/NAME, under that name or a former one; None if nothing does."""
        return self._settings.get((section, name))

    def value(self, section: str, name: str) -> str | None:
        """The value of SECTION/NAME with its references replaced, or its default; or None."""
        setting = self.setting(section, name)
        option = self.table.option(section, name)
        raw = setting.value if setting else option.default if option else None
        return None if raw is None else self.expanded(section, raw).text

    def true(self, section: str, name: str) -> bool:
        """SECTION/NAME is a true value."""
        return (self.value(section, name) or "").lower() in TRUE

    def has(self, section: str, *names: str) -> bool:
        """One of NAMES is set in SECTION, and not empty."""
        return any((s := self.setting(section, name)) and s.value for name in names)

    def place(self, section: str) -> tuple[str, int]:
        """The file and the line where SECTION starts, or the first file as a whole."""
        for file, parsed in self.parsed.items():
            for name, line in parsed.sections.items():
                if normal(name) == section:
                    return file, line
        return self.files[0].name, 0

    # --- substitution ---

    def expanded(self, section: str, value: str, seen: frozenset[str] = frozenset()) -> Expanded:
        """VALUE of an option in SECTION as oslo.config substitutes it."""
        text, position, known = escaped_dollars(value), 0, True
        result: list[str] = []
        for match in references(text):
            result.append(text[position : match.start()])
            position = match.end()
            if match["escaped"]:
                result.append("$")
                continue
            inner = self._referred(section, match["named"] or match["braced"], seen)
            if inner.problem:
                return inner
            known = known and inner.text is not None
            result.append(inner.text or "")
        result.append(text[position:])
        return Expanded("".join(result) if known else None)

    def _referred(self, section: str, name: str, seen: frozenset[str]) -> Expanded:
        group, dot, inner = name.partition(".")
        places = [(normal(group), inner)] if dot else [(section, name), ("DEFAULT", name)]
        option = next((o for place in places if (o := self.table.option(*place))), None)
        if option is None:
            return Expanded(None, "has a '$' with a name after it that is no option")
        key = f"{option.section}/{option.name}"
        if key in seen:
            return Expanded(None, "refers to itself")
        setting = self.setting(option.section, option.name)
        raw = setting.value if setting else option.default
        if raw is None or (setting is None and raw.startswith("<")):
            return Expanded(None)  # such as <host_ipv4>
        return self.expanded(option.section, raw, seen | {key})


def is_secret(setting: Setting, option: Option | None) -> bool:
    """The value of SETTING must not be shown."""
    if option is not None and not option.secret and option.data["type"] != "string":
        return bool(_LOGIN_IN_URL.search(setting.value))
    return (
        option is None
        or option.secret
        or bool(_SECRET_NAME.search(setting.name) or _LOGIN_IN_URL.search(setting.value))
    )


def shown(setting: Setting, option: Option | None) -> str:
    """The value of SETTING as a finding may say it."""
    if is_secret(setting, option):
        return "the value"
    value = setting.value.replace("\n", " ")
    return repr(value if len(value) <= LONGEST_SHOWN else value[:LONGEST_SHOWN] + "...")


def at(
    setting: Setting, kind: Kind, level: Level, problem: str, remedy: str = "", source: str = ""
) -> Finding:
    """A finding about SETTING."""
    where = (setting.file, setting.line, normal(setting.section), setting.name)
    return Finding(*where, kind, level, problem, remedy, source)


def missing(
    config: Config,
    option: str,
    problem: str,
    remedy: str,
    source: str,
    *,
    kind: Kind = "missing",
    level: Level = "error",
) -> Finding:
    """A finding about ``section/name``, which is not there."""
    section, _, name = option.partition("/")
    file, line = config.place(section)
    return Finding(file, line, section, name, kind, level, problem, remedy, source)
