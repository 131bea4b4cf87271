"""``nova_conf``: options of nova.conf written literally, checked before they are believed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from pyinfra_nova.knowledge.platforms import removed_option
from pyinfra_nova.knowledge.releases import normal, translated
from pyinfra_nova.site.faults import Fault
from pyinfra_nova.site.layered_data import Data
from pyinfra_nova.site.option_owners import CONTROLLER_SECTIONS, current, refusal
from pyinfra_nova.site.secrets import forbidden_character
from pyinfra_nova.site.value_types import Overrides

OPTION_NAME = re.compile(r"[A-Za-z]\w*", re.ASCII)
SECTION_NAME = re.compile(r"[A-Za-z][\w.:-]*", re.ASCII)


def override_faults(
    file: str,
    key: str,
    data: object,
    release: str,
    *,
    on_compute: bool,
    is_encrypted: bool = False,
) -> Iterator[Fault]:
    """What is wrong with one ``nova_conf``; KEY is where it is in FILE."""
    if not isinstance(data, Mapping):
        yield Fault(file, key, "is not {section: {option: value}}")
        return
    for section, options in data.items():
        here = f"{key}.{section}"
        if not isinstance(section, str) or not SECTION_NAME.fullmatch(section):
            yield Fault(file, here, "is not a section name")
        elif section != "DEFAULT" and section.lower() == "default":
            yield Fault(file, here, "unknown section", "did you mean 'DEFAULT'?")
        elif on_compute and normal(section) in CONTROLLER_SECTIONS:
            yield Fault(file, here, "a compute gets no such section", "set it for the controllers")
        elif not isinstance(options, Mapping):
            yield Fault(file, here, "is not {option: value}")
        else:
            for option, value in options.items():
                problem, remedy = _option_fault(section, option, value, release, is_encrypted)
                if not problem and on_compute and _is_controllers(section, option, release):
                    problem, remedy = "a compute gets no such option", "set it for the controllers"
                if problem:
                    yield Fault(file, f"{here}.{option}", problem, remedy)


def _option_fault(
    section: str, option: object, value: object, release: str, is_encrypted: bool
) -> tuple[str, str]:
    if not isinstance(option, str) or not OPTION_NAME.fullmatch(option):
        return "is not an option name", "write it as nova.conf does, with _ rather than -"
    if refused := refusal(section, option, release, is_encrypted=is_encrypted):
        return refused.problem, refused.remedy
    if reason := removed_option(section, option, release):
        now = translated(section, option, release)
        return reason, "write it as {}.{}".format(*now) if now else "leave it out"
    texts = value if isinstance(value, list) else [value] if isinstance(value, str) else []
    if not isinstance(value, str | bool | int | float | list | None) or not all(
        isinstance(text, str) for text in texts
    ):
        return "is not a text, number, boolean, list of texts or None", ""
    if isinstance(value, int) and value.bit_length() > 64:
        return "is a number of more than 64 bits", ""
    for text in texts:
        if found := forbidden_character(text):
            return f"contains {found}", ""
    return "", ""


def _is_controllers(section: str, option: str, release: str) -> bool:
    return current(section, option, release)[0] in CONTROLLER_SECTIONS


def merged_overrides(layers: Iterable[Data], release: str, *, controller: bool) -> Overrides:
    """LAYERS laid over one another, option by option, for a CONTROLLER or for a mere compute.

    Each option is under its current name: under a former one it would not win over what is written.
    """
    merged: Overrides = {}
    for layer in layers:
        for section, options in layer.items():
            for option, value in options.items():
                group, name = current(section, option, release)
                if controller or group not in CONTROLLER_SECTIONS:
                    merged.setdefault(group, {})[name] = value
    return merged
