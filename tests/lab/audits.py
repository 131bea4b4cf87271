"""Audits that are made while something else goes on."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .conftest import MINUTE, ROOT

PAUSE = 5


class Audits(threading.Thread):
    """Audits one after the other until they are told to end.

    Attributes:
        wrong: the whole answer of each that did not end with 0.
    """

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.enough = threading.Event()
        self.number = 0
        self.wrong: list[dict[str, Any]] = []

    def run(self) -> None:
        while not self.enough.wait(PAUSE):
            done = subprocess.run(
                ["./run", "audit", "--json"], cwd=ROOT, capture_output=True, text=True, check=False
            )
            self.number += 1
            if done.returncode:
                found = json.loads(done.stdout or "{}")
                self.wrong.append({**found, "code": done.returncode, "said": done.stderr})


@contextmanager
def audited(audits: Audits) -> Iterator[Audits]:
    """Have AUDITS made until the body ends."""
    audits.start()
    try:
        yield audits
    finally:
        audits.enough.set()
        audits.join(5 * MINUTE)
