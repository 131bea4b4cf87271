"""Disks of hosts that are not there: what a run writes on one, the next run finds.

A disk is a file of JSON on this machine. Differences are shown by files/config_files.py itself.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[2] / "files"))
import config_files

Request = Mapping[str, Any]
Answers = dict[str, Any]
ABOUT = ("content", "owner", "group", "mode")


class Disk:
    """The files of one host, by path, each with what is said of it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def files(self) -> dict[str, dict[str, str]]:
        found: dict[str, dict[str, str]] = {}
        if self._path.exists():
            found = json.loads(self._path.read_text())
        return found

    def lose(self, path: str) -> None:
        """Have no file at PATH any more."""
        files = self.files
        del files[path]
        self._path.write_text(json.dumps(files))

    def texts(self, request: Request) -> dict[str, str]:
        """The certificates that the preflight asks for."""
        return {p: f["content"] for p, f in self.files.items() if p in request["certificates"]}

    def compare(self, request: Request) -> Answers:
        return {"files": [*self._differing(request), *self._going(request)]}

    def write(self, request: Request) -> Answers:
        answer, files = self.compare(request), self.files
        for wanted in request["files"]:
            files[wanted["path"]] = {name: wanted[name] for name in ABOUT}
        for gone in self._going(request):
            del files[gone["path"]]
        self._path.write_text(json.dumps(files))
        return answer

    def _differing(self, request: Request) -> Iterator[Answers]:
        for wanted in request["files"]:
            path, there = wanted["path"], self.files.get(wanted["path"])
            before = there["content"] if there else ""
            if there is None:
                changes = ["create"]
            else:
                changes = [] if config_files.is_wanted(wanted, before) else ["content"]
                changes += [f"{n} {there[n]}" for n in ABOUT[1:] if there[n] != wanted[n]]
            if changes:
                diff = config_files.shown_diff(wanted, before)
                yield {"path": path, "change": ", ".join(changes), "diff": diff}

    def _going(self, request: Request) -> Iterator[Answers]:
        wanted = {*request.get("wanted", ()), *(each["path"] for each in request["files"])}
        for entry in request.get("absent", ()):
            if entry["path"] in self.files and entry["path"] not in wanted:
                yield {"path": entry["path"], "change": "remove", "diff": ""}
