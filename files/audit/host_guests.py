"""What one compute has of guests: the domains of libvirt, their folders, the images beneath them.

Request: {"compute": bool, "libvirt": URI, "instances": folder}
Answer:  {"domains": [{"uuid", "name", "state", "reason": number, "since": epoch|null,
                       "of_nova": whether Nova has made it|null}]|null,
          "domains_error": text|null, "instances": folder, "shared": bool,
          "folders": [{"name", "bytes", "written": epoch}], "bases": [the same],
          "backing": [paths], "unread": [disks whose backing file nobody could read]}
`since` is when a domain began to run, or ended, as far as its files tell. Two processes are run,
whatever the number of domains; no monitor of a guest is asked, so none that hangs is waited for.
"""

import os
import re
import struct
import subprocess

TIMEOUT = 30
STATES = {
    1: "running",
    2: "running",  # blocked on a resource
    3: "paused",
    4: "shutting down",
    5: "shut off",
    6: "crashed",
    7: "asleep",
}
"""virDomainState of libvirt-domain.h."""
RUNS, LOGS, DEFINED = "/run/libvirt/qemu", "/var/log/libvirt/qemu", "/etc/libvirt/qemu"
OF_NOVA = b"http://openstack.org/xmlns/libvirt/nova/"
"""The namespace of what Nova writes into each domain of its own (nova/virt/libvirt/config.py)."""
LONGEST = 1 << 20
GUEST = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(_resize|_del)?")
BASES = "_base"
NETWORKED = re.compile(
    r"nfs\d?|ceph|cifs|smb3|ocfs2|gfs2?|lustre|beegfs|afs|fuse\..*gluster.*|"
    r"fuse\.(sshfs|cephfs|quobyte|mfs)|glusterfs|vzstorage"
)
QCOW2 = b"QFI\xfb"


class NoDomainsError(Exception):
    """libvirt did not list its domains."""


def read(request):
    nothing = {"domains": None, "domains_error": None, "folders": [], "bases": []}
    if not request["compute"]:
        return {**nothing, "instances": None, "shared": False, "backing": [], "unread": []}
    folder = request["instances"]
    found = {**nothing, "instances": folder, "shared": is_shared(folder)}
    try:
        found["domains"] = domains(request["libvirt"])
    except NoDomainsError as error:
        found["domains_error"] = str(error)
    found["folders"] = folders(folder)
    found["backing"], found["unread"] = backing_files(folder, found["folders"])
    # After the disks: Nova sets an image's time anew before it makes a disk of it.
    found["bases"] = files(os.path.join(folder, BASES))
    return found


# --- libvirt --------------------------------------------------------------------------------------


def virsh(uri, *words):
    command = ["virsh", "--quiet", "--connect", uri, *words]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=TIMEOUT,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoDomainsError(f"virsh: {error}") from None
    if done.returncode:
        said = " ".join(done.stderr.split())[-300:]
        raise NoDomainsError(f"virsh {words[0]}: {said or f'ended with {done.returncode}'}")
    return done.stdout.splitlines()


def domains(uri):
    """Every domain that both lists have: one that is in but one of them comes or goes."""
    uuids = {}
    for line in virsh(uri, "list", "--all", "--uuid", "--name"):
        uuid, _, name = line.strip().partition(" ")
        if name:
            uuids[name.strip()] = uuid
    states = read_states(virsh(uri, "domstats", "--raw", "--state"))
    return [
        {"uuid": uuids[name], "name": name, **described(name, state)}
        for name, state in states.items()
        if name in uuids
    ]


def read_states(lines):
    """Of each domain its `state.state` and `state.reason`."""
    found, here = {}, {}
    for line in lines:
        key, _, value = line.strip().partition("=")
        if key.startswith("Domain: '"):
            here = found[line.strip()[len("Domain: '") : -1]] = {}
        elif key in ("state.state", "state.reason") and value.isdigit():
            here[key[len("state.") :]] = int(value)
    return found


