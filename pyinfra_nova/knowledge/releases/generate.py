"""Makes the tables of this directory from the releases on PyPI.

    python -m pyinfra_nova.knowledge.releases.generate [--work FOLDER] [--extra-specs] [RELEASE...]

Each release is installed with the libraries of its time into an environment of its own, in which
``dump.py`` asks oslo.config's generator for every option. ``history.json`` then says since when
options are there, and what became of those that some release dropped, with the reason that Nova's
release notes give, and ``extra_specs.json`` holds what Nova's validators say of flavors. It needs
``uv`` (which can install what was newest on a given day) and pip, about 2 GB and six minutes; what
is in DIRECTORY already is used again.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from pyinfra_nova.knowledge.releases import VERSIONS, normal

HERE = Path(__file__).parent
DUMP = HERE / "dump.py"
REMARKS = HERE / "remarks.yml"
LONGEST_REASON = 240

# Newer than their release because of the Python that this runs with; none of them has options.
ANY_AGE = (
    *("cffi", "charset-normalizer", "eventlet", "greenlet", "lxml", "markupsafe", "msgpack"),
    *("netifaces", "nova", "numpy", "psutil", "pynacl", "pyyaml", "wrapt", "yappi"),
)
# cursive uses curves that cryptography dropped after 43. oslo.limit's list of options was broken in
# 1.5.0 ("too many values to unpack").
CONSTRAINTS = ("cryptography<44", "pyopenssl<25", "setuptools<80", "oslo.limit!=1.5.0")
# Nova reads its options where it is installed, but does not require it.
OPTIONAL = ("osprofiler",)
EXTRA = {25: ("oslo.limit==1.5.1",)}


# The day after whose end no library is taken: some days after each release.
LIBRARIES = {
    "yoga": "2022-04-09",
    "zed": "2022-10-12",
    "2023.1": "2023-04-01",
    "2023.2": "2023-10-14",
    "2024.1": "2024-04-13",
    "2024.2": "2024-10-12",
    "2025.1": "2025-04-12",
    "2025.2": "2025-10-11",
    "2026.1": "2026-04-11",
    "2026.2": "2026-10-10",
}
# Looked at for the names of their options alone, to know when one was removed.
OLDER = range(15, 25)

Table = dict[str, Any]
Names = dict[str, dict[str, list[str]]]
"""By section, every option and the names under which it is still read."""


def _run(*command: str | Path) -> str:
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.stderr.write(done.stdout + done.stderr)
        raise SystemExit(f"{command[0]} ended with {done.returncode}")
    return done.stdout


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


# --- installing -----------------------------------------------------------------------------------


def environment(release: str, work: Path) -> Path:
    """The Python of an environment with RELEASE in it."""
    version = VERSIONS[release]
    directory = work / f"nova-{version}"
    python = directory / "bin" / "python"
    if not (directory / "complete").exists():
        _run("uv", "venv", "--quiet", "--clear", "--python", sys.executable, directory)
        ages = [f"--exclude-newer-package={name}=2099-01-01" for name in ANY_AGE]
        if version in EXTRA:
            ages.append("--exclude-newer-package=oslo-limit=2099-01-01")
        wanted = (
            f"nova>={version}.0,<{version + 1}",
            *OPTIONAL,
            *CONSTRAINTS,
            *EXTRA.get(version, ()),
        )
        install = ("uv", "pip", "install", "--quiet", "--python", python)
        _run(*install, f"--exclude-newer={LIBRARIES[release]}", *ages, *wanted)
        (directory / "complete").touch()
    return python


def _dump(python: Path, *arguments: str | Path) -> Any:
    return json.loads(_run(python, "-W", "ignore", DUMP, *arguments))


def older_names(version: int, python: Path, work: Path) -> Names:
    """The options of Nova VERSION itself, read with PYTHON's newer libraries."""
    directory = work / f"old-{version}"
    if not directory.exists():
        _run(
            *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"),
            *("--target", directory, f"nova>={version}.0,<{version + 1}"),
        )
    names: Names = _dump(python, "--names", directory)
    return names


def release_notes(version: str, work: Path) -> dict[str, Any]:
    """Every release note that Nova VERSION comes with, by its path."""
    archive = work / f"nova-{version}.tar.gz"
    if not archive.exists():
        _run(
            *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"),
            *("--no-binary", "nova", "--dest", work, f"nova=={version}"),
        )
    notes = {}
    with tarfile.open(archive) as files:
        for member in files:
            _, _, path = member.name.partition("/")
            content = files.extractfile(member)
            if re.fullmatch(r"releasenotes/notes/.*\.yaml", path) and content:
                notes[path] = yaml.safe_load(content.read())
    return notes


