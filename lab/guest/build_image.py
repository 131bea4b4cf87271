#!/usr/bin/env python3
"""Build a tiny guest image from Debian's packages: ``build_image.py OUTPUT.qcow2``.

The image has one FAT partition with syslinux, Debian's cloud kernel, and an initramfs that is the
whole system: busybox, dropbear, and the scripts beside this file. It boots in seconds under
software emulation with 128 MB of memory. The packages are downloaded and unpacked, not installed;
no loop device and no mount is used. The build host needs the programs of TOOLS.
"""

import argparse
import gzip
import io
import lzma
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
TOOLS = {
    "mformat": "mtools",
    "mcopy": "mtools",
    "syslinux": "syslinux",
    "qemu-img": "qemu-utils",
    "apt-get": "apt",
    "dpkg-deb": "dpkg",
}
KERNEL_PACKAGE = "linux-image-cloud-amd64"
KERNELS = ("boot/vmlinuz-*", "usr/lib/modules/*/vmlinuz")
PACKAGES = (
    # Not the static one: its shell takes what busybox has of a name before what /bin has.
    *("busybox", "dropbear-bin", "libtomcrypt1", "libtommath1", "libgmp10", "libcrypt1"),
    *("zlib1g", "libc6", "ethtool", "libmnl0", "e2fsprogs", "libcom-err2", "libuuid1", "libblkid1"),
    # lsblk and blkid, which test suites ask, answer otherwise in busybox or are not in it.
    *("util-linux", "libmount1", "libsmartcols1", "libudev1", "libselinux1", "libpcre2-8-0"),
    *("libcap2", "libsystemd0", "libtinfo6"),
)
# Since Debian 13 it is called otherwise, for its 64-bit times.
EXT2_PACKAGES = ("libext2fs2t64", "libext2fs2")
PROGRAMS = ("busybox", "dropbear", "ethtool", "mke2fs", "lsblk", "blkid")
LOADER = "ld-linux-x86-64.so.2"
# In this order, each after what it depends on; one that is built in or not there is left out.
MODULES = (
    *("virtio_pci", "virtio_blk", "virtio_net", "virtio-rng", "virtio_console", "virtio_scsi"),
    *("virtio_balloon", "sd_mod", "sr_mod", "ata_piix", "ahci", "isofs", "vfat", "nls_cp437"),
    *("nls_ascii", "nls_iso8859-1", "nls_utf8", "ext4", "evdev", "button", "acpiphp"),
)
COMMAND_LINE = (
    "console=tty0 console=ttyS0,115200 quiet net.ifnames=0 mitigations=off nokaslr no_timer_check"
    " tsc=reliable"
)
SECTOR, START, SECTORS = 512, 2048, 96256
MBR = Path("/usr/lib/syslinux/mbr/mbr.bin")


def missing_tools():
    """The packages of the programs that are not there."""
    missing = {package for program, package in TOOLS.items() if not shutil.which(program)}
    if not MBR.exists():
        missing.add("syslinux-common")
    return sorted(missing)


def run(*command, **arguments):
    subprocess.run([str(word) for word in command], check=True, **arguments)


def depends(package):
    """The names of the packages that PACKAGE depends on."""
    shown = subprocess.run(
        ["apt-cache", "depends", "--important", package],
        check=True,
        stdout=subprocess.PIPE,
        universal_newlines=True,
    ).stdout
    return re.findall(r"Depends: (\S+)", shown)


def kernel_packages():
    """What the newest cloud kernel is in: one package, or since Linux 7 one that needs two more."""
    image = next(name for name in depends(KERNEL_PACKAGE) if name.startswith("linux-image-"))
    parts = [
        name for name in depends(image) if name.startswith(("linux-binary-", "linux-modules-"))
    ]
    return [image, *parts]


def ext2_package():
    """The one of EXT2_PACKAGES that this release has."""
    shown = subprocess.run(
        ["apt-cache", "--no-all-versions", "show", *EXT2_PACKAGES],
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        universal_newlines=True,
    ).stdout
    return re.search(r"^Package: (\S+)", shown, re.MULTILINE).group(1)


