"""What is wrong with single options: whether the release reads them, and their values."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator

from pyinfra_nova.knowledge.releases import VERSIONS, Option, added, normal, removed
from pyinfra_nova.nova_conf.check import values
from pyinfra_nova.nova_conf.check.config import Config, Finding, at, is_secret, shown
from pyinfra_nova.nova_conf.ini import Setting

# An option in the wrong section is told so if few sections have one of that name.
FEW = 3
LEAVE_OUT = "leave it out"
"""The remedy where nothing better is known than that Nova does not read it."""
CLOSE, DISTANT = 0.85, 0.6
NOT_SHOWN = (
    "not read: this line names no option, and is not shown: there may be a part of a secret in it"
)


def option_findings(config: Config, *, all_names: bool = False) -> Iterator[Finding]:
    """What is wrong with every option of every file on its own.

    What stands where an option has its name may be a secret: after a forgotten ``=``, in a URL that
    goes on in the next line. So it is shown only where it is one, or almost; or with ALL_NAMES.
    """
    unknown_sections = set(_unknown_sections(config))
    for section in unknown_sections:
        yield _unknown_section(config, section)
    for setting in config.settings():
        option = config.table.option(setting.section, setting.name)
        current = option or config.table.renamed(setting.section, setting.name)
        if current:
            yield from _known(config, setting, current)
        elif normal(setting.section) not in unknown_sections or _removed(config, setting):
            found = _not_read(config, setting)
            is_told = all_names or found.kind != "unknown" or _is_option(config, setting)
            yield found if is_told else _not_shown(config, setting)
    yield from _duplicates(config)


# --- options that the release reads ---------------------------------------------------------------


def _known(config: Config, setting: Setting, option: Option) -> Iterator[Finding]:
    if (normal(setting.section), setting.name) != (option.section, option.name):
        yield at(
            setting,
            "renamed",
            "warning",
            f"the old name of [{option.section}] {option.name}; it is still read, with a warning",
            f"write it as [{option.section}] {option.name}",
            f"Nova {config.table.nova}",
        )
    if option.deprecated is not None:
        since = f" since {option.since}" if option.since else ""
        why = f": {option.deprecated}" if option.deprecated else ""
        yield at(
            setting,
            "deprecated",
            "warning",
            f"still read, but to be removed; deprecated{since}{why}",
            "leave it out" + _goes(option),
            f"help of the option in Nova {config.table.nova}",
        )
    yield from _value(config, setting, option)


def _goes(option: Option) -> str:
    """When OPTION goes, if the newest table is without it."""
    row = removed(option.section, option.name, tuple(VERSIONS)[-1])
    return f"; Nova {row.version} does not read it" if row and row.version else ""


def _value(config: Config, setting: Setting, option: Option) -> Iterator[Finding]:
    if setting.comments:
        yield at(
            setting,
            "value",
            "error",
            f"line {setting.comments[0]} looks like a comment, but is indented: it is part of the "
            "value",
            "start the comment in the first column",
            "oslo_config/iniparser.py",
        )
    expanded = config.expanded(option.section, setting.value)
    if expanded.problem:
        yield at(
            setting,
            "value",
            "error",
            f"{expanded.problem}; reading the option fails",
            "write every '$' that is meant literally as '$$'",
            "oslo_config/cfg.py _substitute",
        )
    elif expanded.text is not None and (wrong := values.problem(option.data, expanded.text)):
        yield at(
            setting,
            "value",
            "error",
            f"{shown(setting, option)} {wrong}" + _inline_comment(setting, option),
            _expected(option),
            f"type of the option in Nova {config.table.nova}",
        )
    elif not is_secret(setting, option) and " #" in setting.value and option.data["type"] != "dict":
        yield at(
            setting,
            "value",
            "warning",
            "what follows the '#' is part of the value, not a comment",
            "put the comment on a line of its own",
            "oslo_config/iniparser.py",
        )


def _inline_comment(setting: Setting, option: Option) -> str:
    if is_secret(setting, option) or not (" #" in setting.value or " ;" in setting.value):
        return ""
    return "; a comment needs a line of its own"


def _expected(option: Option) -> str:
    default = f" (default {option.default})" if option.default else ""
    return f"give it a value of type {option.data['type']}{default}, or leave it out"


# --- options that it does not read ----------------------------------------------------------------


def _removed(config: Config, setting: Setting) -> bool:
    return removed(setting.section, setting.name, config.table.release) is not None


def _not_read(config: Config, setting: Setting) -> Finding:
    row = removed(setting.section, setting.name, config.table.release)
    if row is None:
        return _unknown(config, setting)
    here = row.instead and config.table.option(*row.instead.split("/", 1))
    instead = "[{}] {}".format(*row.instead.split("/", 1)) if here else ""
    remedy = f"write it as {instead}" if instead else LEAVE_OUT
    problem = f"not read: {row.problem}"
    return at(
        setting, "removed", "warning", problem, remedy, row.source or "tables of the releases"
    )


def _unknown(config: Config, setting: Setting) -> Finding:
    table = config.table
    version = added(setting.section, setting.name, table.release)
    if version:
        problem, remedy = f"not read: new in Nova {version}", "leave it out for this release"
    else:
        problem = "not read: there is no such option in this section"
        remedy = _suggestion(config, setting)
    return at(setting, "unknown", "warning", problem, remedy, f"options of Nova {table.nova}")


def _is_option(config: Config, setting: Setting) -> bool:
    """Whether a name is one that a release has somewhere, but for a letter."""
    table, name = config.table, setting.name.replace("-", "_")
    close = _closest(name, table.names(setting.section))
    return (
        bool(table.sections_with(name))
        or added(setting.section, setting.name, table.release) is not None
        or (close is not None and _is_close(name, close))
    )


def _not_shown(config: Config, setting: Setting) -> Finding:
    table, remedy = config.table, "where it goes on with the value above, indent it"
    if close := _closest(setting.name, table.names(setting.section)):
        remedy = f"did you mean {close}? Or, {remedy}"
    first = re.match(r"[\w-]*", setting.name)
    if first and (option := table.option(setting.section, first[0])):
        remedy = f"write a '=' behind {option.name}"
    where = (setting.file, setting.line, normal(setting.section), "")
    return Finding(*where, "unknown", "warning", NOT_SHOWN, remedy, "oslo_config/iniparser.py")


def _closest(name: str, known: tuple[str, ...]) -> str | None:
    return next(iter(difflib.get_close_matches(name, known, 1, DISTANT)), None)


def _is_close(name: str, other: str) -> bool:
    return difflib.SequenceMatcher(None, name, other).ratio() >= CLOSE


def _suggestion(config: Config, setting: Setting) -> str:
    table, name = config.table, setting.name.replace("-", "_")
    if table.option(setting.section, name):
        return f"write it as {name}"
    found = _closest(name, table.names(setting.section))
    if found and _is_close(name, found):
        return f"did you mean {found}?"
    places = table.sections_with(name)
    if 0 < len(places) <= FEW:
        return "it belongs in " + " or ".join(f"[{place}]" for place in places)
    return f"did you mean {found}?" if found else LEAVE_OUT


def _held(config: Config, section: str) -> list[Setting]:
    return [setting for setting in config.settings() if normal(setting.section) == section]


def _unknown_sections(config: Config) -> Iterator[str]:
    for parsed in config.parsed.values():
        for section in parsed.sections:
            held = _held(config, normal(section))
            # One that is empty, as in packaged files, means nothing.
            if any(not _removed(config, s) for s in held) and not config.table.has_section(section):
                yield normal(section)


def _unknown_section(config: Config, section: str) -> Finding:
    file, line = config.place(section)
    problem = "nothing is read from this section"
    later = (added(section, s.name, config.table.release) for s in _held(config, section))
    if version := min(filter(None, later), default=0):
        problem = f"{problem}: new in Nova {version}"
        remedy = "leave it out for this release"
    elif section.strip().lower() == "default":
        remedy = "did you mean [DEFAULT]?"
    else:
        found = _closest(section.strip(), config.table.sections())
        remedy = f"did you mean [{found}]?" if found else LEAVE_OUT
    source = f"options of Nova {config.table.nova}"
    return Finding(file, line, section, "", "unknown", "warning", problem, remedy, source)


# --- options given twice --------------------------------------------------------------------------


def _duplicates(config: Config) -> Iterator[Finding]:
    for parsed in config.parsed.values():
        last: dict[tuple[str, str], Setting] = {}
        for setting in parsed.settings:
            key = (normal(setting.section), setting.name)
            option = config.table.option(*key)
            if option and not option.multi and (earlier := last.get(key)):
                yield at(
                    earlier,
                    "duplicate",
                    "warning",
                    f"line {setting.line} sets it again, and wins",
                    "keep one of them",
                    "oslo_config/cfg.py",
                )
            last[key] = setting
