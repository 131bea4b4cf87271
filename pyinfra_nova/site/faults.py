"""What can be wrong before any host is touched.

All of these are pyinfra's own errors, which its command line shows without a traceback.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pyinfra.api.exceptions import PyinfraError

from pyinfra_nova.knowledge.platforms import removed_option
from pyinfra_nova.site.layered_data import Layers
from pyinfra_nova.site.names import FEW


def printable(text: str) -> str:
    """TEXT, which somebody else wrote, without line breaks and a terminal's commands."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong, in words an operator can act on.

    Attributes:
        file: the file to edit, relative to the checkout.
        key: the dotted key in that file, or "" for the file as a whole.
        problem: what is wrong; never shows a value that may be secret.
        remedy: what to do about it, or "".
    """

    file: str
    key: str
    problem: str
    remedy: str = ""

    def __str__(self) -> str:
        where = f"{self.file}: {self.key}" if self.key else self.file
        text = f"{where}: {self.problem}" + (f"; {self.remedy}" if self.remedy else "")
        return printable(text)


MANY = 12
"""Of more faults of one kind nobody reads a line each: most often they have one cause."""


def _told(faults: Sequence[Fault]) -> Iterator[str]:
    """A line for each fault; of many with the same key, as those of many hosts, a few lines."""
    alike: dict[tuple[str, str], list[Fault]] = {}
    for fault in faults:
        alike.setdefault((fault.file, fault.key.rpartition(".")[2]), []).append(fault)
    for (file, key), found in alike.items():
        shown = found if len(found) <= MANY else found[:FEW]
        yield from map(str, shown)
        if len(found) > len(shown):
            yield printable(f"{file}: {key}: and {len(found) - len(shown):,} more")


class SettingsError(PyinfraError):
    """The settings are not usable; ``faults`` holds everything that is wrong with them."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        count = "1 fault" if len(self.faults) == 1 else f"{len(self.faults):,} faults"
        lines = [f"{count} in the settings; no host was touched:"]
        super().__init__("\n  - ".join([*lines, *_told(self.faults)]))


class SecretsError(SettingsError):
    """The secrets file is missing, readable by others, or not complete."""


def closest(name: str, known: Iterable[str]) -> str:
    """A question that names the one of KNOWN that NAME was meant for, or ""."""
    matches = difflib.get_close_matches(name, list(known), n=1)
    return f"did you mean {matches[0]!r}?" if matches else ""


def unknown_key(file: str, path: Sequence[str], known: Iterable[str], release: str) -> Fault:
    name = path[-1]
    if reason := removed_option("DEFAULT", name, release):
        return Fault(file, ".".join(path), reason, "leave it out")
    remedy = closest(name, known)
    if re.search("passw|pasw|secret", name, re.IGNORECASE):
        remedy = "passwords belong in secrets.yml"
    return Fault(file, ".".join(path), "unknown key", remedy)


def _model_in(annotation: object) -> type[BaseModel] | None:
    """The model that a field of this type holds: by itself, in a list, or with None beside it."""
    for kind in (annotation, *get_args(annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None


def _fields_at(model: type[BaseModel], path: Sequence[str]) -> tuple[str, ...]:
    """The keys that MODEL has at PATH, in which places in lists are numbers."""
    for part in path:
        if part.isdecimal():
            continue
        inner = _model_in(model.model_fields[part].annotation)
        if inner is None:
            return ()
        model = inner
    return tuple(model.model_fields)


def describe(details: Mapping[str, Any]) -> str:
    """One of pydantic's errors in words."""
    if details["type"] == "value_error":
        return str(details["ctx"]["error"])
    if details["type"] == "missing":
        return "is missing"
    if details["type"] == "literal_error":
        return f"must be {details['ctx']['expected']}"
    message: str = details["msg"]
    return message[:1].lower() + message[1:]


def faults_of(
    error: ValidationError, model: type[BaseModel], layers: Layers, otherwise: str, release: str
) -> Iterator[Fault]:
    for details in error.errors():
        path = [str(part) for part in details["loc"]]
        file = layers.origin(path, otherwise)
        if details["type"] == "extra_forbidden":
            yield unknown_key(file, path, _fields_at(model, path[:-1]), release)
        else:
            yield Fault(file, ".".join(path), describe(details))
