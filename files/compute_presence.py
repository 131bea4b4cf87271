"""What a compute has of that by which Nova knows it, and of guests.

Request: {"user": who runs nova-compute, "files": [the files that it reads], "state": its folder,
          "instances": folder of guests' folders, "units": [names of nova-compute's unit]}
Answer:  {"name": the host's name as libvirt gives it, "host": Nova's in "files"|null,
          "running": whether nova-compute runs,
          "identities": [{"path", "uuid": text|null, "problem": text|null}],
          "domains": {uuid: whether Nova has made it|null}|null, "folders": [uuids]|null,
          "unread": text|null}
`domains` and `folders` are null where nova-compute runs, which knows them better, and where they
cannot be read; `unread` says why. Libvirt is not asked for them: that would start it, and a plan
starts nothing. It keeps each definition in a file, and reads those when it starts.
"""

import grp
import os
import pwd
import re
import socket
import subprocess
import uuid

TIMEOUT = 10
IDENTITY = "compute_id"
DOMAINS = ("/etc/libvirt/qemu", "/run/libvirt/qemu")
"""Definitions; and the state of what runs, also of a domain without a definition."""
OF_NOVA = b"http://openstack.org/xmlns/libvirt/nova/"
LONGEST = 1 << 20
DOMAIN_UUID = re.compile(rb"<uuid>([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})</uuid>")
GUEST = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
SECTION = re.compile(r"\[(.*)\]")


def read(request):
    running = is_running(request["units"])
    found = {"domains": None, "folders": None, "unread": None}
    if not running:
        try:
            found["domains"] = domains(DOMAINS)
            found["folders"] = folders(request["instances"])
        except OSError as error:
            found["unread"] = str(error)
    places = [*map(os.path.dirname, request["files"]), request["state"]]
    paths = dict.fromkeys(os.path.join(place, IDENTITY) for place in places)
    identities = [identity(path, request["user"]) for path in paths]
    return {
        "name": name_for_libvirt(),
        "host": configured_host(request["files"]),
        "running": running,
        "identities": [one for one in identities if one],
        **found,
    }


def is_running(units):
    command = ["systemctl", "show", "--property=ActiveState", "--value", *units]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=TIMEOUT,
        )
    except (OSError, subprocess.TimeoutExpired):
        return True  # nobody says that it does not, and what runs is judged by less
    return b"active" in done.stdout.split()


def name_for_libvirt():
    """By the rules of libvirt's virGetHostname (src/util/virutil.c).

    That is what Nova calls the node; libvirt itself may not be installed yet.
    """
    name = socket.gethostname()
    if "." in name or name.startswith("localhost"):
        return name
    try:
        found = socket.getaddrinfo(name, None, flags=socket.AI_CANONNAME)
    except (OSError, UnicodeError):
        return name
    full = found[0][3] if found else ""
    return name if not full or full.startswith("localhost") else full


def configured_host(paths):
    """`host` of [DEFAULT], of the last file that has it."""
    found = None
    for path in paths:
        section = ""
        try:
            with open(path, encoding="utf-8", errors="replace") as stream:
                lines = stream.read().splitlines()
        except OSError:
            continue
        for line in lines:
            if SECTION.match(line):
                section = SECTION.match(line).group(1)
            key, separator, value = line.partition("=")
            if section == "DEFAULT" and separator and key.strip() == "host":
                found = value.strip().strip("\"'") or found
    return found


def identity(path, user):
    """What nova-compute would read there (nova/virt/node.py); None where there is nothing."""
    found = {"path": path, "uuid": None, "problem": None}
    try:
        with open(path, encoding="utf-8") as stream:
            text = stream.read(40)
            status = os.fstat(stream.fileno())
        found["uuid"] = str(uuid.UUID(text.strip()))
    except FileNotFoundError:
        return None
    except OSError as error:
        return {**found, "problem": f"cannot be read: {error.strerror or error}"}
    except ValueError:
        return {**found, "problem": "holds no UUID"}
    if is_closed_to(user, status):
        return {**found, "problem": f"cannot be read by {user}"}
    return found


def is_closed_to(user, status):
    """Whether USER may not read a file; nobody's without such a user, who comes with Nova."""
    try:
        account = pwd.getpwnam(user)
    except KeyError:
        return False
    if account.pw_uid == 0:
        return False
    groups = {account.pw_gid, *(each.gr_gid for each in grp.getgrall() if user in each.gr_mem)}
    if status.st_uid == account.pw_uid:
        return not status.st_mode & 0o400
    return not status.st_mode & (0o040 if status.st_gid in groups else 0o004)


def domains(places):
    found = {}
    for place in places:
        for name in names_in(place):
            if not name.endswith(".xml"):
                continue
            try:
                with open(os.path.join(place, name), "rb") as stream:
                    text = stream.read(LONGEST)
            except (FileNotFoundError, IsADirectoryError):
                continue  # gone meanwhile
            match = DOMAIN_UUID.search(text)
            if match:
                key = match.group(1).decode()
                found[key] = found.get(key, False) or OF_NOVA in text
    return found


def folders(instances):
    paths = ((name, os.path.join(instances, name)) for name in names_in(instances))
    return [name for name, path in paths if GUEST.fullmatch(name) and os.path.isdir(path)]


def names_in(folder):
    """What is in a folder; nothing where it is not there."""
    try:
        return sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []
