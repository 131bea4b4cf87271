"""Compare systemd units with what they should be, or wait until they run.

Request: {"units": [{"name", "reads": [paths], "reload": bool, "url": text|null,
                     "broker": port|null, "log": path|null, "dropin": path|null}],
          "cells": what nova_state.py needs to read the cell mappings|absent,
          "wait": seconds|absent}
Answer to a comparison: {"units": [{"name", "actions": [...], "reason", "running": true|absent,
                                    "lost": path of a program that is no more|absent}],
                         "daemon_reload": bool,
                         "processes": {name: {"pid", "age": s|null, "replaced": bool}},
                         "cells": {"error": text|null, "early": bool} as nova_state.py has them}
Answer to a wait: {"failed": [{"name", "state", "cause"}]}
A unit has to be restarted when a file that it reads is newer than its main process. That is read
from the host, so it also holds after a run that was cut off before it could restart anything.
So does one that is active but answers 500 at `url`, twice: uwsgi goes on without an application
that could not be loaded, because the database was away, say.
A process's start is kept on a clock that nobody sets and told by the present one: a clock that was
set since then does no harm. What remains: a file keeps the time of the clock that it was written
by. If that was ahead and was set back since, each run restarts its readers until the clock has come
that far; if it was behind and was set since, a file written after the start looks older than it
is. A cell mapping has the time of its database's host.
Who waits for a unit with a `broker` waits until it is connected: Nova's daemons get ready without.
"""

import glob
import os
import subprocess
import time

import unit_logs

NOT_BOOTED = "System has not been booted with systemd"
"""systemctl's own word that there is no unit here at all (systemd's shared/bus-util.c)."""
MANY_RESTARTS = 3
ENDING = 900
"""Seconds in which all have to have ended that are to start again, whatever their units allow."""
STARTING = 20
"""Seconds that what is just starting gets to be ready in, before it is judged."""
PROPERTIES = (
    *("Id", "Names", "LoadState", "ActiveState", "SubState", "Result", "UnitFileState"),
    *("NeedDaemonReload", "DropInPaths", "NRestarts", "Job", "MainPID", "TriggeredBy"),
    *("ExecMainStartTimestampMonotonic", "StateChangeTimestampMonotonic"),
)


class NoAnswerError(SystemExit):
    """systemd has not said of every unit what it was asked; who does not wait ends with its words.

    A unit of which nothing was said is not one that is not there.
    """


def show(names):
    """The properties of each unit, by the name that was asked for.

    Raises NoAnswerError.
    """
    if not names:  # it would speak of itself
        return {}
    result = subprocess.run(
        ["systemctl", "show", "--property=" + ",".join(PROPERTIES), *names],
        capture_output=True,
        text=True,
    )
    blocks = [block for block in result.stdout.split("\n\n") if block.strip()]
    if result.returncode and NOT_BOOTED in result.stderr:
        return {}
    if result.returncode or len(blocks) != len(names):
        said = " ".join(result.stderr.split())[-300:]
        told = f"of {len(blocks)} of {len(names)} units" + (f": {said}" if said else "")
        raise NoAnswerError(f"`systemctl show` ended with {result.returncode}, and told {told}")
    parsed = [dict(line.split("=", 1) for line in b.splitlines() if "=" in line) for b in blocks]
    return dict(zip(names, parsed))  # noqa: B905 - Python 3.9 has no strict


def is_starting(state):
    """Whether its processes are there, and have not said yet that they are ready."""
    return state.get("ActiveState") == "activating" and state.get("SubState", "").startswith(
        "start"
    )


def show_once_started(names):
    """As `show`; what is just starting, as after its installation or a boot, may get ready first.

    A restart would cut it off in the middle of what it does once: RabbitMQ makes its database.
    """
    deadline = time.monotonic() + STARTING
    states = show(names)
    while any(is_starting(state) for state in states.values()) and time.monotonic() < deadline:
        time.sleep(0.5)
        states = show(names)
    return states


def on_present_clock(moment, clock):
    """MOMENT of another CLOCK, in seconds, as seconds since 1970 of the time that it is now."""
    return time.time() - (time.clock_gettime(clock) - moment)


