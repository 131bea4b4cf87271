"""Repositories for apt, laid out and named as Ubuntu's and the Ubuntu Cloud Archive's are.

Each is below its own host name, so that whoever serves the folder finds the file in the request.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from email.utils import format_datetime
from pathlib import Path

from lab import state
from lab.packages.build_root import FOLDER, BuildRoot
from lab.packages.deb import Deb, File
from lab.shell import run

COMPONENT = "main"
POOL = f"pool/{COMPONENT}/n/nova"
SIGNER = "pyinfra-nova lab packages"
HOME = "/root/signing"
SECRET = FOLDER / "signing-key.asc"
KEYRING_FILES = (
    "/usr/share/keyrings/ubuntu-cloud-keyring.gpg",
    # The deploy's line in sources.list names no keyring, as add-apt-repository's does not.
    "/etc/apt/trusted.gpg.d/ubuntu-cloud-keyring.gpg",
)


def entry(control: str, name: str, content: bytes) -> str:
    """What Packages says of a package: its control file, where it is, how it is told."""
    return (
        f"{control.rstrip()}\n"
        f"Filename: {name}\n"
        f"Size: {len(content)}\n"
        f"MD5sum: {hashlib.md5(content, usedforsecurity=False).hexdigest()}\n"
        f"SHA256: {hashlib.sha256(content).hexdigest()}\n"
    )


def release_file(suite: str, architecture: str, files: Mapping[str, bytes], day: datetime) -> str:
    """The Release of SUITE, FILES of which are named from its own folder."""
    sums = "".join(
        f" {hashlib.sha256(content).hexdigest()} {len(content)} {name}\n"
        for name, content in sorted(files.items())
    )
    return (
        f"Origin: pyinfra-nova\nLabel: stand-ins for a test\nSuite: {suite}\nCodename: {suite}\n"
        f"Date: {format_datetime(day.astimezone(timezone.utc), usegmt=True)}\n"
        f"Architectures: {architecture} all\nComponents: {COMPONENT}\n"
        f"Description: packages that stand for those of {suite}\nSHA256:\n{sums}"
    )


def publish(
    root: BuildRoot, top: Path, suite: str, packages: Iterable[Path], architecture: str
) -> None:
    """Have PACKAGES, and no others, in SUITE of the repository TOP, signed.

    The files that hosts are told of come before what tells of them. Nothing is written where all of
    it is so.
    """
    pool = top / POOL
    pool.mkdir(parents=True, exist_ok=True)
    entries = []
    for package in packages:
        content = package.read_bytes()
        beside = pool / f".{package.name}.new"
        beside.unlink(missing_ok=True)
        beside.hardlink_to(package)
        beside.rename(pool / package.name)
        about = run("dpkg-deb", "--field", str(package)).stdout
        entries.append(entry(about, f"{POOL}/{package.name}", content))
    index = "\n".join(entries).encode()
    files = {
        f"{COMPONENT}/binary-{architecture}/Packages": index,
        f"{COMPONENT}/binary-{architecture}/Packages.gz": gzip.compress(index, mtime=0),
    }
    folder = top / "dists" / suite
    signed_by = hashlib.sha256(public_key(root)).hexdigest()
    mark = folder / ".signed-by"
    there = all((folder / name).exists() for name in (*files, "InRelease", mark.name))
    first = next(iter(files))
    if there and (folder / first).read_bytes() == index and mark.read_text() == signed_by:
        return
    mark.unlink(missing_ok=True)
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    about = release_file(suite, architecture, files, datetime.now(timezone.utc))
    state.write(folder / "Release", about)
    state.write(folder / "InRelease", _signed(root, about))
    state.write(mark, signed_by)


def _gpg() -> Sequence[str]:
    return ("gpg", "--homedir", HOME, "--batch", "--quiet", "--no-tty", "--yes")


def _have_key(root: BuildRoot) -> None:
    """Have the secret key in ROOT: the one that is kept beside the packages, or a new one."""
    home = root.inside(HOME)
    if (home / "made").exists():
        return
    state.remove_tree(home)
    home.mkdir(mode=0o700)
    inside = root.inside(f"{HOME}/secret.asc")
    if SECRET.exists():
        state.write(inside, SECRET.read_text(encoding="ascii"), 0o600)
        root.run(*_gpg(), "--import", f"{HOME}/secret.asc")
    else:
        root.run(
            *_gpg(), "--passphrase", "", "--quick-generate-key", SIGNER, "ed25519", "sign", "never"
        )
        root.run(*_gpg(), "--armor", "--output", f"{HOME}/secret.asc", "--export-secret-keys")
        state.write(SECRET, inside.read_text(encoding="ascii"), 0o600)
    (home / "made").touch()


def public_key(root: BuildRoot) -> bytes:
    """The key that hosts have to trust."""
    _have_key(root)
    root.run(*_gpg(), "--output", f"{HOME}/public.gpg", "--export")
    return root.inside(f"{HOME}/public.gpg").read_bytes()


def _signed(root: BuildRoot, text: str) -> str:
    _have_key(root)
    state.write(root.inside(f"{HOME}/Release"), text)
    root.run(*_gpg(), "--output", f"{HOME}/InRelease", "--clearsign", f"{HOME}/Release")
    return root.inside(f"{HOME}/InRelease").read_text(encoding="utf-8")


def keyring(key: bytes) -> Deb:
    """The package ubuntu-cloud-keyring, which Ubuntu itself has, with KEY in it."""
    return Deb(
        name="ubuntu-cloud-keyring",
        version="2021.03.26",
        summary="GnuPG keys of the Ubuntu Cloud Archive",
        section="misc",
        files={name: File(key) for name in KEYRING_FILES},
    )
