"""Packages built once, kept outside the checkout, and put into repositories for apt."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab import state
from lab.packages import contents, deb, environment, repository, services
from lab.packages.build_root import DEBIAN, FOLDER, BuildRoot, build_root, digest
from lab.packages.releases import lock_of
from lab.packages.shape import ARCHIVE, Shape, native_release, shape_of
from lab.shell import run, say, step

MIRROR = FOLDER / "mirror"
"""The repositories, each below the host name under which sources.list knows it."""

DEBS = FOLDER / "debs"
PUBLIC_KEY = FOLDER / "signing-key.gpg"
COMPLETE = ".complete"


@dataclass(frozen=True)
class Repository:
    """Where the packages of a release are.

    Attributes:
        folder: on this machine.
        line: of a host's sources.list, as Ubuntu has it.
    """

    folder: Path
    line: str


@contextmanager
def _locked() -> Iterator[None]:
    """Let no other build write there meanwhile."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / ".lock").open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another build of packages to end")
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def architecture() -> str:
    """What Debian calls this machine's kind of processor."""
    return run("dpkg", "--print-architecture").stdout.strip()


def key(shape: Shape, processor: str) -> str:
    """A name for the packages of SHAPE: another one if anything would be built otherwise."""
    sources = [Path(str(module.__file__)) for module in (contents, deb, environment, services)]
    return digest(
        *(DEBIAN, processor, shape.suite, shape.version, shape.row.model_dump_json()),
        lock_of(shape.release).read_text(encoding="utf-8"),
        *(path.read_text(encoding="utf-8") for path in sources),
    )


def folder_of(shape: Shape, processor: str) -> Path:
    """Where the packages of SHAPE are kept."""
    return DEBS / f"{shape.series}-{shape.release}-{key(shape, processor)}"


def build(series: str, release: str) -> Repository:
    """The packages of RELEASE for SERIES in their repository, built if they are not there yet.

    What was built before of the same two is removed then; so nothing grows.

    Raises:
        LabError: there is no such series or release, or something of it cannot be built.
    """
    shape = shape_of(series, release)
    processor = architecture()
    lock_of(release)
    with _locked():
        root = build_root()
        folder = folder_of(shape, processor)
        if (folder / COMPLETE).exists():
            say(f"packages of {release} for {series}: built before")
        else:
            _build(root, shape, folder, processor)
        return _publish(root, shape, folder, processor)


def _build(root: BuildRoot, shape: Shape, folder: Path, processor: str) -> None:
    for former in DEBS.glob(f"{shape.series}-{shape.release}-*"):
        state.remove_tree(former)
    installed = environment.make(root, shape.release, processor)
    folder.mkdir(parents=True)
    with step(f"pack Nova {shape.version} for {shape.series}"):
        for package in contents.debs(shape, installed, processor):
            deb.pack(package, folder)
    state.remove_tree(installed)
    (folder / COMPLETE).touch()


def _publish(root: BuildRoot, shape: Shape, folder: Path, processor: str) -> Repository:
    top = MIRROR / shape.archive / "ubuntu"
    with step(f"publish {shape.suite} of {shape.archive}"):
        public = repository.public_key(root)
        if not PUBLIC_KEY.exists() or PUBLIC_KEY.read_bytes() != public:
            PUBLIC_KEY.write_bytes(public)
        if shape.archive != ARCHIVE:
            repository.publish(root, top, shape.suite, sorted(folder.glob("*.deb")), processor)
        # Ubuntu's own archive holds the other one's key, and the release that is the series' own.
        packages = [*_own_packages(shape.series, processor), _keyring(public)]
        own = MIRROR / ARCHIVE / "ubuntu"
        repository.publish(root, own, shape.series, packages, processor)
    line = f"deb http://{shape.archive}/ubuntu {shape.suite} {repository.COMPONENT}"
    say(f"{folder.name}, as hosts name it: {line}")
    return Repository(top, line)


def _own_packages(series: str, processor: str) -> list[Path]:
    """The packages of the release that SERIES itself has, as far as they were built."""
    native = shape_of(series, native_release(series))
    folder = folder_of(native, processor)
    return sorted(folder.glob("*.deb")) if (folder / COMPLETE).exists() else []


def _keyring(public: bytes) -> Path:
    package = repository.keyring(public)
    path = FOLDER / package.file_name
    mark = path.with_suffix(".key")
    if not path.exists() or not mark.exists() or mark.read_bytes() != public:
        deb.pack(package, FOLDER)
        mark.write_bytes(public)
    return path


def built() -> Iterator[str]:
    """What was built, a line each."""
    for mark in sorted(DEBS.glob(f"*/{COMPLETE}")):
        packages = list(mark.parent.glob("*.deb"))
        size = sum(path.stat().st_size for path in packages) / 1e6
        yield f"{mark.parent.name}: {len(packages)} packages, {size:.0f} MB"
