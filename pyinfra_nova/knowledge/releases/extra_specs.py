"""The extra specs of flavors that the Nova of each release accepts.

``extra_specs.json`` is made by ``generate/`` from Nova's own validators
(nova/api/validation/extra_specs); the rules of how they are applied are those of its ``base.py``
and ``validators.py``.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from pyinfra_nova.knowledge.releases import HERE, VERSIONS

GROUP = r"([a-zA-Z0-9_-]{1,64})?"
"""Between ``trait`` or ``resources`` and the colon: which of several requests it belongs to."""
# oslo_utils/strutils.py, bool_from_string.
BOOLEANS = ("1", "t", "true", "on", "y", "yes", "0", "f", "false", "off", "n", "no")
# nova/api/openstack/compute/schemas/flavors_extraspecs.py, metadata_with_null.
NAME = re.compile(r"[a-zA-Z0-9_:. -]{1,255}")
LONGEST_VALUE = 255


@dataclass(frozen=True)
class ExtraSpec:
    """One extra spec, or a family of them, as a release accepts it.

    Attributes:
        name: as Nova documents it; a part in braces stands for one of its parameters.
        pattern: what every name of the family matches.
        data: `type` and its bounds: `enum`, `pattern`, `min`, `max`; `deprecated`.
    """

    name: str
    pattern: re.Pattern[str]
    data: Mapping[str, Any]

    def problem(self, value: str) -> str:
        """What keeps VALUE from being accepted, or ""."""
        kind = self.data["type"]
        if kind == "integer":
            return self._number_problem(value)
        if kind == "boolean":
            return "" if value.lower() in BOOLEANS else f"{value!r} is not true or false"
        if (choices := self.data.get("enum")) and value not in choices:
            return f"{value!r} is not one of {', '.join(choices)}"
        pattern = self.data.get("pattern")
        if pattern and not re.fullmatch(pattern, value):
            return f"{value!r} does not have the form {pattern}"
        return ""

    def _number_problem(self, value: str) -> str:
        try:
            number = int(value)
        except ValueError:
            return f"{value!r} is not a whole number"
        if number < self.data.get("min", number):
            return f"{number} is less than {self.data['min']}"
        if number > self.data.get("max", number):
            return f"{number} is more than {self.data['max']}"
        return ""


class ExtraSpecs:
    """Every extra spec that one release knows."""

    def __init__(self, data: Mapping[str, Any], version: int) -> None:
        self._data, self._version = data, version
        self._plain: dict[str, ExtraSpec] = {}
        self._families: list[ExtraSpec] = []
        for name, row in _rows(data, version):
            parameters = row.get("parameters", {})
            spec = ExtraSpec(name, _pattern(name, parameters), row)
            if parameters:
                self._families.append(spec)
            else:
                self._plain[name] = spec
        self._standard: dict[str, frozenset[str]] = {
            kind: frozenset(name for name, since in data[kind].items() if since <= version)
            for kind in ("traits", "resources")
        }
        namespaces = {name.partition(":")[0] for name, _ in _rows(data, version) if ":" in name}
        self.namespaces = frozenset(name.partition("{")[0] for name in namespaces)

    def find(self, name: str) -> ExtraSpec | None:
        """The extra spec that NAME is, or None."""
        if name in self._plain:
            return self._plain[name]
        found = next((spec for spec in self._families if spec.pattern.fullmatch(name)), None)
        return found or self._library_spec(name)

    def _library_spec(self, name: str) -> ExtraSpec | None:
        """A standard trait or resource class, of os-traits and os-resource-classes."""
        kinds: dict[str, tuple[str, Mapping[str, Any]]] = {
            "trait": ("traits", {"type": "string", "enum": ["required", "forbidden"]}),
            "resources": ("resources", {"type": "integer"}),
        }
        for prefix, (kind, row) in kinds.items():
            match = re.fullmatch(f"{prefix}{GROUP}:(?P<standard>[A-Z0-9_]+)", name)
            if match and match["standard"] in self._standard[kind]:
                return ExtraSpec(f"{prefix}:{match['standard']}", re.compile(name), row)
        return None

    def problem(self, name: str, value: str) -> tuple[str, str]:
        """What keeps NAME with VALUE from being accepted, and what to do; ("", "") if nothing.

        As in Nova, a namespace that it does not know is anybody's own; unlike in Nova, one that is
        nearly a known one is taken for a typing error.
        """
        if not NAME.fullmatch(name):
            return "is not made of letters, digits, '_', ':', '.', '-' and spaces", ""
        if len(value) > LONGEST_VALUE:
            return f"is longer than {LONGEST_VALUE} characters", ""
        if (spec := self.find(name)) is not None:
            return spec.problem(value), ""
        namespace, colon, _ = name.partition(":")
        if not colon:
            return "", ""
        if any(re.fullmatch(self._namespace(known), namespace) for known in self.namespaces):
            return f"Nova {self._version} knows no such extra spec", self._nearest(name)
        near = difflib.get_close_matches(namespace, sorted(self.namespaces), n=1, cutoff=0.8)
        if near:
            return f"unknown namespace {namespace!r}", f"did you mean {near[0]!r}?"
        return "", ""

    @staticmethod
    def _namespace(known: str) -> str:
        return known + (GROUP if known in ("trait", "resources") else "")

    def _nearest(self, name: str) -> str:
        if rows := self._data["specs"].get(name):
            return f"Nova {rows[0]['since']} to {rows[-1]['until']} know it"
        namespace = name.partition(":")[0]
        names = [*self._plain, *(spec.name for spec in self._families)]
        for prefix, kind in (("trait", "traits"), ("resources", "resources")):
            if namespace.startswith(prefix):
                names += [f"{namespace}:{standard}" for standard in self._standard[kind]]
        near = difflib.get_close_matches(name, names, n=1)
        return f"did you mean {near[0]!r}?" if near else ""


def _rows(data: Mapping[str, Any], version: int) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, rows in data["specs"].items():
        for row in rows:
            if row["since"] <= version <= row["until"]:
                yield name, row


def _pattern(name: str, parameters: Mapping[str, str]) -> re.Pattern[str]:
    text = re.escape(name)
    for parameter, pattern in parameters.items():
        text = text.replace(re.escape(f"{{{parameter}}}"), f"({pattern})")
    return re.compile(text)


@cache
def load(release: str) -> ExtraSpecs:
    """The extra specs of RELEASE.

    Raises:
        KeyError: there is no such release.
    """
    text = (HERE / "extra_specs.json").read_text(encoding="utf-8")
    return ExtraSpecs(json.loads(text), VERSIONS[release])
