"""A Debian package: what is in it, written out and packed by dpkg-deb(1)."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lab.shell import run

MAINTAINER = "pyinfra-nova's lab <root@localhost>"


@dataclass(frozen=True)
class File:
    content: str | bytes
    mode: int = 0o644


@dataclass(frozen=True)
class Link:
    to: str


@dataclass(frozen=True)
class Deb:
    """A package before it is packed.

    Attributes:
        files: by path on the host; those below /etc are conffiles.
        folders: that are empty in it.
        scripts: maintainer scripts, by name.
        tree: a folder of this machine, and where on the host its content is.
    """

    name: str
    version: str
    summary: str
    depends: tuple[str, ...] = ()
    provides: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    architecture: str = "all"
    section: str = "net"
    files: Mapping[str, File | Link] = field(default_factory=dict)
    folders: tuple[str, ...] = ()
    scripts: Mapping[str, str] = field(default_factory=dict)
    tree: tuple[Path, str] | None = None

    @property
    def conffiles(self) -> tuple[str, ...]:
        """What dpkg does not overwrite where somebody has changed it."""
        kept = (path for path, file in self.files.items() if isinstance(file, File))
        return tuple(sorted(path for path in kept if path.startswith("/etc/")))

    @property
    def file_name(self) -> str:
        """As apt and dpkg-name(1) have it: without the epoch."""
        return f"{self.name}_{self.version.rpartition(':')[2]}_{self.architecture}.deb"


def control(deb: Deb, size: int) -> str:
    """The control file of DEB, SIZE of whose files is in KiB (deb-control(5))."""
    fields = {
        "Package": deb.name,
        "Source": "" if deb.name == "nova" else "nova",
        "Version": deb.version,
        "Architecture": deb.architecture,
        "Maintainer": MAINTAINER,
        "Installed-Size": str(size),
        "Depends": ", ".join(deb.depends),
        "Provides": ", ".join(deb.provides),
        "Conflicts": ", ".join(deb.conflicts),
        "Section": deb.section,
        "Priority": "optional",
        "Description": f"{deb.summary}\n"
        " A stand-in for a test: it has the name and the shape of the distribution's package, and\n"
        " is none of it. Never install it on a machine that you want to keep.",
    }
    return "".join(f"{name}: {value}\n" for name, value in fields.items() if value)


def pack(deb: Deb, folder: Path) -> Path:
    """DEB as a file in FOLDER, whole or not at all."""
    target = folder / deb.file_name
    # Beside the environment: its files are linked, not copied.
    with tempfile.TemporaryDirectory(dir=folder, prefix=".") as work:
        stage = Path(work, "stage")
        stage.mkdir(mode=0o755)
        _fill(deb, stage)
        packed = Path(work, deb.file_name)
        # gzip, and little of it: a host unpacks it once, and what is in it is made of code.
        run(
            *("dpkg-deb", "--root-owner-group", "-Zgzip", "-z3", "--build"),
            *(str(stage), str(packed)),
        )
        packed.rename(target)
    return target


def _fill(deb: Deb, stage: Path) -> None:
    if deb.tree:
        source, path = deb.tree
        inside = stage / path.lstrip("/")
        _folder(stage, inside.parent)
        run("cp", "-al", str(source), str(inside))
    for path in deb.folders:
        _folder(stage, stage / path.lstrip("/"))
    for path, file in deb.files.items():
        inside = stage / path.lstrip("/")
        _folder(stage, inside.parent)
        if isinstance(file, Link):
            inside.symlink_to(file.to)
        else:
            _write(inside, file.content, file.mode)
    size = int(run("du", "-sk", str(stage)).stdout.split()[0])
    about = stage / "DEBIAN"
    _folder(stage, about)
    _write(about / "control", control(deb, size))
    if deb.conffiles:
        _write(about / "conffiles", "".join(f"{path}\n" for path in deb.conffiles))
    for name, text in deb.scripts.items():
        _write(about / name, text, 0o755)


def _folder(stage: Path, path: Path) -> None:
    """PATH and what is above it in STAGE, whatever this process's umask is."""
    for each in (path, *path.parents):
        if each == stage:
            break
        if not each.exists():
            each.mkdir(parents=True)
    for each in (path, *path.parents):
        if each == stage:
            break
        each.chmod(0o755)


def _write(path: Path, content: str | bytes, mode: int = 0o644) -> None:
    data = content if isinstance(content, bytes) else content.encode()
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as stream:
        os.fchmod(stream.fileno(), mode)
        stream.write(data)
