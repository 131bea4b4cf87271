"""Compare a host's huge pages with what it should set aside, or set them aside.

Request: {"pages": [{"kilobytes", "count", "node": number|null}], "daemons": [units], "apply": bool}
Answer:  {"error": text|null, "changes": [texts], "remarks": [texts]}
Pages are set aside at once, as far as memory has room in one piece, and for every boot: those of
the kernel's own size by sysctl, others and those of a NUMA node by arguments of the kernel
(admin-guide/mm/hugetlbpage.rst in its documentation). Guests also need a mounted hugetlbfs of each
size; systemd mounts only the kernel's own.
What is judged is what is in force, not what was written, so a run that is cut off anywhere is
finished by the next. What this script once wrote and is no longer asked for is taken away; a file
without its mark is somebody else's and stays, and so does a mount that guests use, which is said.
"""

import glob
import os
import re
import subprocess

import mount_users

ROOT = ""
"""Before every path; tests set it."""
SYSCTL = "/etc/sysctl.d/60-pyinfra-nova-hugepages.conf"
GRUB_FOLDER = "/etc/default/grub.d"
GRUB = GRUB_FOLDER + "/60-pyinfra-nova-hugepages.cfg"
GRUB_CFG = "/boot/grub/grub.cfg"
UNITS = "/etc/systemd/system"
WRITTEN = "# Written by pyinfra-nova; the next deploy undoes what is changed here.\n"
MOST = 0.9
"""The part of the memory that may be huge pages; a host without any other ends at once."""
ARGUMENT = re.compile(r"hugepagesz=(\d+)([KMG]) hugepages=(\d+(?::\d+)?(?:,\d+(?::\d+)?)*)")
KIB = {"K": 1, "M": 1 << 10, "G": 1 << 20}


def read(path):
    """The text of a file, or None."""
    try:
        with open(ROOT + path, encoding="utf-8", errors="replace") as stream:
            return stream.read()
    except (FileNotFoundError, NotADirectoryError):
        return None


def is_ours(path):
    return (read(path) or "").startswith(WRITTEN)


def write(path, content):
    beside = ROOT + path + ".pyinfra-nova"
    with open(beside, "w", encoding="utf-8") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    os.chmod(beside, 0o644)
    os.replace(beside, ROOT + path)


def remove(path):
    """Remove a file of ours; looked at again, because somebody may have replaced it."""
    if not is_ours(path):
        raise SystemExit(f"{path} is not as this project wrote it: look at it, and remove it")
    os.remove(ROOT + path)


def run(*command):
    """What a command prints."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip()[-300:]
        raise SystemExit("{} ended with {}: {}".format(" ".join(command), done.returncode, said))
    return done.stdout


def shown(unit):
    """What systemd knows of a unit that is in force."""
    names = "LoadState,ActiveState,UnitFileState,NeedDaemonReload"
    times = "ActiveEnterTimestampMonotonic,InactiveEnterTimestampMonotonic"
    lines = run("systemctl", "show", f"--property={names},{times}", unit).splitlines()
    return dict(line.partition("=")[::2] for line in lines)


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


def counter(entry, name="nr_hugepages"):
    """The kernel's file with the number of pages."""
    node = entry["node"]
    base = "/sys/kernel/mm" if node is None else f"/sys/devices/system/node/node{node}"
    return "{}/hugepages/hugepages-{}kB/{}".format(base, entry["kilobytes"], name)


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


def mount_name(kilobytes):
    return "hugepages" + size_name(kilobytes)


def mount_unit(kilobytes):
    """The path and content of the unit that mounts pages of one size for guests."""
    name = mount_name(kilobytes)
    content = (
        f"{WRITTEN}[Unit]\nDescription=Huge pages of {size_name(kilobytes)}\n"
        "DefaultDependencies=no\nBefore=sysinit.target\n\n"
        f"[Mount]\nWhat=hugetlbfs\nWhere=/dev/{name}\nType=hugetlbfs\n"
        f"Options=pagesize={size_name(kilobytes)}\n\n[Install]\nWantedBy=sysinit.target\n"
    )
    return f"{UNITS}/dev-{name}.mount", content


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
    found = []
    for entry in to_be_none(pages, default):
        used = number(counter(entry)) - number(counter(entry, "free_hugepages"))
        if used > 0:
            text = "{} {} are in use, and are given back when their guests are moved or stopped"
            found.append(text.format(used, label(entry)))
    for path in unwanted_mounts(pages, default):
        if named := users(path):
            text = "{} stays mounted, in use by {}: move or stop these guests, then deploy again"
            found.append(text.format(mount_point(path), named))
    words = kernel_arguments(pages, default)
    started_with = (read("/proc/cmdline") or "").split()
    if all(word in started_with for word in words.split()):
        return found
    if not by_grub():
        return [*found, f"put this on the kernel's command line for the next boot: {words}"]
    return [*found, f"a reboot is needed for the kernel to be started with {words}"]


