"""What the log file and the journal of a systemd unit say of it.

A unit is {"name", "log": path|null}.
"""

import glob
import os
import re
import subprocess
import time

# oslo.log's lines; the last of a traceback has nothing after the logger's name. And RabbitMQ's.
TELLING = re.compile(r"\b(ERROR|CRITICAL) \S+ .*\w|\[(error|critical)\] <\S+> .*\w")
ROUTINE = re.compile(
    r"^(Start|Stopp)(ed|ing)\b|^Failed to start\b|Scheduled restart job|Start request repeated"
    r"|Failed with result|Deactivated successfully"
    r"|Consumed .* CPU time|known eventlet monkey patching issues|^$"
)


def log_files(unit):
    stem = re.sub(r"\.service$", "", unit["name"])
    return glob.glob(unit.get("log") or f"/var/log/*/{stem}.log")


def last_lines(path):
    with open(path, encoding="utf-8", errors="replace") as stream:
        stream.seek(max(0, os.stat(path).st_size - 100000))
        return stream.read().splitlines()


def last_line(unit, pattern):
    """The last line of a unit's log file that PATTERN finds something in, or None."""
    for path in log_files(unit):
        found = [line for line in last_lines(path) if pattern.search(line)]
        if found:
            return found[-1]
    return None


def line_age(line):
    """How many seconds ago, by this host's clock, oslo.log wrote a line; None if it cannot be told.

    oslo.log writes local time.
    """
    try:
        return time.time() - time.mktime(time.strptime(line[:19], "%Y-%m-%d %H:%M:%S"))
    except ValueError:
        return None


def logged(unit):
    """The last error in the log file of a unit that says something."""
    for path in log_files(unit):
        telling = [line for line in last_lines(path)[-200:] if TELLING.search(line)]
        if telling:
            return f"{path}: {telling[-1][:400]}"
    return None


def journaled(name):
    """What the journal last says of a unit, but for systemd's own account of what it did then."""
    result = subprocess.run(
        ["journalctl", "-q", "-n", "20", "-o", "cat", "-u", name],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    telling = [line for line in result.stdout.splitlines() if not ROUTINE.search(line)]
    # How a process has ended is systemd's word; its own is better where it has left one.
    own = [line for line in telling if "Main process exited" not in line]
    said = own or telling
    return f"journal: {said[-1][:400]}" if said else None


def cause(unit):
    """The lines that most likely say why a unit does not run, of its log file and the journal."""
    found = [line for line in (logged(unit), journaled(unit["name"])) if line]
    return "; ".join(found) or "neither its log file nor the journal says why"
