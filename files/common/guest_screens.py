"""The guests that libvirt runs here, and what their screens speak: read from their processes."""

import glob
import os
import re

PROC = "/proc"
QEMU = re.compile(r"qemu-(kvm|system-[a-z0-9_]+)")
NAME = re.compile(r"(?:^|,)guest=((?:[^,]|,,)*)")


class Guest:
    """A guest: its process, its names, and what its screen speaks: "tls", "plain" or None."""

    def __init__(self, pid, words):
        named = NAME.search(after(words, "-name"))
        self.pid = pid
        self.name = named.group(1).replace(",,", ",") if named else f"pid {pid}"
        self.uuid = after(words, "-uuid")
        screen = after(words, "-vnc")
        self.screen = ("tls" if "tls-creds=" in screen else "plain") if screen else None


def after(words, option):
    """What follows OPTION on a command line, or ""."""
    return words[words.index(option) + 1] if option in words[:-1] else ""


def guests():
    found = []
    for path in glob.glob(f"{PROC}/[0-9]*/cmdline"):
        try:
            with open(path, "rb") as stream:
                words = stream.read().decode(errors="replace").split("\0")
        except OSError:  # ended meanwhile
            continue
        if QEMU.fullmatch(os.path.basename(words[0])) and after(words, "-uuid"):
            found.append(Guest(int(path.split("/")[-2]), words))
    return sorted(found, key=lambda guest: guest.name)


def plain():
    """The names of guests whose screen speaks no TLS: they were started before there was any."""
    return [guest.name for guest in guests() if guest.screen == "plain"]