def by_grub():
    """Whether arguments of the kernel come from GRUB_FOLDER here."""
    return os.path.isdir(ROOT + GRUB_FOLDER) and read(GRUB_CFG) is not None


def in_grub_cfg(arguments):
    """Whether a kernel of GRUB's menu is started with ARGUMENTS, one after the other."""
    words = arguments.split()
    for line in (read(GRUB_CFG) or "").splitlines():
        found = line.split()
        if found[:1] and found[0] in ("linux", "module", "module2"):
            starts = range(len(found) - len(words) + 1)
            if any(found[start : start + len(words)] == words for start in starts):
                return True
    return False


def no_longer_wanted(pages, default):
    """Entries of what files of ours set aside and PAGES do not name, each with a count of 0."""
    ours = []
    if is_ours(SYSCTL):
        ours.append((default, None))
    if is_ours(GRUB):
        for number, unit, counts in ARGUMENT.findall(read(GRUB)):
            for count in counts.split(","):
                node = int(count.partition(":")[0]) if ":" in count else None
                ours.append((int(number) * KIB[unit], node))
    gone = []
    for kilobytes, node in dict.fromkeys(ours):
        nodes = [entry["node"] for entry in pages if entry["kilobytes"] == kilobytes]
        # A count of all nodes is the sum of theirs.
        if node in nodes or None in nodes or (node is None and nodes):
            continue
        entry = {"kilobytes": kilobytes, "count": 0, "node": node}
        if read(counter(entry)) is not None:
            gone.append(entry)
    return gone


def to_be_none(pages, default):
    """Entries that are to have no page."""
    return [*no_longer_wanted(pages, default), *(e for e in pages if not e["count"])]


def number(path):
    return int(read(path) or 0)


def count_steps(pages):
    """Each count that is not as it should be: a text, and what sets it."""
    for entry in pages:
        # Beyond the count the kernel keeps what is in use, until it is free (adjust_pool_surplus).
        now = number(counter(entry)) - number(counter(entry, "surplus_hugepages"))
        if now != entry["count"]:
            text = "set {} to {} (was {})".format(label(entry), entry["count"], now)
            yield text, lambda entry=entry: set_count(entry)


def set_count(entry):
    try:
        with open(ROOT + counter(entry), "w", encoding="utf-8") as stream:
            stream.write(str(entry["count"]))
    except OSError as error:
        raise SystemExit(f"{counter(entry)} cannot be set: {error.strerror}") from error


def file_steps(path, content):
    """Have a file hold CONTENT; with None, no such file of ours."""
    if content is None:
        if is_ours(path):
            yield "remove " + path, lambda: remove(path)
    elif read(path) != content:
        yield "write " + path, lambda: write(path, content)


def grub_steps(pages, default):
    """The arguments of the kernel, up to the menu from which it is started.

    When there are to be none, the file is there, without them, until the menu is made anew: as long
    as it is there, that is still to be done.
    """
    words = kernel_arguments(pages, default)
    if words:
        line = f'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX {words}"\n'
        writing = list(file_steps(GRUB, WRITTEN + line))
        yield from writing
        if writing or not in_grub_cfg(words):
            yield f"update-grub: start kernels with {words}", lambda: update_grub(words)
    elif is_ours(GRUB):
        writing = list(file_steps(GRUB, WRITTEN))
        yield from writing
        if writing or not menu_is_newer():
            yield "update-grub: start kernels without huge pages", lambda: run("update-grub")
        yield "remove " + GRUB, lambda: remove(GRUB)


def menu_is_newer():
    """Whether the menu was made after our file was written."""
    menu, written = ROOT + GRUB_CFG, ROOT + GRUB
    return os.path.exists(menu) and os.path.getmtime(menu) > os.path.getmtime(written)


def update_grub(words):
    run("update-grub")
    if not in_grub_cfg(words):
        raise SystemExit(f"update-grub has left {GRUB_CFG} without {words}: see {GRUB}")


def wanted_sizes(pages, default):
    """The sizes, in KiB, that guests need a mount of ours for."""
    return sorted({entry["kilobytes"] for entry in pages if entry["count"]} - {default})


