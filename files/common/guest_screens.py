"""The guests that libvirt runs here, and what their screens speak: read from their processes.

And what the console's proxy of a controller speaks to them: read from its nova.conf.
"""

import glob
import os
import re

PROC = "/proc"
FIRST = 5900
"""The port of VNC's display 0."""
QEMU = re.compile(r"qemu-(kvm|system-[a-z0-9_]+)")
NAME = re.compile(r"(?:^|,)guest=((?:[^,]|,,)*)")
SECTION = re.compile(r"\[(.*)\]\s*$")
OPTION = re.compile(r"([a-z_]+)\s*[=:]\s*(.*)$")
FEW = 5
"""How many guests are told by name."""


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


def tally():
    """How many guests have a screen that speaks TLS, or none, and what a few of them are called."""
    found = {"plain": [], "tls": []}
    for guest in guests():
        if guest.screen:
            found[guest.screen].append(guest.name[:200])
    return {kind: {"count": len(names), "few": names[:FEW]} for kind, names in found.items()}


def proxy(path):
    """What the console's proxy is told by the nova.conf at PATH; None where there is none.

    Of several values of an option the last one counts (oslo_config/cfg.py, _get_from_namespace).
    """
    section, said = "", {}
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            lines = [line.rstrip() for line in stream]
    except OSError:
        return None
    for line in lines:
        begins = SECTION.match(line)
        section = begins.group(1) if begins else section
        option = OPTION.match(line)
        if option:
            said[section, option.group(1)] = option.group(2)
    schemes = said.get(("vnc", "auth_schemes"), "none")
    return {
        "schemes": [word.strip() for word in schemes.split(",")],
        "certificate": said.get(("vnc", "vencrypt_client_cert")),
        "encrypted_only": said.get(("DEFAULT", "ssl_only"), "").lower()
        in ("true", "1", "yes", "on"),
    }


def answer(request):
    path = request.get("proxy")
    return {
        "screens": tally() if request.get("guests") else None,
        "proxy": proxy(path) if path else None,
    }
