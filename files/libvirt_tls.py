"""Compare how libvirt and the guests of a compute speak TLS with what they should, or re-read.

Request: {"wanted": bool, "socket": unit, "mark": path, "address", "port",
          "services": [{"name": unit, "reads": [paths], "dropin": path|null}], the first is the one
          that the socket belongs to,
          "daemon": its name, "libvirt": [files that it re-reads when it is told to],
          "screens": [files that guests' VNC servers re-read when they are told to],
          "verb": "reread"|absent}
Answer:  {"daemon_reload": bool, "enable": bool, "disable": bool, "stop": bool,
          "restart": [{"name", "reason", "running": bool}], "reread": [who], "plain": [guests]}
Where it is not `wanted` there is only something to do if there is the `mark`, which says that the
socket is ours. `plain` are the guests whose screen speaks no TLS.
libvirt re-reads its certificates without a restart, and so do guests (virt-admin(1),
server-update-tls; QEMU's display-reload, of 6.0). What has re-read them is noted by the number of
its process, in a folder that a boot empties. The time is that of before: a file that is written
meanwhile is read once more.
"""

import glob
import json
import os
import subprocess
import time

import guest_screens
import units

NOTES = "/run/pyinfra-nova"
TIMEOUT = 60
PROC = "/proc"
LISTENING = "0A"
RELOAD = {"execute": "display-reload", "arguments": {"type": "vnc", "tls-certs": True}}
VIRSH = ("virsh", "--quiet", "--connect", "qemu:///system")


class Failed(Exception):  # noqa: N818 - as in rest.py
    """What has not re-read its certificates, and why."""


def note(pid):
    return f"{NOTES}/tls-{pid}"


def has_read(pid, files):
    """Whether a process started, or was told to read again, after the last change of FILES."""
    try:
        told = os.stat(note(pid)).st_mtime
    except OSError:
        told = 0.0
    # A note about an earlier process of that number is older than this one.
    return units.newest(files)[0] <= max(units.process_started(pid), told)


