"""Each release of Nova installed with the libraries of its time, and asked for its options."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import yaml

from pyinfra_nova.knowledge.releases import VERSIONS
from pyinfra_nova.knowledge.releases.generate.table_files import Names

DUMP = Path(__file__).with_name("dump.py")

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


def _run(*command: str | Path) -> str:
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.stderr.write(done.stdout + done.stderr)
        raise SystemExit(f"{command[0]} ended with {done.returncode}")
    return done.stdout


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


def dump(python: Path, *arguments: str | Path) -> Any:
    return json.loads(_run(python, "-W", "ignore", DUMP, *arguments))


def older_names(version: int, python: Path, work: Path) -> Names:
    """The options of Nova VERSION itself, read with PYTHON's newer libraries."""
    directory = work / f"old-{version}"
    if not directory.exists():
        _run(
            *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"),
            *("--target", directory, f"nova>={version}.0,<{version + 1}"),
        )
    names: Names = dump(python, "--names", directory)
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
