"""What can be wrong before any host is touched.

All of these are pyinfra's own errors, which its command line shows without a traceback.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pyinfra.api.exceptions import PyinfraError


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong, in words an operator can act on.

    Attributes:
        file: the file to edit, relative to the checkout.
        key: the dotted key in that file, or "" for the file as a whole.
        problem: what is wrong; never shows a value that may be secret.
        remedy: what to do about it, or "".
    """

    file: str
    key: str
    problem: str
    remedy: str = ""

    def __str__(self) -> str:
        where = f"{self.file}: {self.key}" if self.key else self.file
        text = f"{where}: {self.problem}" + (f"; {self.remedy}" if self.remedy else "")
        # Keys and names are the operator's, and may hold line breaks or a terminal's commands.
        return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


class SettingsError(PyinfraError):
    """The settings are not usable; ``faults`` holds everything that is wrong with them."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        count = "1 fault" if len(self.faults) == 1 else f"{len(self.faults)} faults"
        lines = [f"{count} in the settings; no host was touched:"]
        super().__init__("\n  - ".join([*lines, *(str(fault) for fault in self.faults)]))


class SecretsError(SettingsError):
    """The secrets file is missing, readable by others, or not complete."""


class UnsupportedPlatform(PyinfraError):  # noqa: N818 - named for what the host is
    """No row of platforms.yaml holds this operating system and release together."""

    def __init__(self, system: str, release: str, known: Iterable[str]) -> None:
        super().__init__(
            f"{system} with OpenStack {release} is not supported; possible are: " + "; ".join(known)
        )
