"""The lab's guest image: what its programs need is in it, from the packages alone."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "lab" / "guest" / "build_image.py"
LIBRARIES = "lib/x86_64-linux-gnu"
PROGRAM = Path("/usr/bin/lsblk")


@pytest.fixture(scope="module")
def build_image() -> ModuleType:
    specification = importlib.util.spec_from_file_location("build_image", SCRIPT)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def unpacked(root: Path, *names: str) -> Path:
    """A folder with this machine's loader and libraries NAMES, as packages are unpacked."""
    folder = root / LIBRARIES
    folder.mkdir(parents=True)
    for name in ("ld-linux-x86-64.so.2", *names):
        shutil.copy(Path("/lib64/ld-linux-x86-64.so.2").resolve().with_name(name), folder)
    return root


def needed(build_image: ModuleType) -> set[str]:
    shown = build_image.by_loader(Path("/usr"), "--list", PROGRAM)
    return {
        line.split()[0]
        for line in shown.splitlines()
        if "=>" in line and "/" not in line.split()[0]
    }


def test_a_program_s_libraries_are_those_of_the_packages(
    build_image: ModuleType, tmp_path: Path
) -> None:
    names = needed(build_image)
    assert {"libc.so.6", "libblkid.so.1", "libsmartcols.so.1"} <= names
    root = unpacked(tmp_path, *names)
    found = build_image.libraries(root, PROGRAM)
    assert found == {name: root / LIBRARIES / name for name in names}


def test_a_library_of_the_build_host_alone_is_refused_by_name(
    build_image: ModuleType, tmp_path: Path
) -> None:
    root = unpacked(tmp_path, *(needed(build_image) - {"libsmartcols.so.1"}))
    with pytest.raises(SystemExit, match=r"lsblk needs libsmartcols\.so\.1, which is in none of"):
        build_image.libraries(root, PROGRAM)


def test_a_module_comes_after_what_it_needs_and_only_if_it_is_there(
    build_image: ModuleType,
) -> None:
    needs = {"sr_mod": ["cdrom"], "cdrom": [], "isofs": ["cdrom", "nls_base"], "nls_base": []}
    order = build_image.load_order(["isofs", "sr-mod", "built_in"], needs, needs.__getitem__)
    assert order == ["cdrom", "nls_base", "isofs", "sr_mod"]
