"""Who keeps a mount from being unmounted: processes with a file of it mapped or open, or in it.

ROOT, in each function, is what stands before every path; tests give one.
"""

import glob
import os

FEW = 5
"""Processes that are named."""


def devices(mount, root=""):
    """What is mounted at MOUNT, as pairs of numbers (proc(5), mountinfo)."""
    try:
        with open(root + "/proc/self/mountinfo", encoding="utf-8", errors="replace") as stream:
            rows = [line.split() for line in stream]
    except FileNotFoundError:
        return set()
    return {tuple(map(int, row[2].split(":"))) for row in rows if row[4] == mount}


def uses(process, mount, numbers):
    """Whether a process, by its folder in /proc, uses MOUNT, whose device has NUMBERS.

    By these a map is known from another mount namespace, such as a guest's, too.
    """
    try:
        with open(process + "/maps", encoding="utf-8", errors="replace") as stream:
            maps = [line.split(None, 4)[3].split(":") for line in stream]
        if any((int(major, 16), int(minor, 16)) in numbers for major, minor in maps):
            return True
        descriptors = [process + "/fd/" + name for name in os.listdir(process + "/fd")]
    except OSError:  # ended meanwhile
        return False
    for link in (*descriptors, process + "/cwd", process + "/root"):
        try:
            target = os.readlink(link)
        except OSError:
            continue
        if target == mount or target.startswith(mount + "/"):
            return True
    return False


def program(process):
    """A process in words: `qemu-system-x86 (4711)`."""
    try:
        with open(process + "/comm", encoding="utf-8", errors="replace") as stream:
            name = stream.read().strip()
    except OSError:
        name = "process"
    return f"{name} ({os.path.basename(process)})"


def named(mount, root=""):
    """Who uses MOUNT, in words: a few by name, the others by number; "" for nobody."""
    numbers = devices(mount, root)
    processes = glob.glob(root + "/proc/[0-9]*") if numbers else ()
    found = [process for process in sorted(processes) if uses(process, mount, numbers)]
    more = len(found) - FEW
    return ", ".join(map(program, found[:FEW])) + (f" and {more} more" if more > 0 else "")