# --- what was removed -----------------------------------------------------------------------------


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


# --- extra specs ----------------------------------------------------------------------------------

# Standard traits and resource classes come from libraries, hundreds of them with one rule each.
COLLECTED = {
    "traits": ("trait{group}:", {"type": "string", "enum": ["required", "forbidden"]}),
    "resources": ("resources{group}:", {"type": "integer"}),
}


def _collection(name: str, row: Mapping[str, Any]) -> str | None:
    plain = {key: value for key, value in row.items() if key != "parameters"}
    for kind, (prefix, rule) in COLLECTED.items():
        if name.startswith(prefix) and plain == rule and list(row["parameters"]) == ["group"]:
            return kind
    return None


def spec_history(found: Mapping[int, Mapping[str, Table]]) -> Table:
    """The validators of every version in one table.

    Under ``specs`` each name has rows ``{"since", "until", ...}``, the versions that they hold for,
    both included; ``traits`` and ``resources`` have the first version that knows a standard one.
    """
    specs: dict[str, list[Table]] = {}
    collected: dict[str, dict[str, int]] = {kind: {} for kind in COLLECTED}
    for version, rows in sorted(found.items()):
        for name, row in rows.items():
            if kind := _collection(name, row):
                plain = name.removeprefix(COLLECTED[kind][0])
                collected[kind].setdefault(plain, version)
                continue
            held = specs.setdefault(name, [])
            last = held[-1] if held else {}
            same = {k: v for k, v in last.items() if k not in ("since", "until")} == row
            if same and last["until"] == version - 1:
                last["until"] = version
            else:
                held.append({"since": version, "until": version, **row})
    return {"specs": dict(sorted(specs.items())), **collected}


def make_extra_specs(work: Path) -> None:
    """Write ``extra_specs.json`` for all releases."""
    found: dict[int, Mapping[str, Table]] = {}
    for release, version in VERSIONS.items():
        _say(f"extra specs of Nova {version} ({release})")
        found[version] = _dump(environment(release, work), "--extra-specs")
    write(HERE / "extra_specs.json", spec_history(found), depth=2)


# --- writing --------------------------------------------------------------------------------------


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def _lines(value: Mapping[str, Any], depth: int) -> str:
    """VALUE as JSON, its innermost things a line each, so that two releases can be compared."""
    if depth == 0:
        return _json(value)
    rows = (
        f"{_json(key)}: {_lines(item, depth - 1) if isinstance(item, dict) else _json(item)}"
        for key, item in value.items()
    )
    return "{\n" + ",\n".join(rows) + "\n}"


def write(file: Path, value: Mapping[str, Any], depth: int) -> None:
    """VALUE into FILE."""
    file.write_text(_lines(value, depth) + "\n", encoding="utf-8")


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=None)
    parser.add_argument("--extra-specs", action="store_true", help="make that table alone")
    parser.add_argument(
        "releases", nargs="*", metavar="RELEASE", help="leave the tables of all others as they are"
    )
    return parser.parse_args(words)


def make(work: Path, wanted: Iterable[str]) -> None:
    """Write the tables of the releases WANTED, or of all of them, and ``history.json``."""
    tables: dict[int, Table] = {}
    names = set(wanted) or set(VERSIONS)
    for release, version in VERSIONS.items():
        file = HERE / f"{version}.json"
        if release in names:
            _say(f"Nova {version} ({release})")
            write(file, {"release": release, **_dump(environment(release, work))}, depth=3)
        tables[version] = json.loads(file.read_text(encoding="utf-8"))
    python = environment(next(iter(VERSIONS)), work)
    history = []
    for version in OLDER:
        _say(f"names of Nova {version}")
        history.append((version, older_names(version, python, work)))
    newer = [(version, names_of(table)) for version, table in tables.items()]
    _say("release notes")
    notes = release_notes(tables[max(tables)]["nova"], work)
    remarks = yaml.safe_load(REMARKS.read_text(encoding="utf-8"))
    value = {
        "added": added_options(newer),
        "removed": removed_options([*history, *newer], tables, notes, remarks),
    }
    write(HERE / "history.json", value, depth=2)
    make_extra_specs(work)


def main(words: Sequence[str] | None = None) -> None:
    arguments = _arguments(words)
    if arguments.work:
        arguments.work.mkdir(parents=True, exist_ok=True)
        _make(arguments, arguments.work.resolve())
    else:
        with tempfile.TemporaryDirectory() as directory:
            _make(arguments, Path(directory))


def _make(arguments: argparse.Namespace, work: Path) -> None:
    if arguments.extra_specs:
        make_extra_specs(work)
    else:
        make(work, arguments.releases)


if __name__ == "__main__":
    main()
