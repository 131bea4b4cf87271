"""Locks: what pip's rules choose for a release out of what PyPI had on the day it came out.

Upstream's own list, upper-constraints.txt, is on no package registry. It differs in the last number
of some libraries: it is raised for the stable branch long after the release.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from lab.packages.releases import BESIDE_NOVA, LOCKS, PYTHON, StandIn, stand_in
from lab.shell import LabError, run, step

NEVER = "2100-01-01"
"""Nova itself is the release's last version, which came out after the release."""


def wanted(release: StandIn) -> str:
    """What the resolver is asked for."""
    return "\n".join((f"nova=={release.nova}", *BESIDE_NOVA, *release.limits)) + "\n"


def command(uv: str, source: Path, target: Path, release: StandIn) -> tuple[str, ...]:
    """How it is asked."""
    exceptions = {"nova": NEVER, **release.newer}
    return (
        *(uv, "pip", "compile", "--quiet", "--no-config", "--no-header", "--no-annotate"),
        *("--python-version", PYTHON, "--exclude-newer", release.date),
        *(f"--exclude-newer-package={name}={day}" for name, day in exceptions.items()),
        *(str(source), "--output-file", str(target)),
    )


def header(name: str, release: StandIn) -> str:
    """What a lock says of itself."""
    more = [f"# {package} of {day}: for Python {PYTHON}" for package, day in release.newer.items()]
    return "\n".join(
        (
            f"# Nova {release.nova} of OpenStack {name}, with the libraries of {release.date}, for "
            f"Python {PYTHON}.",
            f"# Made by `python -m lab.packages lock --release {name}`.",
            *more,
            "",
        )
    )


def lock(name: str) -> Path:
    """Make the lock of the release NAME anew; needs uv.

    Raises:
        LabError: uv is not there, or finds no versions that fit together.
    """
    release = stand_in(name)
    uv = shutil.which("uv")
    if uv is None:
        raise LabError("uv makes the locks and is not installed: pip install uv")
    target = LOCKS / f"{name}.txt"
    with step(f"lock {name}"), tempfile.TemporaryDirectory() as folder:
        source, made = Path(folder, "wanted.in"), Path(folder, "lock.txt")
        source.write_text(wanted(release), encoding="utf-8")
        # Into a new file: versions in an existing one would be kept.
        run(*command(uv, source, made, release), timeout=600)
        text = header(name, release) + made.read_text(encoding="utf-8")
    target.write_text(text, encoding="utf-8")
    return target