def unpack(work):
    """Download the packages into WORK and unpack them over one another."""
    debs, root = work / "debs", work / "unpacked"
    debs.mkdir()
    root.mkdir()
    # apt's own sandbox user cannot write here; the packages are checked all the same.
    run(
        *("apt-get", "-q", "-o", "APT::Sandbox::User=root", "download"),
        *(*PACKAGES, ext2_package(), *kernel_packages()),
        cwd=debs,
        stdout=subprocess.DEVNULL,
    )
    for deb in sorted(debs.iterdir()):
        run("dpkg-deb", "-x", deb, root)
        deb.unlink()
    return root


def module_data(path):
    data = path.read_bytes()
    return lzma.decompress(data) if path.suffix == ".xz" else data


def module_name(path):
    return path.name.split(".")[0].replace("-", "_")


def depends_of(data):
    """The modules that a module's .modinfo section says it needs."""
    match = re.search(rb"\0depends=([^\0]*)\0", data)
    return [name for name in match.group(1).decode().split(",") if name] if match else []


def load_order(wanted, available, depends):
    """WANTED with everything they need, each module after its dependencies.

    Args:
        wanted: module names; those that are not in AVAILABLE are left out.
        available: the names there are.
        depends: a function from a name to the names it needs.
    """
    order = []

    def add(name):
        name = name.replace("-", "_")
        if name not in available or name in order:
            return
        for needed in depends(name):
            add(needed)
        order.append(name)

    for name in wanted:
        add(name)
    return order


class Cpio:
    """An archive in the kernel's newc format; everything in it belongs to root."""

    def __init__(self):
        self.stream = io.BytesIO()
        self.count = 0
        self.folders = set()

    def _entry(self, name, mode, data):
        self.count += 1
        encoded = name.encode() + b"\0"
        fields = (self.count, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(encoded), 0)
        self.stream.write(b"070701" + b"".join(b"%08x" % field for field in fields) + encoded)
        self._pad()
        self.stream.write(data)
        self._pad()

    def _pad(self):
        self.stream.write(b"\0" * (-self.stream.tell() % 4))

    def folder(self, name):
        parts = name.strip("/").split("/")
        for depth in range(1, len(parts) + 1):
            path = "/".join(parts[:depth])
            if path and path not in self.folders:
                self.folders.add(path)
                self._entry(path, 0o040755, b"")

    def file(self, name, data, mode=0o644):
        self.folder(os.path.dirname(name) or "")
        self._entry(name, 0o100000 | mode, data)

    def link(self, name, target):
        self.folder(os.path.dirname(name) or "")
        self._entry(name, 0o120777, target.encode())

    def packed(self):
        self._entry("TRAILER!!!", 0, b"")
        return gzip.compress(self.stream.getvalue(), 9, mtime=0)


def program_path(root, name):
    return next(p for p in root.glob("**/*bin/" + name) if p.is_file()).resolve()


def by_loader(root, *words):
    """What the packages' own loader prints, which runs a program with the packages' libraries."""
    loader = next(root.glob("**/lib/x86_64-linux-gnu/" + LOADER))
    places = ":".join(str(path) for path in root.glob("**/lib/x86_64-linux-gnu"))
    return subprocess.run(
        [str(loader), "--inhibit-cache", "--library-path", places, *map(str, words)],
        check=False,
        stdout=subprocess.PIPE,
        universal_newlines=True,
    ).stdout


def add_programs(archive, root):
    for program in PROGRAMS:
        archive.file("bin/" + program, program_path(root, program).read_bytes(), 0o755)
    for applet in by_loader(root, program_path(root, "busybox"), "--list").split():
        if applet not in PROGRAMS:
            archive.link("bin/" + applet, "busybox")
    for name in ("mkfs.ext4", "mkfs.ext2"):
        archive.link("bin/" + name, "mke2fs")


