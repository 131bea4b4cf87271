"""The guests that libvirt runs here, and what their screens speak: read from their processes."""

import glob
import os
import re

PROC = "/proc"
FIRST = 5900
"""The port of VNC's display 0."""
QEMU = re.compile(r"qemu-(kvm|system-[a-z0-9_]+)")
NAME = re.compile(r"(?:^|,)guest=((?:[^,]|,,)*)")


class Guest:
    """A guest: its process, its names, and where its screen is and what that speaks.

    That is "tls", "plain" or, where it has none, None.
    """

    def __init__(self, pid, words):
        named = NAME.search(after(words, "-name"))
        self.pid = pid
        self.name = named.group(1).replace(",,", ",") if named else f"pid {pid}"
        self.uuid = after(words, "-uuid")
        screen = after(words, "-vnc")
        self.screen = ("tls" if "tls-creds=" in screen else "plain") if screen else None
        self.port = port_of(screen.split(",")[0])


def port_of(display):
    """The address and port of a VNC server, from here; None where it listens at no port."""
    address, _, number = display.rpartition(":")
    if not number.isdigit() or address.startswith("unix"):
        return None
    everywhere = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "[::]": "::1"}  # noqa: S104
    return everywhere.get(address, address.strip("[]")), FIRST + int(number)


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
