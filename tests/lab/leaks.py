"""Secrets searched for in texts and files, in every form in which a secret is written."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from pyinfra_nova.session.redaction import forms

GREP = ("grep", "--text", "--no-messages", "--files-with-matches", "--fixed-strings")


class Search:
    """A search for SECRETS, a name and a value each; answers name them and never show them."""

    def __init__(self, secrets: Mapping[str, str], folder: Path) -> None:
        self.forms = {name: forms(value) for name, value in secrets.items()}
        assert all(len(form) > 7 for group in self.forms.values() for form in group)
        self.folder = folder
        self.patterns = self._private("secrets", "\n".join(set().union(*self.forms.values())))

    def _private(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.unlink(missing_ok=True)
        path.touch(mode=0o600)
        path.write_text(text)
        return path

    def in_files(self, paths: Iterable[Path]) -> list[str]:
        """Which of the files at PATHS have a secret in them; one that is gone by now has none."""
        found = subprocess.run(
            ("xargs", "--null", *GREP, "--file", str(self.patterns), "--", "/dev/null"),
            input="\0".join(map(str, paths)),
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "LC_ALL": "C"},
        )
        assert found.stderr == ""
        return found.stdout.splitlines()

    def in_text(self, text: str) -> list[str]:
        """The names of the secrets that are in TEXT."""
        if not self.in_files([self._private("text", text)]):
            return []
        return [name for name, group in self.forms.items() if any(form in text for form in group)]

    def in_file(self, path: Path) -> list[str]:
        """The names of the secrets that are in the file at PATH."""
        return self.in_text(path.read_text(errors="replace"))