def libraries(root, program):
    """What PROGRAM is linked with: name -> path below ROOT."""
    shown = by_loader(root, "--list", program)
    found = dict(re.findall(r"^\s*([^/\s]+) => (\S+)", shown, re.MULTILINE))
    for name, path in found.items():
        # One of the build host's own is not in the image.
        if not path.startswith(str(root) + "/"):
            sys.exit(f"{program.name} needs {name}, which is in none of the packages unpacked")
    return {name: Path(path) for name, path in found.items()}


def add_libraries(archive, root):
    found = {}
    for program in PROGRAMS:
        found.update(libraries(root, program_path(root, program)))
    for name, path in sorted(found.items()):
        archive.file("lib/x86_64-linux-gnu/" + name, path.read_bytes(), 0o755)
    loader = next(p for p in root.glob("**/lib/x86_64-linux-gnu/" + LOADER))
    archive.file("lib64/" + LOADER, loader.resolve().read_bytes(), 0o755)


def add_modules(archive, root):
    found = {}
    for folder in root.glob("**/lib/modules/*/kernel"):
        for path in folder.glob("**/*.ko*"):
            found[module_name(path)] = path
    order = load_order(MODULES, found, lambda name: depends_of(module_data(found[name])))
    for name in order:
        archive.file("lib/modules/" + name + ".ko", module_data(found[name]))
    archive.file("lib/modules/order", "".join(name + "\n" for name in order).encode())


def initramfs(root):
    archive = Cpio()
    for folder in ("proc", "sys", "dev", "run", "tmp", "mnt", "root/.ssh", "etc/dropbear"):
        archive.folder(folder)
    add_programs(archive, root)
    add_libraries(archive, root)
    add_modules(archive, root)
    system = HERE / "root"
    for path in sorted(p for p in system.glob("**/*") if p.is_file()):
        name = str(path.relative_to(system))
        executable = path.read_bytes()[:2] == b"#!"
        archive.file(name, path.read_bytes(), 0o755 if executable else 0o644)
    archive.link("init", "bin/init")
    return archive.packed()


def partition_table():
    """The master boot record: syslinux's code and one active FAT16 partition."""
    entry = struct.pack("<B3sB3sII", 0x80, b"\xfe\xff\xff", 0x0E, b"\xfe\xff\xff", START, SECTORS)
    code = MBR.read_bytes()[:440]
    return code.ljust(446, b"\0") + entry + b"\0" * 48 + b"\x55\xaa"


def disk(work, root):
    """A raw disk that boots."""
    path, offset = work / "disk.img", START * SECTOR
    with path.open("wb") as stream:
        stream.write(partition_table())
        stream.truncate((START + SECTORS) * SECTOR)
    where = f"{path}@@{offset}"
    run(*("mformat", "-i", where, "-T", SECTORS, "-h", 255, "-s", 63, "-H", START, "-N", "0", "::"))
    (work / "initrd").write_bytes(initramfs(root))
    (work / "syslinux.cfg").write_text(
        f"DEFAULT linux\nLABEL linux\n KERNEL /vmlinuz\n INITRD /initrd\n APPEND {COMMAND_LINE}\n"
    )
    kernel = next(p for place in KERNELS for p in root.glob(place))
    shutil.copy(kernel, work / "vmlinuz")
    run("mcopy", "-i", where, *(work / n for n in ("vmlinuz", "initrd", "syslinux.cfg")), "::")
    run("syslinux", "-i", "-t", offset, path)
    return path


def build(output, work):
    raw = disk(work, unpack(work))
    beside = output.with_name("." + output.name + ".new")
    run("qemu-img", "convert", "-q", "-O", "qcow2", "-c", raw, beside)
    beside.rename(output)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    options = parser.parse_args()
    missing = missing_tools()
    if missing:
        sys.exit("install first: apt-get install " + " ".join(missing))
    started = time.monotonic()
    options.output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="guest-image-", dir="/var/tmp") as work:
        build(options.output.resolve(), Path(work))
    size = options.output.stat().st_size / 1e6
    print(f"{options.output}: {size:.1f} MB, {time.monotonic() - started:.1f} s")


if __name__ == "__main__":
    main()