def unwanted_mounts(pages, default):
    """The paths of units of ours that mount sizes which nobody asks for."""
    wanted = [mount_unit(size)[0] for size in wanted_sizes(pages, default)]
    paths = (path[len(ROOT) :] for path in glob.glob(ROOT + UNITS + "/dev-hugepages*.mount"))
    return [path for path in sorted(paths) if path not in wanted and is_ours(path)]


def mount_point(path):
    """Where the unit at PATH mounts; its name says it (systemd.mount(5))."""
    return "/" + os.path.basename(path)[: -len(".mount")].replace("-", "/")


def users(path):
    """Who uses the mount of the unit at PATH, in words."""
    return mount_users.named(mount_point(path), ROOT)


def unmount(path):
    """Unmount; nothing where somebody has begun to use it since it was looked at."""
    if users(path):
        return
    try:
        run("systemctl", "disable", "--now", os.path.basename(path))
    except SystemExit:
        if not users(path):
            raise


def remove_unmounted(path):
    if not mount_users.devices(mount_point(path), ROOT):
        remove(path)


def unmount_steps(pages, default, daemons):
    """Take away mounts of ours that are not wanted; those that are in use stay as they are."""
    gone = [path for path in unwanted_mounts(pages, default) if not users(path)]
    states = {path: shown(os.path.basename(path)) for path in gone}
    for path, state in states.items():
        if state["ActiveState"] == "active" or state["UnitFileState"] == "enabled":
            yield f"unmount {os.path.basename(path)}", lambda path=path: unmount(path)
    for daemon in daemons if gone else ():
        found = shown(daemon)
        if found["ActiveState"] == "active" and not all(
            forgotten(state, found) for state in states.values()
        ):
            yield restart_step(daemon)
    for path in gone:
        yield "remove " + path, lambda path=path: remove_unmounted(path)
    if gone:
        yield "have systemd forget them", lambda: run("systemctl", "daemon-reload")


def forgotten(mount, daemon):
    """Whether a daemon has started since a mount was taken away, or there was none since boot."""
    ended = int(mount.get("InactiveEnterTimestampMonotonic") or 0)
    since = int(daemon.get("ActiveEnterTimestampMonotonic") or 0)
    return mount["ActiveState"] != "active" and since >= ended


def mount_steps(kilobytes, daemons):
    """Have pages of one size mounted, now and at every boot, and libvirt know it."""
    path, content = mount_unit(kilobytes)
    unit = os.path.basename(path)
    writing = list(file_steps(path, content))
    yield from writing
    state = shown(unit)
    if writing or state["NeedDaemonReload"] == "yes" or state["LoadState"] == "not-found":
        yield "have systemd read " + unit, lambda: run("systemctl", "daemon-reload")
    mounted = state["ActiveState"] == "active"
    if not mounted or state["UnitFileState"] != "enabled":
        yield f"mount {unit}", lambda: run("systemctl", "enable", "--now", unit)
    for daemon in daemons:
        found = shown(daemon)
        since, of_mount = (int(x.get("ActiveEnterTimestampMonotonic") or 0) for x in (found, state))
        if found["ActiveState"] == "active" and not (mounted and since >= of_mount):
            yield restart_step(daemon)


def restart_step(daemon):
    """libvirt looks for mounts when it starts; guests go on without it."""
    text = f"restart {daemon}, which looks for mounts when it starts"
    return text, lambda: run("systemctl", "try-restart", daemon)


def steps(pages, default, daemons):
    """Everything that is not as it should be, in the order in which it is put right.

    What says that something is to be taken away goes last, after it has been.
    """
    yield from count_steps(to_be_none(pages, default))
    yield from unmount_steps(pages, default, daemons)
    count = next((e["count"] for e in pages if by_sysctl(e, default)), 0)
    yield from file_steps(SYSCTL, f"{WRITTEN}vm.nr_hugepages = {count}\n" if count else None)
    yield from grub_steps(pages, default) if by_grub() else file_steps(GRUB, None)
    for size in wanted_sizes(pages, default):
        yield from mount_steps(size, daemons)
    yield from count_steps([e for e in pages if e["count"]])


def answer(request):
    pages = request["pages"]
    if error := problem(pages):
        if request["apply"]:
            raise SystemExit(error)
        return {"error": error, "changes": [], "remarks": []}
    default = memory("Hugepagesize")
    found = list(steps(pages, default, request["daemons"]))
    if request["apply"]:
        for _, act in found:
            act()
    texts = list(dict.fromkeys(text for text, _ in found))
    return {"error": None, "changes": texts, "remarks": remarks(pages, default)}
