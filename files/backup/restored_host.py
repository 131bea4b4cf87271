"""What a restore needs to know of a host, and does there; outside the databases.

Request: {"verb", ...}, of which
    look     {"units": [names]}: changes nothing
    hold     {"marker": text|null, "log": bool}: from now on a restore is under way here
    stop     {"units"}: and leave no unit of them running
    start    {"units"}: those that are enabled
    identify {"compute_id": uuid}: give a compute its UUID back; another one is kept beside
    heal     {}: have Placement know the guests that Nova knows
    release  {"log": bool}: no restore is under way any more; with `log` computes reap again, too
Answer to all of them, as it is afterwards: {"marker": text|null, "log": bool,
          "os": {"id", "version"}, "healed": {"code", "said"}|absent,
          "compute_id": uuid|null, "units": {name: {"state", "enabled": bool}}, "care": [units]}
With `log` nova-compute leaves guests alone that Nova does not know as they are, whatever nova.conf
says: it keeps those that run and are called deleted, stops none that runs and is called stopped
(sync_power_states, each ten minutes), and removes no image on which one that nobody knows is built.
oslo.config reads the environment before its files. It is a drop-in of systemd, so it outlasts a
reboot.
"""

import os
import re
import subprocess
import time
import uuid

MARKER = "/etc/pyinfra-nova/restore-under-way"
DROP_IN = "/etc/systemd/system/nova-compute.service.d/pyinfra-nova-restore.conf"
COMPUTE_ID = "/var/lib/nova/compute_id"
MARK = "# Written by pyinfra-nova"
TEXT = (
    MARK + " (./run restore): after a restore nova-compute removes no guest that runs;\n"
    "# `./run restore --finish` takes this away.\n"
    "[Service]\n"
    "Environment=OS_DEFAULT__RUNNING_DELETED_INSTANCE_ACTION=log\n"
    "Environment=OS_DEFAULT__SYNC_POWER_STATE_INTERVAL=-1\n"
    "Environment=OS_IMAGE_CACHE__REMOVE_UNUSED_BASE_IMAGES=false\n"
)
SYSTEM = "/etc/os-release"
MORE = "Max count reached."
"""What heal_allocations says of it (nova/cmd/manage.py)."""
HEAL = ("nova-manage", "placement", "heal_allocations", "--verbose", "--max-count", "1000")
CARE = "nova-care-*"
COMPUTE = ("nova-compute.service", "openstack-nova-compute.service")
PATIENCE = 120
"""Seconds that a unit may take to start or to stop."""