def process_started(pid):
    """When a process began; 0 for none. Of the boot clock, which goes on while a host sleeps."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stream:
            fields = stream.read().rpartition(")")[2].split()
    except OSError:  # ended meanwhile, or none
        return 0.0
    # proc(5), starttime, the 22nd.
    ticks = int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return on_present_clock(ticks, time.CLOCK_BOOTTIME)


def state_changed(state):
    """When a unit last changed, as by a reload; what the host slept since then is not counted."""
    moment = int(state.get("StateChangeTimestampMonotonic") or 0) / 1e6
    return on_present_clock(moment, time.CLOCK_MONOTONIC)


def newest(patterns):
    """The time and path of the newest file among PATTERNS."""
    found = (0.0, "")
    for path in (path for pattern in patterns for path in glob.glob(pattern)):
        try:
            found = max(found, (os.stat(path).st_mtime, path))
        except FileNotFoundError:  # gone since it was listed
            continue
    return found


def cells_read(request):
    """When the cell mappings last changed, and whether they could be read.

    Services read them once (nova's admin guide, cells).
    """
    import nova_state

    state = nova_state.answer(request)
    changed = state["cells_changed"]
    # Stored in whole seconds.
    seconds = changed + 1 if changed else 0.0
    return seconds, {"error": state["error"], "early": state["early"]}


def is_broken(url, pause=2):
    """Whether a server answers 500, its own failure, and does so again.

    502, 503 and 504 are a proxy's or a health check's word on others. No answer, or half of one,
    is for those who wait for the unit.
    """
    import rest

    for again in (False, True):
        if again:
            time.sleep(pause)
        try:
            if rest.ask("GET", url, timeout=20).status != 500:
                return False
        except rest.Failed:
            return False
    return True


def compare(unit, state, cells_time=0.0):
    """The systemctl verbs that bring one unit in line, and why."""
    if state.get("LoadState") in (None, "", "not-found"):
        return {"name": unit["name"], "actions": ["enable", "start"], "reason": "not installed"}
    actions, reasons = [], []
    if state["LoadState"] == "masked":
        actions.append("unmask")
        reasons.append("masked")
    if state["UnitFileState"] not in ("enabled", "static", "alias", "indirect", "generated"):
        actions.append("enable")
        reasons.append(state["UnitFileState"] or "not enabled")
    if state["ActiveState"] != "active":
        actions.append(
            "start" if state["ActiveState"] in ("inactive", "deactivating") else "restart"
        )
        reasons.append("{} ({})".format(state["ActiveState"], state["SubState"]))
    else:
        is_reload = unit.get("reload")
        # A socket has no process.
        started = state_changed(state) if is_reload else process_started(state.get("MainPID"))
        changed, path = newest(unit.get("reads", []))
        if cells_time > changed:
            changed, path = cells_time, "a cell mapping"
        if changed > started:
            actions.append("reload" if is_reload else "restart")
            reasons.append(f"{path} is newer than the process")
        elif is_replaced(int(state.get("MainPID") or 0)):
            actions.append("restart")
            reasons.append("runs a program that is no longer on the disk")
        elif unit.get("url") and is_broken(unit["url"]):
            actions.append("restart")
            reasons.append("runs, but answers 500")
    if not actions:
        return None
    found = {"name": unit["name"], "actions": actions, "reason": "; ".join(reasons)}
    if state["ActiveState"] != "active":
        return found
    lost = lost_program(state.get("MainPID")) if "restart" in actions else None
    return {**found, "running": True, **({"lost": lost} if lost else {})}


def has_to_be_read(unit, state):
    """Whether systemd knows another state of a unit's files than the disk has."""
    # A folder for drop-ins that is new to it it overlooks, and says nothing (core/load-dropin.c).
    path, read = unit.get("dropin"), state.get("DropInPaths", "").split()
    return state.get("NeedDaemonReload") == "yes" or (
        bool(path) and os.path.exists(path) and path not in read
    )


DELETED = " (deleted)"


def is_replaced(pid):
    """Whether the program of a process is no longer on the disk, as after an upgrade."""
    return program_of(pid).endswith(DELETED)


def program_of(pid):
    """What a process runs, as the kernel says it (proc(5)): empty for one that is not there."""
    try:
        return os.readlink(f"/proc/{pid}/exe")
    except OSError:  # ended meanwhile, or none
        return ""


def lost_program(pid):
    """The program of a process that is nowhere any more, so that a restart only stops it; or None.

    Of a script it is that one, which the interpreter has as its first word.
    """
    program = program_of(pid)
    if program.endswith(DELETED):
        path = program[: -len(DELETED)]
        return None if os.path.lexists(path) else path
    if not os.path.basename(program).startswith("python"):
        return None
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as stream:
            words = [os.fsdecode(word) for word in stream.read().split(b"\0")]
    except OSError:  # ended meanwhile
        return None
    # One that gives itself a title (setproctitle: Neutron's) has no words there any more.
    script = words[1] if len(words) > 1 and not words[0].count(" ") else ""
    return script if script.startswith("/") and not os.path.lexists(script) else None


def process(state):
    """The process that runs a unit now: 0 for none, and for sockets; its age in seconds.

    Both moments are of this host's monotonic clock, which nobody sets.
    """
    pid = int(state.get("MainPID") or 0)
    started = int(state.get("ExecMainStartTimestampMonotonic") or 0) / 1e6
    return {
        "pid": pid,
        "age": time.clock_gettime(time.CLOCK_MONOTONIC) - started if pid else None,
        "replaced": is_replaced(pid),
    }


def is_queued(state):
    """Whether a job waits to start or stop the unit: its state is then still that of before."""
    return state.get("Job") not in (None, "", "0")


def rests(state):
    """Whether it has ended because nobody used it, and a socket starts it again: libvirtd does."""
    ended = state.get("ActiveState") == "inactive" and not is_queued(state)
    return ended and state.get("Result") == "success" and ".socket" in state.get("TriggeredBy", "")


def is_settled(state):
    return state.get("ActiveState") == "active" and not is_queued(state)


def sockets_of(service):
    """The sockets, by inode, that the processes of a systemd service hold."""
    found = set()
    for group in glob.glob("/proc/[0-9]*/cgroup"):
        folder = os.path.dirname(group)
        try:
            with open(group) as stream:
                member = any(line.rstrip().endswith("/" + service) for line in stream)
            for descriptor in os.listdir(folder + "/fd") if member else ():
                kind, _, inode = os.readlink(f"{folder}/fd/{descriptor}").partition(":")
                if kind == "socket":
                    found.add(inode.strip("[]"))
        except OSError:  # ended meanwhile
            continue
    return found


def connections_to(port):
    """The sockets, by inode, of this host's established connections to PORT anywhere."""
    found = set()
    for table in glob.glob("/proc/net/tcp*"):
        with open(table) as stream:
            rows = [line.split() for line in stream][1:]
        # proc(5), /proc/net/tcp: 01 is ESTABLISHED.
        found |= {row[9] for row in rows if row[3] == "01" and row[2].endswith(f":{port:04X}")}
    return found


def lacks_broker(unit, state):
    """Whether a unit that listens at the broker is not connected to it."""
    port = unit.get("broker")
    return bool(port) and not sockets_of(state.get("Id", "")) & connections_to(port)


def restarts(state):
    return int(state.get("NRestarts") or 0)


def is_given_up(state, restarts_before):
    """Whether it will not get better by waiting: systemd has given up, or tries again and again."""
    failed = state.get("ActiveState") == "failed" and not is_queued(state)
    return failed or restarts(state) - restarts_before >= MANY_RESTARTS


def is_there(unit, state):
    return is_settled(state) and not lacks_broker(unit, state)


def described(unit, state):
    text = "{} ({})".format(state.get("ActiveState"), state.get("SubState"))
    if is_settled(state):
        text += ", but not connected to RabbitMQ at port {}".format(unit["broker"])
    return text


def wait(units, seconds):
    """Wait until all UNITS are settled; what is not by then, with the cause.

    SECONDS are those to start in: what ran before may take its own time to end, which is systemd's
    to bound (TimeoutStopSec). Of what systemd does not tell, it is asked again, too.
    """
    names = [unit["name"] for unit in units]
    deadline = time.monotonic() + seconds
    patience = time.monotonic() + ENDING
    before, silence = None, None
    while True:
        try:
            states, silence = show(names), None
        except NoAnswerError as error:
            states, silence = {}, f"not known: {error}"
        before = before or {name: restarts(state) for name, state in states.items()}
        pending = [unit for unit in units if not is_there(unit, states.get(unit["name"], {}))]
        now = time.monotonic()
        if now < patience and any(s.get("ActiveState") == "deactivating" for s in states.values()):
            deadline = max(deadline, now + seconds)
        over = now > deadline
        hopeless = [
            unit
            for unit in pending
            if is_given_up(states.get(unit["name"], {}), before.get(unit["name"], 0))
        ]
        if not pending or over or hopeless:
            break
        time.sleep(0.2)
    # One whose users are gone rests until its socket is spoken to: that is no cause of anything.
    awake = [unit for unit in pending if not rests(states.get(unit["name"], {}))]
    return [
        {
            "name": unit["name"],
            "state": silence or described(unit, states.get(unit["name"], {})),
            "cause": unit_logs.cause(unit),
        }
        for unit in awake or pending
    ]


def answer(request):
    units = request["units"]
    if "wait" in request:
        failed = wait(units, request["wait"])
        if failed:
            for unit in failed:
                print("{name} is {state}. {cause}".format(**unit))
            raise SystemExit(1)
        return {"failed": []}
    states = show_once_started([unit["name"] for unit in units])
    cells_time, cells = 0.0, {"error": None, "early": False}
    if request.get("cells"):
        cells_time, cells = cells_read(request["cells"])
    differing = [compare(unit, states.get(unit["name"], {}), cells_time) for unit in units]
    return {
        "units": [difference for difference in differing if difference],
        "processes": {unit["name"]: process(states.get(unit["name"], {})) for unit in units},
        "daemon_reload": any(has_to_be_read(unit, states.get(unit["name"], {})) for unit in units),
        "cells": cells,
    }
