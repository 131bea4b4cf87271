"""Compare a host's huge pages with what it should set aside, or set them aside.

Request: {"pages": [{"kilobytes", "count", "node": number|null}], "apply": bool}
Answer:  {"error": text|null, "changes": [texts], "remarks": [texts]}
Pages are set aside at once, as far as memory has room in one piece, and for every boot: those of
the kernel's own size by sysctl, others and those of a NUMA node by arguments of the kernel
(admin-guide/mm/hugetlbpage.rst in its documentation). Guests also need a mounted hugetlbfs of each
size; systemd mounts only the kernel's own.
"""

import os
import re
import subprocess

ROOT = ""
"""Before every path; tests set it."""
SYSCTL = "/etc/sysctl.d/60-pyinfra-nova-hugepages.conf"
GRUB_FOLDER = "/etc/default/grub.d"
GRUB = GRUB_FOLDER + "/60-pyinfra-nova-hugepages.cfg"
WRITTEN = "# Written by pyinfra-nova; the next deploy undoes what is changed here.\n"
MOST = 0.9
"""The part of the memory that may be huge pages; a host without any other ends at once."""


def read(path):
    """The text of a file, or None."""
    try:
        with open(ROOT + path, encoding="utf-8") as stream:
            return stream.read()
    except (FileNotFoundError, NotADirectoryError):
        return None


def write(path, content):
    if content is None:
        if os.path.lexists(ROOT + path):
            os.remove(ROOT + path)
        return
    beside = ROOT + path + ".pyinfra-nova"
    with open(beside, "w", encoding="utf-8") as stream:
        stream.write(content)
    os.chmod(beside, 0o644)
    os.replace(beside, ROOT + path)


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip()[-300:]
        raise SystemExit("{} ended with {}: {}".format(" ".join(command), done.returncode, said))


def memory(name):
    """A line of /proc/meminfo, in KiB."""
    match = re.search(rf"^{name}: +([0-9]+) kB", read("/proc/meminfo") or "", re.MULTILINE)
    return int(match[1]) if match else 0


def size_name(kilobytes):
    for unit, factor in (("G", 1 << 20), ("M", 1 << 10)):
        if kilobytes % factor == 0:
            return f"{kilobytes // factor}{unit}"
    return f"{kilobytes}K"


def label(entry):
    node = "" if entry["node"] is None else " of NUMA node {}".format(entry["node"])
    return "huge pages of {}{}".format(size_name(entry["kilobytes"]), node)


def counter(entry):
    """The kernel's file with the number of pages."""
    node = entry["node"]
    base = "/sys/kernel/mm" if node is None else f"/sys/devices/system/node/node{node}"
    return "{}/hugepages/hugepages-{}kB/nr_hugepages".format(base, entry["kilobytes"])


def by_sysctl(entry, default):
    return entry["node"] is None and entry["kilobytes"] == default


def kernel_arguments(pages, default):
    """What the kernel has to be started with, as one text."""
    sizes = {}
    for entry in pages:
        if entry["count"] and not by_sysctl(entry, default):
            sizes.setdefault(entry["kilobytes"], []).append(entry)
    words = []
    for kilobytes, entries in sizes.items():
        counts = [
            str(e["count"]) if e["node"] is None else "{node}:{count}".format(**e) for e in entries
        ]
        words += ["hugepagesz=" + size_name(kilobytes), "hugepages=" + ",".join(counts)]
    return " ".join(words)


def mount_unit(kilobytes):
    """The path and content of the unit that mounts pages of one size for guests."""
    name = "hugepages" + size_name(kilobytes)
    content = (
        f"{WRITTEN}[Unit]\nDescription=Huge pages of {size_name(kilobytes)}\n"
        "DefaultDependencies=no\nBefore=sysinit.target\n\n"
        f"[Mount]\nWhat=hugetlbfs\nWhere=/dev/{name}\nType=hugetlbfs\n"
        f"Options=pagesize={size_name(kilobytes)}\n\n[Install]\nWantedBy=sysinit.target\n"
    )
    return f"/etc/systemd/system/dev-{name}.mount", content


def wanted_files(pages, default):
    """By path, what files for the next boot hold; None for one that is not to be."""
    count = next((e["count"] for e in pages if by_sysctl(e, default)), None)
    files = {SYSCTL: f"{WRITTEN}vm.nr_hugepages = {count}\n" if count else None}
    if os.path.isdir(ROOT + GRUB_FOLDER):
        words = kernel_arguments(pages, default)
        line = f'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX {words}"\n'
        files[GRUB] = WRITTEN + line if words else None
    for kilobytes in sorted({e["kilobytes"] for e in pages} - {default}):
        path, content = mount_unit(kilobytes)
        used = any(e["count"] for e in pages if e["kilobytes"] == kilobytes)
        files[path] = content if used else None
    return files


def problem(pages):
    for entry in pages:
        if read(counter(entry)) is None:
            return f"this host has no {label(entry)}"
    total = sum(entry["kilobytes"] * entry["count"] for entry in pages)
    have = memory("MemTotal")
    if total > MOST * have:
        text = "{} MiB of huge pages are more than nine tenths of this host's {} MiB"
        return text.format(total // 1024, have // 1024)
    return None


def remarks(pages, default):
    """What is left to do by hand."""
    started_with = (read("/proc/cmdline") or "").split()
    missing = [w for w in kernel_arguments(pages, default).split() if w not in started_with]
    if not missing:
        return []
    words = kernel_arguments(pages, default)
    if not os.path.isdir(ROOT + GRUB_FOLDER):
        return [f"put this on the kernel's command line for the next boot: {words}"]
    return [f"a reboot is needed for the kernel to be started with {words}"]


def compare(pages, default):
    """The changes as texts, and what they are: files by path, pages as entries."""
    files = {
        path: content
        for path, content in wanted_files(pages, default).items()
        if read(path) != content
    }
    texts = [("remove " if content is None else "write ") + path for path, content in files.items()]
    counts = []
    for entry in pages:
        now = int(read(counter(entry)))
        if now != entry["count"]:
            counts.append(entry)
            texts.append("set {} to {} (was {})".format(label(entry), entry["count"], now))
    return texts, files, counts


def apply(files, counts):
    units = [os.path.basename(path) for path in files if path.endswith(".mount")]
    gone = [path for path, content in files.items() if content is None]
    for path in gone:
        if path.endswith(".mount"):
            run("systemctl", "disable", "--now", os.path.basename(path))
    for path, content in files.items():
        write(path, content)
    if GRUB in files:
        run("update-grub")
    for entry in counts:
        try:
            with open(ROOT + counter(entry), "w", encoding="utf-8") as stream:
                stream.write(str(entry["count"]))
        except OSError as error:
            raise SystemExit(f"{counter(entry)} cannot be set: {error.strerror}") from error
    if units:
        run("systemctl", "daemon-reload")
        for path, content in files.items():
            if path.endswith(".mount") and content is not None:
                run("systemctl", "enable", "--now", os.path.basename(path))
        # libvirt looks for mounts when it starts; guests go on without it.
        run("systemctl", "try-restart", "libvirtd.service", "virtqemud.service")


def answer(request):
    pages = request["pages"]
    if error := problem(pages):
        if request["apply"]:
            raise SystemExit(error)
        return {"error": error, "changes": [], "remarks": []}
    default = memory("Hugepagesize")
    texts, files, counts = compare(pages, default)
    if request["apply"]:
        apply(files, counts)
    return {"error": None, "changes": texts, "remarks": remarks(pages, default)}
