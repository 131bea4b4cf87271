"""What SELinux and firewalld still keep from working; nothing where they do not run.

Request: {"booleans": [names], "ports": ["8774/tcp", "5900-5999/tcp", ...], "address": text}
Answer:  {"selinux": "enforcing"|"permissive"|"off", "booleans": [those that are off],
          "firewalld": bool, "zone": text|null, "ports": [those that are closed],
          "permanent": [those that are closed after its next start]}
The zone is that of the interface with the address, else the default one.
"""

import json
import os
import shutil
import subprocess

SELINUX = "/sys/fs/selinux"


def said(*command):
    """What a program prints, or None where it ends with an error or is not there."""
    if not shutil.which(command[0]):
        return None
    result = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False
    )
    return result.stdout.strip() if result.returncode == 0 else None


def read(path):
    try:
        with open(path, encoding="ascii") as stream:
            return stream.read().strip()
    except OSError:
        return None


def selinux(root=SELINUX):
    enforce = read(os.path.join(root, "enforce"))
    return {None: "off", "0": "permissive"}.get(enforce, "enforcing")


def switched_off(names, root=SELINUX):
    """The booleans that are not on; a package may still have to bring one."""
    states = {name: read(os.path.join(root, "booleans", name)) for name in names}
    # Its value now, then the one that is pending.
    return [name for name in names if (states[name] or "0").split()[0] != "1"]


def ports_in(text):
    """The (first, last, protocol) of each of `8774/tcp 5900-5999/tcp`."""
    found = []
    for word in text.split():
        numbers, _, protocol = word.partition("/")
        first, _, last = numbers.partition("-")
        found.append((int(first), int(last or first), protocol))
    return found


def closed(wanted, listed):
    """The WANTED ports that no single entry of LISTED holds."""
    opened = ports_in(listed)
    return [
        port
        for port in wanted
        for first, last, protocol in ports_in(port)
        if not any(a <= first and last <= b and p == protocol for a, b, p in opened)
    ]


def zone_of(address):
    links = json.loads(said("ip", "-json", "-4", "address", "show") or "[]")
    for link in links:
        if any(info["local"] == address for info in link.get("addr_info", [])):
            zone = said("firewall-cmd", "--get-zone-of-interface=" + link["ifname"])
            if zone:
                return zone
    return said("firewall-cmd", "--get-default-zone")


def answer(request):
    state = selinux()
    found = {"selinux": state, "booleans": [], "firewalld": False, "zone": None}
    found.update(ports=[], permanent=[])
    if state != "off":
        found["booleans"] = switched_off(request["booleans"])
    if request["ports"] and said("firewall-cmd", "--state") is not None:
        zone = zone_of(request["address"])
        listing = ("--zone=" + zone, "--list-ports")
        found.update(
            firewalld=True,
            zone=zone,
            ports=closed(request["ports"], said("firewall-cmd", *listing) or ""),
            permanent=closed(request["ports"], said("firewall-cmd", "--permanent", *listing) or ""),
        )
    return found