def described(name, numbers):
    state = STATES.get(numbers.get("state"), "in no state")
    # QEMU's process id is written when it starts, the last line of its log when it ends.
    is_off = state in ("shut off", "crashed")
    path = f"{LOGS}/{name}.log" if is_off else f"{RUNS}/{name}.pid"
    begun = {"state": state, "reason": numbers.get("reason", 0), "since": time_of(path)}
    return {**begun, "of_nova": is_of_nova(name)}


def is_of_nova(name):
    """Whether Nova has made a domain, by the definition that libvirt keeps of it; None where there
    is none to be read, as of one that is only there while it runs."""
    for folder in (DEFINED, RUNS):
        try:
            with open(f"{folder}/{name}.xml", "rb") as stream:
                return OF_NOVA in stream.read(LONGEST)
        except (OSError, ValueError):
            continue
    return None


def time_of(path):
    try:
        return os.stat(path).st_mtime
    except (OSError, ValueError):
        return None


# --- files ----------------------------------------------------------------------------------------


def is_shared(folder):
    """Whether a folder is on a file system that other hosts may have, too."""
    best, kind = "", ""
    try:
        with open("/proc/self/mounts", encoding="utf-8", errors="replace") as stream:
            mounts = [line.split(" ") for line in stream]
    except OSError:
        return False
    path = os.path.realpath(folder) + "/"
    for _, point, each, *_ in mounts:
        point = point.replace("\\040", " ").rstrip("/") + "/"
        if path.startswith(point) and len(point) >= len(best):
            best, kind = point, each
    return bool(NETWORKED.fullmatch(kind))


def entries(folder):
    """What is in a folder; nothing where it is not there, or goes away meanwhile."""
    try:
        with os.scandir(folder) as found:
            return sorted(found, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return []


def folders(instances):
    """The folders of guests, with all that is in them."""
    found = []
    for entry in entries(instances):
        if GUEST.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False):
            total = measured(entry.path)
            if total:
                found.append({"name": entry.name, "bytes": total[0], "written": total[1]})
    return found


def files(folder):
    found = []
    for entry in entries(folder):
        total = measured(entry.path)
        if total and entry.is_file(follow_symlinks=False):
            found.append({"name": entry.name, "bytes": total[0], "written": total[1]})
    return found


def measured(path):
    """The bytes on the disk and the newest time of a file, or of a folder with all in it."""
    try:
        status = os.lstat(path)
        inside = [measured(each.path) for each in entries(path)] if os.path.isdir(path) else []
    except FileNotFoundError:
        return None
    found = [each for each in inside if each]
    size = status.st_blocks * 512 + sum(each[0] for each in found)
    return size, max([status.st_mtime, *(each[1] for each in found)])


def backing_files(instances, guests):
    """The files that disks are made of, and the disks of which nobody knows."""
    found, unread = set(), []
    for guest in guests:
        for entry in entries(os.path.join(instances, guest["name"])):
            try:
                if entry.is_file():
                    backing = backing_file(entry.path)
                    if backing:
                        found.add(os.path.join(os.path.dirname(entry.path), backing))
            except FileNotFoundError:
                pass  # gone meanwhile
            except OSError:
                unread.append(entry.path)
    return sorted(map(os.path.normpath, found)), unread


def backing_file(path):
    """What a qcow2 file says that it is made of (QEMU's docs/interop/qcow2.txt); else None.

    Read from its header, which a running QEMU does not change.
    """
    with open(path, "rb") as stream:
        header = stream.read(20)
        if len(header) < 20 or header[:4] != QCOW2:
            return None
        offset, length = struct.unpack(">QI", header[8:20])
        if not offset or length > 1023:
            return None
        stream.seek(offset)
        found = os.fsdecode(stream.read(length))
    if found.startswith("json:"):
        raise OSError(f"{path} is made of {found}")
    return found
