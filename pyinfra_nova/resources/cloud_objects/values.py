"""What all kinds of things in ``resources.yml`` share: their values, and the check of a site."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field

from pyinfra_nova.knowledge.releases import extra_specs
from pyinfra_nova.site.faults import Fault
from pyinfra_nova.site.secrets import forbidden_character
from pyinfra_nova.site.section import Section
from pyinfra_nova.site.settings import HostSettings, Site
from pyinfra_nova.site.value_types import Text

MAXIMUM = 0x7FFFFFFF


def as_text(value: object) -> object:
    """A YAML value as the API keeps it: everything there is text."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


def _line(text: str) -> str:
    if found := forbidden_character(text):
        raise ValueError(f"contains {found}")
    if len(text) > 255:
        raise ValueError("is longer than 255 characters")
    return text


def matching(pattern: re.Pattern[str], problem: str, text: str) -> str:
    if not pattern.fullmatch(text):
        raise ValueError(problem)
    return text


Value = Annotated[str, BeforeValidator(as_text), AfterValidator(_line)]
Number = Annotated[int, Field(ge=0, le=MAXIMUM, strict=True)]
Positive = Annotated[int, Field(ge=1, le=MAXIMUM, strict=True)]
Texts = dict[Text, Value | None]
"""Keys and values; None takes a key away."""


class Object(Section):
    """Something in the cloud with a name.

    Attributes:
        absent: it has to go, unless it is in use.
    """

    absent: bool = False

    @property
    def given(self) -> dict[str, Any]:
        """The keys that the file gives it."""
        return self.model_dump(exclude_unset=True, mode="json")

    def needs(self, *keys: str) -> None:
        missing = [key for key in keys if getattr(self, key) is None]
        if missing and not self.absent:
            raise ValueError(
                f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing"
            )


Found = Iterator[tuple[Fault, bool]]
"""Faults, and whether each keeps the run from going on."""
ObjectT = TypeVar("ObjectT", bound=Object)


def wanted(things: Mapping[str, ObjectT]) -> list[tuple[str, ObjectT]]:
    """Those that are to be there."""
    return [(name, thing) for name, thing in things.items() if not thing.absent]


class Check:
    """What in the file does not fit the site's own settings: hosts, release, nova.conf."""

    def __init__(self, site: Site, file: str) -> None:
        self.site, self.file = site, file
        self.specs = extra_specs.load(site.settings.release)

    def wrong(self, key: str, problem: str, remedy: str = "") -> tuple[Fault, bool]:
        return Fault(self.file, key, problem, remedy), True

    def doubtful(self, key: str, problem: str, remedy: str = "") -> tuple[Fault, bool]:
        return Fault(self.file, key, problem, remedy), False

    @staticmethod
    def option(host: HostSettings, section: str, name: str) -> object:
        """What nova.conf of HOST will say: an override, or else the setting of that name."""
        if name in (options := host.nova_conf.get(section, {})):
            return options[name]
        return getattr(getattr(host, section, None), name, None)
