"""Makes the tables of the directory above from the releases on PyPI.

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
import json
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import yaml

from pyinfra_nova.knowledge.releases import HERE, VERSIONS
from pyinfra_nova.knowledge.releases.generate.environments import (
    dump,
    environment,
    older_names,
    release_notes,
)
from pyinfra_nova.knowledge.releases.generate.extra_spec_history import spec_history
from pyinfra_nova.knowledge.releases.generate.option_history import (
    added_options,
    names_of,
    removed_options,
)
from pyinfra_nova.knowledge.releases.generate.table_files import Table, write

REMARKS = HERE / "remarks.yml"
# Looked at for the names of their options alone, to know when one was removed.
OLDER = range(15, 25)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def make(work: Path, wanted: Iterable[str]) -> None:
    """Write the tables of the releases WANTED, or of all of them, and ``history.json``."""
    tables: dict[int, Table] = {}
    names = set(wanted) or set(VERSIONS)
    for release, version in VERSIONS.items():
        file = HERE / f"{version}.json"
        if release in names:
            _say(f"Nova {version} ({release})")
            write(file, {"release": release, **dump(environment(release, work))}, depth=3)
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


def make_extra_specs(work: Path) -> None:
    """Write ``extra_specs.json`` for all releases."""
    found: dict[int, Mapping[str, Table]] = {}
    for release, version in VERSIONS.items():
        _say(f"extra specs of Nova {version} ({release})")
        found[version] = dump(environment(release, work), "--extra-specs")
    write(HERE / "extra_specs.json", spec_history(found), depth=2)


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=None)
    parser.add_argument("--extra-specs", action="store_true", help="make that table alone")
    parser.add_argument(
        "releases", nargs="*", metavar="RELEASE", help="leave the tables of all others as they are"
    )
    return parser.parse_args(words)


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
