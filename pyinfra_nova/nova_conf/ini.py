"""Configuration files read as oslo.config reads them, with the line of every option.

The rules are those of oslo_config/iniparser.py and cfg.py ``ConfigParser``, ``_substitute``.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

QUOTES = ("'", '"')


class NotIni(ValueError):  # noqa: N818 - says what the file is
    """The file cannot be read by oslo.config; the message holds nothing of its content."""

    def __init__(self, file: str, line: int, problem: str) -> None:
        self.file = file
        self.line = line
        self.problem = problem
        super().__init__(f"{file}:{line}: {problem}")


@dataclass(frozen=True)
class Setting:
    """One option as a file gives it.

    Attributes:
        file, line: where its first line is.
        section, name: as written.
        value: outer quotes gone, ``$`` not yet substituted, its lines joined with newlines.
        comments: the lines of the value that look like comments.
    """

    file: str
    line: int
    section: str
    name: str
    value: str = field(repr=False)
    comments: tuple[int, ...] = ()


@dataclass(frozen=True)
class Parsed:
    """A file: its settings in order, and the line on which each section first starts."""

    settings: tuple[Setting, ...]
    sections: dict[str, int]


@dataclass
class _Open:
    """A setting whose value may go on in the next line."""

    line: int
    section: str
    name: str
    values: list[str] = field(repr=False)
    comments: list[int]


def _unquoted(value: str) -> str:
    if value and value[0] == value[-1] and value[0] in QUOTES:
        return value[1:-1]
    return value


def _assignment(file: str, number: int, section: str | None, line: str) -> _Open:
    separators = [position for sign in "=:" if (position := line.find(sign)) >= 0]
    if not separators:
        raise NotIni(file, number, "no '=' or ':' in an assignment")
    first = min(separators)
    name = line[:first].strip()
    if not name:
        raise NotIni(file, number, "no name before the '='")
    if section is None:
        raise NotIni(file, number, "an option before the first [section]")
    return _Open(number, section, name, [_unquoted(line[first + 1 :].strip())], [])


def _section(file: str, number: int, line: str) -> str:
    if not line.endswith("]"):
        raise NotIni(file, number, "a section has to end with ']'")
    if len(line) <= 2:
        raise NotIni(file, number, "a section without a name")
    return line[1:-1]


def parse(file: str, text: str) -> Parsed:
    """TEXT, the content of FILE.

    Raises:
        NotIni: oslo.config would refuse it.
    """
    settings: list[Setting] = []
    sections: dict[str, int] = {}
    section: str | None = None
    current: _Open | None = None

    def close() -> None:
        if current:
            value = "\n".join(current.values)
            where = (file, current.line, current.section, current.name)
            settings.append(Setting(*where, value, tuple(current.comments)))

    for number, raw in enumerate(io.StringIO(text, newline=None), 1):
        line = raw.rstrip()
        if line.startswith((" ", "\t")):
            if current is None:
                raise NotIni(file, number, "an indented line that continues nothing")
            current.values.append(line.lstrip())
            if line.lstrip().startswith(("#", ";")):
                current.comments.append(number)
            continue
        close()
        current = None
        if line.startswith("["):
            section = _section(file, number, line)
            sections.setdefault(section, number)
        elif line and not line.startswith(("#", ";")):
            current = _assignment(file, number, section, line)
    close()
    return Parsed(tuple(settings), sections)


def option_values(text: str) -> dict[str, list[str]]:
    """The values of every ``section/option`` of a text, ``$`` not yet substituted.

    Raises:
        NotIni: oslo.config would refuse it.
    """
    values: dict[str, list[str]] = {}
    for setting in parse("", text).settings:
        values.setdefault(f"{setting.section}/{setting.name}", []).append(setting.value)
    return values


# --- substitution ---------------------------------------------------------------------------------

# string.Template with the names of oslo.config's own (cfg.py ConfigOpts.Template): a `$` before
# anything else stays as it is.
_NAME = r"[_a-z][\._a-z0-9]*"
_REFERENCE = re.compile(
    rf"\$(?:(?P<escaped>\$)|(?P<named>{_NAME})|{{(?P<braced>{_NAME})}})", re.IGNORECASE | re.ASCII
)


def references(value: str) -> Iterator[re.Match[str]]:
    r"""Every ``$name``, ``${name}`` and ``$$`` of VALUE, in which ``\$`` has become ``$$``."""
    return _REFERENCE.finditer(value)


def escaped_dollars(value: str) -> str:
    r"""VALUE with ``\$`` written as ``$$``, which means the same."""
    return value.replace("\\$", "$$")


def expanded(
    key: str, values: Mapping[str, Sequence[str]], seen: frozenset[str] = frozenset()
) -> str | None:
    """What the option KEY, ``section/name``, is once the others of VALUES are put in for ``$name``.

    None where it is not in VALUES, or refers to what is not. A name without a section is looked for
    in the option's own one, then in ``DEFAULT`` (cfg.py ``StrSubWrapper``).
    """
    if key not in values or key in seen:
        return None
    section = key.partition("/")[0]

    def referred(name: str) -> str | None:
        group, dot, inner = name.partition(".")
        keys = [f"{group}/{inner}"] if dot else [f"{section}/{name}", f"DEFAULT/{name}"]
        return next((found for k in keys if (found := expanded(k, values, seen | {key}))), None)

    text, position, result = escaped_dollars(values[key][-1]), 0, ""
    for match in references(text):
        found = "$" if match["escaped"] else referred(match["named"] or match["braced"])
        if found is None:
            return None
        result += text[position : match.start()] + found
        position = match.end()
    return result + text[position:]