def ran(*command):
    """What COMMAND prints. Raises Failed with its last words."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            env={**os.environ, "LC_ALL": "C"},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Failed(f"{command[0]}: {error}") from error
    if done.returncode:
        raise Failed("{}: {}".format(command[0], (done.stderr or done.stdout).strip()))
    return done.stdout


def tell_guest(uuid):
    said = ran(*VIRSH, "qemu-monitor-command", "--domain", uuid, json.dumps(RELOAD))
    try:
        reply = json.loads(said)
    except ValueError:
        raise Failed(f"its QEMU answers {said[:200]!r}") from None
    # virsh itself ends well.
    if "error" in reply:
        raise Failed("its QEMU says: {}".format(reply["error"].get("desc")))


def tell_libvirt(name):
    ran("virt-admin", "--quiet", "--connect", f"{name}:///system", "server-update-tls", name)


def behind(request, pid):
    """Who is to read certificates again: a name, its process, and how it is told to.

    PID is libvirt's; 0 where it does not run, or reads them anyway when it is restarted.
    """
    found = []
    if pid and not has_read(pid, request["libvirt"]):
        found.append((request["daemon"], pid, tell_libvirt, request["daemon"]))
    for guest in guest_screens.guests() if request["screens"] else ():
        if guest.screen == "tls" and not has_read(guest.pid, request["screens"]):
            found.append((f"guest {guest.name}", guest.pid, tell_guest, guest.uuid))
    return found


def reread(request, pid):
    os.makedirs(NOTES, mode=0o700, exist_ok=True)
    failed = []
    for name, process, tell, whom in behind(request, pid):
        moment = time.time()
        try:
            tell(whom)
        except Failed as error:
            if os.path.exists(f"{PROC}/{process}"):  # else it has ended meanwhile
                failed.append(f"{name} has not read its certificates again: {error}")
            continue
        with open(note(process), "w"):
            os.utime(note(process), (moment, moment))
    for path in glob.glob(note("*")):
        if not os.path.exists("{}/{}".format(PROC, path.rpartition("-")[2])):
            os.unlink(path)
    if failed:
        raise SystemExit("\n".join(failed))


def listened_at(port):
    """The addresses at which somebody listens on PORT; of IPv6 only that it is of it."""
    found = set()
    for path in (f"{PROC}/net/tcp", f"{PROC}/net/tcp6"):
        try:
            with open(path) as stream:
                rows = [line.split() for line in stream][1:]
        except OSError:
            continue
        for row in rows:
            address, _, number = row[1].partition(":")
            if row[3] == LISTENING and number == f"{port:04X}":
                octets = bytes.fromhex(address)[::-1]  # proc(5): as the machine has it
                found.add(".".join(map(str, octets)) if len(octets) == 4 else "[::]")
    return found


def main_pid(state):
    return int(state.get("MainPID") or 0)


def is_misplaced(request, socket):
    """Whether the socket is there, but not at the address that it is to be at, or at others too."""
    at = listened_at(request["port"])
    return socket.get("ActiveState") == "active" and at != {request["address"]}


def reason(request, service, socket, state):
    """Why a service has to be restarted, or None."""
    if service is request["services"][0]:
        if socket.get("ActiveState") != "active":
            return "{} is {}".format(request["socket"], socket.get("ActiveState", "not there"))
        if is_misplaced(request, socket):
            at = ", ".join(sorted(listened_at(request["port"]))) or "nowhere"
            return "{} listens at {}".format(request["socket"], at)
    changed, path = units.newest(service["reads"])
    pid = main_pid(state)
    if pid and changed > units.process_started(pid):
        return f"{path} is newer than the process"
    return None


def restarts(request, states):
    found = []
    for service in request["services"]:
        state = states.get(service["name"], {})
        why = reason(request, service, states.get(request["socket"], {}), state)
        if why:
            row = {"name": service["name"], "reason": why, "running": bool(main_pid(state))}
            found.append(row)
    return found


def unwanted(request, states):
    """What stops it, where the socket is ours.

    A process that was started with the socket listens at it until it ends, and systemd would start
    it with the socket again until it has read that nobody wants that.
    """
    if not os.path.exists(request["mark"]):
        return {}
    first = request["services"][0]
    going = [row for row in restarts(request, states) if row["name"] != first["name"]]
    row = {"name": first["name"], "reason": "TLS is not wanted any more"}
    row["running"] = bool(main_pid(states.get(first["name"], {})))
    return {"daemon_reload": True, "disable": True, "stop": True, "restart": [row, *going]}


def compared(request, states):
    socket = states.get(request["socket"], {})
    going = restarts(request, states)
    first = request["services"][0]["name"]
    is_restarted = first in [row["name"] for row in going]
    pid = 0 if is_restarted else main_pid(states.get(first, {}))
    dropins = [(request["mark"], request["socket"])]
    dropins += [(each["dropin"], each["name"]) for each in request["services"]]
    return {
        "daemon_reload": any(
            units.has_to_be_read({"dropin": path}, states.get(name, {})) for path, name in dropins
        ),
        "enable": socket.get("UnitFileState") not in ("enabled", "static"),
        "stop": is_misplaced(request, socket),
        "restart": going,
        "reread": [name for name, *_ in behind(request, pid)],
        "plain": guest_screens.plain(),
    }


def answer(request):
    names = [request["socket"], *(service["name"] for service in request["services"])]
    states = units.show(names)
    if request.get("verb") == "reread":
        reread(request, main_pid(states.get(request["services"][0]["name"], {})))
        return {}
    nothing = {"daemon_reload": False, "enable": False, "disable": False, "stop": False}
    found = compared(request, states) if request["wanted"] else unwanted(request, states)
    return {**nothing, "restart": [], "reread": [], "plain": [], **found}
