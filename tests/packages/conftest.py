"""Real packages, built and installed in a Debian of their own; no lab is needed, root is."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab import state
from lab.packages import build, serve
from lab.packages.build_root import DEBIAN
from lab.packages.releases import RELEASES
from lab.packages.shape import ARCHIVE, Shape, shape_of
from lab.this_machine import apt_settings, sources

FILES = Path(__file__).resolve().parents[2] / "files"
# What the packages depend on beside each other: installed once, for all releases.
OTHERS = (
    *("adduser", "ca-certificates", "logrotate", "openssh-client", "openssl", "python3", "sudo"),
    *("python3-libvirt", "python3-pymysql", "iptables", "novnc", "apache2"),
    *("libapache2-mod-wsgi-py3", "bridge-utils", "ebtables", "genisoimage", "kpartx", "parted"),
    *("libvirt-clients", "libvirt-daemon-system", "open-iscsi", "qemu-utils", "qemu-system-x86"),
)
NO_USER = 'chroot "$1" deluser --quiet nova'
"""novnc's postinst makes the user nova, with a shell, where nova-common has not made one before."""
ON_JAMMY = ("yoga", "zed", "2023.1", "2023.2")
"""The others are tried for the next series, one of them as that series' own."""


@dataclass(frozen=True)
class Host:
    """A Debian that answers as the hosts of the lab do.

    Attributes:
        root: where its files are.
        shape: of the packages that it gets.
    """

    root: Path
    shape: Shape

    def run(self, *command: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """What COMMAND does there; its output is shown when a test fails."""
        inside = ("chroot", str(self.root), "env", "-i", "LANG=C.UTF-8", "HOME=/root")
        done = subprocess.run(
            (
                *("unshare", "--pid", "--fork", "--kill-child", "--mount"),
                *(f"--mount-proc={self.root}/proc", *inside),
                *("PATH=/usr/sbin:/usr/bin:/sbin:/bin", *command),
            ),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        print(f"$ {' '.join(command)}  (exit {done.returncode})\n{done.stdout}{done.stderr}")
        return done

    def script(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """What a script of the deploy does there, sent as the deploy sends it."""
        text = "".join((FILES / f"{each}.sh").read_text() for each in ("lock_packages", name))
        return self.run("sh", "-s", "--", *arguments, stdin=text)

    def as_nova(self, *command: str) -> subprocess.CompletedProcess[str]:
        return self.run("runuser", "-u", "nova", "--", *command)


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("packages are built and installed by root")
    folder = tmp_path_factory.mktemp("base")
    root, settings, source_list = folder / "root", folder / "apt.conf", folder / "sources.list"
    settings.write_text(apt_settings() + 'APT::Install-Recommends "false";\n')
    source_list.write_text(sources(DEBIAN))
    subprocess.run(
        (
            *("mmdebstrap", "--quiet", "--mode=root", "--variant=minbase"),
            *(f"--aptopt={settings}", "--dpkgopt=force-unsafe-io", f"--customize-hook={NO_USER}"),
            *(f"--include={','.join(OTHERS)}", DEBIAN, str(root), str(source_list)),
        ),
        check=True,
        timeout=1200,
    )
    yield root
    state.remove_tree(folder)


@pytest.fixture(scope="module", params=RELEASES)
def host(
    request: pytest.FixtureRequest, base: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Host]:
    release = str(request.param)
    shape = shape_of("jammy" if release in ON_JAMMY else "noble", release)
    build.build(shape.series, release)
    folder = tmp_path_factory.mktemp("host")
    root, upper, work = folder / "root", folder / "upper", folder / "work"
    for each in (root, upper, work):
        each.mkdir()
    layers = f"lowerdir={base},upperdir={upper},workdir={work}"
    subprocess.run(("mount", "-t", "overlay", "overlay", "-o", layers, str(root)), check=True)
    try:
        with serve.serving() as settings:
            (root / "etc/apt/apt.conf.d/50archives").write_text(settings)
            key = root / "usr/share/keyrings/ubuntu.gpg"
            key.write_bytes(build.PUBLIC_KEY.read_bytes())
            (root / "etc/apt/sources.list.d/ubuntu.list").write_text(
                f"deb [signed-by=/{key.relative_to(root)}] "
                f"http://{ARCHIVE}/ubuntu {shape.series} main\n"
            )
            (root / "etc/resolv.conf").write_text(Path("/etc/resolv.conf").read_text())
            yield Host(root, shape)
    finally:
        state.remove_tree(folder)
