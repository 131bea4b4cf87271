"""Compare systemd units with what they should be, or wait until they run.

Request: {"units": [{"name", "reads": [paths], "reload": bool}],
          "cells": what nova_state.py needs to read the cell mappings|absent,
          "wait": seconds|absent}
Answer to a comparison: {"units": [{"name", "actions": [...], "reason"}], "daemon_reload": bool}
Answer to a wait: {"failed": [{"name", "state", "cause"}]}
A unit has to be restarted when a file that it reads is newer than its main process. That is read
from the host, so it also holds after a run that was cut off before it could restart anything.
"""

import datetime
import glob
import os
import re
import subprocess
import time

PROPERTIES = (
    "Id",
    "Names",
    "LoadState",
    "ActiveState",
    "SubState",
    "Result",
    "UnitFileState",
    "NeedDaemonReload",
    "NRestarts",
    "MainPID",
    "ExecMainStartTimestamp",
    "StateChangeTimestamp",
)


def show(names):
    """The properties of each unit, by the name that was asked for."""
    result = subprocess.run(
        ["systemctl", "show", "--timestamp=us+utc", "--property=" + ",".join(PROPERTIES), *names],
        capture_output=True,
        text=True,
    )
    blocks = [block for block in result.stdout.split("\n\n") if block.strip()]
    parsed = [dict(line.split("=", 1) for line in b.splitlines() if "=" in line) for b in blocks]
    return dict(zip(names, parsed))  # noqa: B905 - Python 3.9 has no strict


def epoch(timestamp):
    """Seconds since 1970 of systemd's `Sun 2026-11-22 23:20:33.123456 UTC`; 0 for none."""
    match = re.search(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)(\.\d+)?", timestamp or "")
    if not match:
        return 0.0
    moment = datetime.datetime.strptime(match.group(1), "%Y-%m-%d %H:%M:%S")
    moment = moment.replace(tzinfo=datetime.timezone.utc)
    return moment.timestamp() + float(match.group(2) or 0)


def newest(patterns):
    """The time and path of the newest file among PATTERNS."""
    found = [(os.stat(path).st_mtime, path) for p in patterns for path in glob.glob(p)]
    return max(found, default=(0.0, ""))


def cells_changed(request):
    """When the cell mappings last changed: services read them once (nova's admin guide, cells)."""
    import nova_state

    changed = nova_state.answer(request)["cells_changed"]
    # Stored in whole seconds.
    return changed + 1 if changed else 0.0


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
        started = epoch(state["ExecMainStartTimestamp"])
        if unit.get("reload"):
            started = epoch(state["StateChangeTimestamp"])
        changed, path = newest(unit.get("reads", []))
        if cells_time > changed:
            changed, path = cells_time, "a cell mapping"
        if changed > started:
            actions.append("reload" if unit.get("reload") else "restart")
            reasons.append(f"{path} is newer than the process")
    if not actions:
        return None
    return {"name": unit["name"], "actions": actions, "reason": "; ".join(reasons)}


def cause(name):
    """The line that most likely says why a unit does not run: of its log file or the journal."""
    stem = name[: -len(".service")] if name.endswith(".service") else name
    for pattern in (f"/var/log/*/{stem}.log",):
        for path in glob.glob(pattern):
            with open(path, encoding="utf-8", errors="replace") as stream:
                lines = stream.read()[-20000:].splitlines()
            telling = [line for line in lines if re.search(r"\b(ERROR|CRITICAL)\b", line)]
            if telling:
                return f"{path}: {telling[-1][:400]}"
    journal = subprocess.run(
        ["journalctl", "-q", "-n", "5", "-o", "cat", "-u", name],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ).stdout.strip()
    return "journal: " + (journal.splitlines()[-1][:400] if journal else "says nothing")


def wait(units, seconds):
    """Wait until all UNITS are active; what is not by then, with the cause."""
    names = [unit["name"] for unit in units]
    deadline = time.monotonic() + seconds
    while True:
        states = show(names)
        pending = [n for n in names if states.get(n, {}).get("ActiveState") != "active"]
        over = time.monotonic() > deadline
        hopeless = [n for n in pending if states.get(n, {}).get("ActiveState") == "failed"]
        if not pending or over or hopeless:
            break
        time.sleep(0.2)
    failed = []
    for name in pending:
        state = states.get(name, {})
        described = "{} ({})".format(state.get("ActiveState"), state.get("SubState"))
        failed.append({"name": name, "state": described, "cause": cause(name)})
    return failed


def answer(request):
    units = request["units"]
    if "wait" in request:
        failed = wait(units, request["wait"])
        if failed:
            for unit in failed:
                print("{name} is {state}. {cause}".format(**unit))
            raise SystemExit(1)
        return {"failed": []}
    states = show([unit["name"] for unit in units])
    cells_time = cells_changed(request["cells"]) if request.get("cells") else 0.0
    differing = [compare(unit, states.get(unit["name"], {}), cells_time) for unit in units]
    return {
        "units": [difference for difference in differing if difference],
        "daemon_reload": any(s.get("NeedDaemonReload") == "yes" for s in states.values()),
    }