def text_of(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read()
    except FileNotFoundError:
        return None


def write(path, text, mode, owner=None):
    """Put a file in place whole."""
    folder = os.path.dirname(path)
    os.makedirs(folder, mode=0o755, exist_ok=True)
    beside = f"{folder}/.{os.path.basename(path)}.{os.getpid()}"
    descriptor = os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            os.fchmod(stream.fileno(), mode)
            if owner is not None:
                os.fchown(stream.fileno(), owner.st_uid, owner.st_gid)
            stream.write(text)
        os.rename(beside, path)
    except BaseException:
        os.unlink(beside)
        raise


def systemctl(*words):
    done = subprocess.run(
        ["systemctl", *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        timeout=PATIENCE + 60,
    )
    return done.returncode, done.stdout, done.stderr.strip()


def told(*words):
    """What systemctl says: databases are replaced under whoever is overlooked for its silence."""
    code, said, error = systemctl(*words)
    if code:
        raise SystemExit(f"systemctl {words[0]} ended with {code}: {error[-300:]}")
    return said


def states(names):
    """The units of NAMES that are installed, each with its state."""
    if not names:
        return {}
    found = {}
    properties = "Id,Names,LoadState,ActiveState,UnitFileState"
    blocks = told("show", "--property=" + properties, "--", *names).strip().split("\n\n")
    if len(blocks) != len(names):
        raise SystemExit(f"systemctl show told of {len(blocks)} of {len(names)} units")
    for block in blocks:
        values = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if values.get("LoadState") in ("loaded", "masked"):
            found[values["Id"]] = {
                "state": values["ActiveState"],
                "enabled": values["UnitFileState"] in ("enabled", "enabled-runtime", "static"),
            }
    return found


def care():
    """The units of timers that are at work or wait; those write to the databases, too."""
    said = told("list-units", "--no-legend", "--plain", "--state=active,activating", CARE)
    return sorted(line.split()[0] for line in said.splitlines() if line.strip())


def compute_id():
    found = text_of(COMPUTE_ID)
    return found.strip() if found is not None else None


def look(request):
    system = dict(re.findall(r"(?m)^(ID|VERSION_ID)=[\"']?([^\"'\n]*)", text_of(SYSTEM) or ""))
    return {
        "os": {"id": system.get("ID", ""), "version": system.get("VERSION_ID", "")},
        "marker": text_of(MARKER),
        "log": text_of(DROP_IN) is not None,
        "compute_id": compute_id(),
        "units": states(request.get("units", [])),
        "care": care(),
    }


def hold(request):
    if request.get("marker") is not None:
        write(MARKER, request["marker"], 0o644)
    if request.get("log") and text_of(DROP_IN) != TEXT:
        write(DROP_IN, TEXT, 0o644)
        reload()


def reload():
    told("daemon-reload")


def stop(request):
    names = [*care(), *states(request["units"])]
    if names:
        systemctl("stop", "--", *names)
    still = {n: s["state"] for n, s in states(names).items() if s["state"] not in DEAD}
    if still:
        named = ", ".join(f"{name} ({state})" for name, state in sorted(still.items()))
        raise SystemExit(f"cannot be stopped: {named}")


DEAD = ("inactive", "failed")


def start(request):
    wanted = [name for name, state in states(request["units"]).items() if state["enabled"]]
    timers = enabled_timers()
    if not wanted and not timers:
        return
    for name in wanted:
        systemctl("reset-failed", "--", name)
    systemctl("start", "--no-block", "--", *wanted, *timers)
    deadline = time.monotonic() + PATIENCE
    while True:
        late = {n: s["state"] for n, s in states(wanted).items() if s["state"] != "active"}
        if not late:
            return
        if time.monotonic() > deadline:
            named = ", ".join(f"{name} ({state})" for name, state in sorted(late.items()))
            raise SystemExit(f"does not start: {named}; see journalctl -u and its log")
        time.sleep(1)


def enabled_timers():
    words = ("list-unit-files", "--no-legend", "--plain", "--state=enabled", CARE)
    code, said, error = systemctl(*words)
    # 1 without a word: there is no unit file of such a name, as on all hosts but one.
    if code and (code, said.strip(), error) != (1, "", ""):
        raise SystemExit(f"systemctl list-unit-files ended with {code}: {error[-300:]}")
    return [line.split()[0] for line in said.splitlines() if line.split()[:1]]


def identify(request):
    wanted = str(uuid.UUID(request["compute_id"]))
    found = compute_id()
    if found == wanted:
        return
    if found is not None:
        os.rename(COMPUTE_ID, f"{COMPUTE_ID}.before-restore")
    write(COMPUTE_ID, wanted + "\n", 0o644, os.stat(os.path.dirname(COMPUTE_ID)))


def release(request):
    """Take away what `hold` has written, and nothing that somebody else has."""
    if text_of(MARKER) is not None:
        os.unlink(MARKER)
    if not request.get("log"):
        return
    found = text_of(DROP_IN)
    if found is None:
        return
    if not re.match(re.escape(MARK), found):
        raise SystemExit(f"{DROP_IN} is not this project's: look at it, and remove it")
    os.unlink(DROP_IN)
    reload()
    for name, state in states(COMPUTE).items():
        if state["state"] == "active":
            systemctl("restart", "--", name)


def heal():
    """The exit code of the last call, and what it said.

    1 is that there are more, where Nova says so; else it is of whoever could not run it.
    """
    while True:
        done = subprocess.run(
            ["runuser", "-u", "nova", "--", *HEAL],
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
        )
        if done.returncode != 1 or MORE not in done.stdout:
            lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
            return {"code": done.returncode, "said": lines[-1][-300:] if lines else ""}


VERBS = {
    "hold": hold,
    "stop": stop,
    "start": start,
    "identify": identify,
    "release": release,
}


def answer(request):
    if request["verb"] == "heal":
        return {**look(request), "healed": heal()}
    if request["verb"] in VERBS:
        VERBS[request["verb"]](request)
    return look(request)
