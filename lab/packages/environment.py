"""Nova and its libraries in an environment of their own, made for the Python of the hosts.

Hosts also run Keystone, Neutron and more, whose libraries are those of Debian's one release: the
two must not meet. What has to be the system's own is linked into the environment by name.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from lab import state
from lab.packages.build_root import DEBIAN, FOLDER, PACKAGES, BuildRoot, digest
from lab.packages.releases import PYTHON, lock_of
from lab.shell import run, step

PLACE = "/usr/lib/nova-environment"
"""One for every release: an upgrade replaces Nova's files in place, as the real packages do."""

LIBRARIES = f"{PLACE}/lib/python{PYTHON}/site-packages"
SYSTEM_LIBRARIES = "/usr/lib/python3/dist-packages"
PIP = "/opt/pip"
LOCK = "/root/lock.txt"
ENVIRONMENTS = FOLDER / "environments"

SYSTEM_MODULES = ("libvirt.py", "libvirt_lxc.py", "libvirt_qemu.py", "libvirtaio.py")
SYSTEM_EXTENSIONS = ("libvirtmod", "libvirtmod_lxc", "libvirtmod_qemu", "rados", "rbd")
"""Bindings of libraries that are the host's; where it has none, Nova finds none either."""

NEEDLESS = (
    *("bin/Activate.ps1", "bin/activate", "bin/activate.csh", "bin/activate.fish", "include"),
    f"lib/python{PYTHON}/site-packages/nova/tests",
)


def archive_of(release: str, processor: str) -> Path:
    """Where the environment of RELEASE is kept: another file if it would be made otherwise."""
    name = digest(
        *(DEBIAN, *PACKAGES, processor, lock_of(release).read_text(encoding="utf-8")),
        Path(__file__).read_text(encoding="utf-8"),
    )
    return ENVIRONMENTS / f"{release}-{name}.tar.gz"


def make(root: BuildRoot, release: str, processor: str) -> Path:
    """The environment of RELEASE, in ROOT at its place; what was there is replaced."""
    archive = archive_of(release, processor)
    place = root.inside(PLACE)
    state.remove_tree(place)
    if archive.exists():
        with step(f"unpack Nova of {release}, installed before"):
            run("tar", "-C", str(place.parent), "-xzf", str(archive))
        return place
    _install(root, release)
    with step(f"keep Nova of {release} in {archive}"):
        ENVIRONMENTS.mkdir(parents=True, exist_ok=True)
        for former in ENVIRONMENTS.glob(f"{release}-*"):
            former.unlink()
        half = archive.with_name(f"{release}-half")
        folder = ("-C", str(place.parent), place.name)
        run("tar", "-I", "gzip -3", "-cf", str(half), *folder, timeout=600)
        half.rename(archive)
    return place


def _install(root: BuildRoot, release: str) -> None:
    place = root.inside(PLACE)
    with step(f"install Nova of {release} and its libraries"):
        if not root.inside(f"{PIP}/bin/pip").exists():
            root.run("python3", "-m", "venv", PIP)
        root.run("python3", "-m", "venv", "--without-pip", PLACE)
        shutil.copyfile(lock_of(release), root.inside(LOCK))
        pip = (f"{PIP}/bin/pip", "--python", f"{PLACE}/bin/python3")
        root.run(*pip, "install", "--quiet", "--no-deps", "--no-compile", "-r", LOCK)
        root.run(*pip, "check")
    for name in NEEDLESS:
        path = place / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    _link_system_modules(root)
    with step(f"compile Nova of {release}"):
        # On hosts nobody who runs it may write there, so that each start would compile all of it.
        # Some libraries hold files for other Pythons, which do not compile.
        root.run("sh", "-c", f"python3 -m compileall -q {PLACE}/lib >/dev/null || true")


def _link_system_modules(root: BuildRoot) -> None:
    suffix = root.run(
        "python3", "-c", "import sysconfig; print(sysconfig.get_config_var('EXT_SUFFIX'))"
    ).strip()
    for name in (*SYSTEM_MODULES, *(f"{module}{suffix}" for module in SYSTEM_EXTENSIONS)):
        root.inside(f"{LIBRARIES}/{name}").symlink_to(f"{SYSTEM_LIBRARIES}/{name}")


WAY_IN = f'''\
"""Nova is in an environment of its own: who imports it with the system's Python is sent there."""

import importlib
import sys

sys.path.insert(0, "{LIBRARIES}")
del sys.modules[__name__]
importlib.import_module(__name__)
'''
"""nova/__init__.py among the system's libraries, where Apache and others look for Nova."""


def wsgi_program(module: str) -> str:
    """A program for Apache's mod_wsgi, under the path that the real package's module has."""
    return f"from nova.wsgi.{module} import application  # noqa: F401\n"
