"""The Debian in which environments are made: the hosts' own, and a compiler, which hosts lack.

It is entered by chroot(8) in a process namespace of its own: what a command leaves running ends
with it.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from lab import state
from lab.shell import LabError, run, step
from lab.this_machine import apt_settings, install_tools, resolv_conf, sources

DEBIAN = "bookworm"
PACKAGES = ("ca-certificates", "gcc", "gnupg", "libc6-dev", "python3-dev", "python3-venv")
FOLDER = state.CACHE / "packages"
MACHINE_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
PASSED_ON = (
    *("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"),
    *("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_DEFAULT_TIMEOUT", "PIP_RETRIES"),
)
"""What says how this machine reaches PyPI."""


@dataclass(frozen=True)
class BuildRoot:
    """The folder that the system is in."""

    path: Path

    def inside(self, path: str) -> Path:
        """PATH of the system as this machine sees it."""
        return self.path / path.lstrip("/")

    def run(self, *command: str, timeout: float = 1800) -> str:
        """What COMMAND prints when it runs in there.

        Raises:
            LabError: it failed.
        """
        settings = {
            "HOME": "/root",
            "LANG": "C.UTF-8",
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "PIP_CERT": str(MACHINE_CERTIFICATES),
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            **{name: os.environ[name] for name in PASSED_ON if name in os.environ},
        }
        done = run(
            *("unshare", "--pid", "--fork", "--kill-child", "--mount"),
            *(f"--mount-proc={self.path}/proc", "chroot", str(self.path), "env", "-i"),
            *(f"{name}={value}" for name, value in settings.items()),
            *command,
            check=False,
            timeout=timeout,
        )
        if done.returncode != 0:
            said = (done.stderr.strip() or done.stdout.strip()).splitlines()[-15:]
            raise LabError(
                f"{' '.join(command)} ended with {done.returncode} in {self.path}:\n"
                + "\n".join(said)
            )
        return done.stdout


def digest(*parts: str) -> str:
    """A name for what is made of PARTS."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def build_root() -> BuildRoot:
    """The system, made if it is not there."""
    path = FOLDER / f"root-{DEBIAN}-{digest(*PACKAGES)}"
    if not path.is_dir():
        with step(f"make a Debian {DEBIAN} to build in"):
            install_tools()
            _make(path)
    state.write(path / "etc/resolv.conf", resolv_conf())
    if MACHINE_CERTIFICATES.exists():
        # A machine behind a proxy that opens TLS trusts more than Debian's list.
        certificates = MACHINE_CERTIFICATES.read_text(encoding="utf-8")
        state.write(path / str(MACHINE_CERTIFICATES).lstrip("/"), certificates)
    return BuildRoot(path)


def _make(path: Path) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f"{path.name}.half")
    state.remove_tree(half)
    settings, source_list = FOLDER / "apt.conf", FOLDER / "sources.list"
    state.write(settings, apt_settings() + 'APT::Install-Recommends "false";\n')
    state.write(source_list, sources(DEBIAN))
    run(
        *("setpriv", "--pdeathsig", "KILL"),
        *("unshare", "--pid", "--fork", "--kill-child", "--mount", "--mount-proc"),
        *("env", f"TMPDIR={FOLDER}"),
        *("mmdebstrap", "--quiet", "--mode=root", "--format=directory", "--variant=minbase"),
        *(f"--aptopt={settings}", "--dpkgopt=force-unsafe-io", f"--include={','.join(PACKAGES)}"),
        *(DEBIAN, str(half), str(source_list)),
        timeout=1200,
    )
    half.rename(path)
