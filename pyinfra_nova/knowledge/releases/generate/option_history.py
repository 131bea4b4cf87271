"""Since when options are there, and what became of those that some release dropped."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from pyinfra_nova.knowledge.releases import normal
from pyinfra_nova.knowledge.releases.generate.table_files import Names, Table

LONGEST_REASON = 240


def names_of(table: Table) -> Names:
    """The options of TABLE by section; ways to log in to Keystone are left out."""
    return {
        section: {name: option.get("former", []) for name, option in options.items()}
        for section, options in table["sections"].items()
    }


def _keys(names: Names) -> set[str]:
    return {f"{normal(section)}/{name}" for section, options in names.items() for name in options}


def _renamed(names: Names) -> dict[str, str]:
    """Every former name in NAMES and what is written instead."""
    return {
        f"{normal(old.rpartition('/')[0] or section)}/{old.rpartition('/')[2]}": f"{section}/{name}"
        for section, options in names.items()
        for name, former in options.items()
        for old in former
    }


def _paragraphs(note: Any) -> Iterator[str]:
    """What NOTE says to somebody who upgrades."""
    for part in ("upgrade", "deprecations", "security", "other"):
        texts = note.get(part, []) if isinstance(note, Mapping) else []
        for text in texts if isinstance(texts, list) else [texts]:
            if isinstance(text, str):
                yield text


def _shortened(text: str) -> str:
    """The first sentences of TEXT, without reStructuredText's marks."""
    text = re.split(r"\n\s*[*-] ", text, maxsplit=1)[0]  # what follows is a list
    plain = re.sub(r"``|(:[\w-]+:)?`([^`<]*?)( ?<[^`]*>)?`_{0,2}", r"\2", " ".join(text.split()))
    kept = ""
    for sentence in re.split(r"(?<=[.:])\s+(?=[A-Z*`-])", plain):
        if len(kept) + len(sentence) > LONGEST_REASON:
            break
        kept = f"{kept} {sentence}".strip()
    return kept.rstrip(":") or plain[:LONGEST_REASON].rpartition(" ")[0] + " ..."


def noted(key: str, notes: Mapping[str, Any]) -> Table:
    """What NOTES say about the removal of KEY: the reason, and the note that says it; or {}."""
    section, _, name = key.partition("/")
    word = rf"(?<![\w-]){re.escape(name)}(?![\w-])"
    # A name such as "enable" is also a word of any sentence: it has to be marked as code.
    option = re.compile(word if "_" in name else rf"``[^`]*{word}[^`]*``")
    removal = re.compile(r"\bremoved|no longer|has been dropped|been deleted", re.IGNORECASE)
    best: tuple[int, str, str] | None = None
    for path, note in notes.items():
        for text in _paragraphs(note):
            if option.search(text) and removal.search(text):
                # A text about this very section is about this option, and a short one about it
                # alone.
                named = f"[{section}]" in text or f"{section}/" in text
                score = (4 if named else 0) + (2 if "/remove" in path else 0) + (len(text) < 600)
                if best is None or score > best[0]:
                    best = (score, _shortened(text), path)
    return {"reason": best[1], "source": best[2]} if best else {}


def removed_options(
    history: Sequence[tuple[int, Names]],
    tables: Mapping[int, Table],
    notes: Mapping[str, Any],
    remarks: Mapping[str, Mapping[str, Any]],
) -> dict[str, Table]:
    """What became of every option that some release had and a later one has not.

    HISTORY is every version's options in order. The full tables start amid it: before them only
    Nova's own options are known, so what a library had is not missed.
    """
    renamed: dict[str, str] = {}
    found: dict[str, Table] = {}
    logins = _logins(tables)
    for (earlier, before), (version, now) in pairwise(history):
        renamed.update(_renamed(before) | _renamed(now))
        here = _keys(now) | _renamed(now).keys() | logins
        for key in (_keys(before) | _renamed(before).keys()) - here:
            why = noted(key, notes) or _was_deprecated(key, tables.get(earlier))
            found[key] = {"removed": version, **_instead(key, renamed), **why}
        for key in here & found.keys():
            del found[key]  # it came back
    for pattern, remark in remarks.items():
        for key in fnmatch.filter(found, pattern) or [pattern]:
            kept = {k: v for k, v in found.get(key, {}).items() if k not in ("reason", "source")}
            found[key] = {**kept, **remark}
    for row in found.values():
        later = found.get(row.get("instead", ""), {})
        if "reason" not in row:  # then what took its place is gone for a reason
            row.update({k: later[k] for k in ("reason", "source") if k in later})
    return dict(sorted(found.items()))


def added_options(history: Sequence[tuple[int, Names]]) -> dict[str, int]:
    """The first version that has an option, of those that the oldest of HISTORY lacks."""
    seen = _keys(history[0][1])
    found = {}
    for version, names in history[1:]:
        new = _keys(names) - seen
        found.update(dict.fromkeys(new, version))
        seen |= new
    return dict(sorted(found.items()))


def _logins(tables: Mapping[int, Table]) -> set[str]:
    """Every option of a login to Keystone, former names too, in every section that holds one."""
    return {
        f"{section}/{name}"
        for table in tables.values()
        for section in table["auth"]["sections"]
        for option, described in table["auth"]["options"].items()
        for name in (option, *described.get("former", []))
    }


def _instead(key: str, renamed: Mapping[str, str]) -> Table:
    instead = renamed.get(key, key)
    while renamed.get(instead, instead) != instead:
        instead = renamed[instead]
    return {"instead": instead} if instead != key else {}


def _was_deprecated(key: str, table: Table | None) -> Table:
    """What the option itself said while it was still there."""
    section, _, name = key.partition("/")
    option = table["sections"].get(section, {}).get(name, {}) if table else {}
    if not (table and option.get("deprecated")):
        return {}
    return {
        "reason": _shortened(option["deprecated"]),
        "source": f"help of the option in {table['release']}",
    }
