"""See that the processes of this host's units do now what they are for; nothing is changed.

Request: {"units": [as for units.py], "urls": [as for http_answers.py], "websocket": URL|null,
          "libvirt": URI|null, "folders": [paths], "user": name, "audited": [units],
          "served": as of certificate_holders.py|null,
          "audit_interval": seconds}
Answer:  {"processes": {unit: as of units.py},
          "faults": [{"what", "problem", "remedy", "passing": bool}]}
A unit that is active may still be one that comes and goes, whose program is no longer on the disk,
or that can write nowhere.
"""

import json
import os
import pwd
import re
import subprocess
import sys

import certificate_holders
import http_answers
import trust
import unit_logs
import units
import websocket

TIMEOUT = 20
LATE = 10
"""Seconds that an audit of a compute's resources may take."""
AUDIT = re.compile(r" ERROR nova\.compute\.manager .*Error updating resources for node")


def fault(what, problem, remedy, passing=False):
    """PASSING is what may be over by itself in a minute."""
    return {"what": what, "problem": problem, "remedy": remedy, "passing": passing}


def unit_faults(wanted, states, processes):
    for unit in wanted:
        name = unit["name"]
        state = states.get(name, {})
        if not units.is_there(unit, state):
            text = "is {}. {}".format(units.described(unit, state), unit_logs.cause(unit))
            yield fault(name, text, f"see `journalctl -u {name}`")
        elif processes[name]["replaced"]:
            text = "runs a program that is no longer on the disk"
            yield fault(name, text, f"deploy again, or `systemctl restart {name}`")


def url_faults(urls):
    for found in http_answers.failing(urls):
        yield fault(found["name"], found["detail"], "see the log of its unit")


def websocket_faults(url):
    try:
        said, _ = websocket.handshake(url)
    except trust.RefusedError as error:
        said = str(error)
    except OSError as error:
        said = f"no answer: {error}"
    if " 101 " not in said + " ":
        yield fault("the console proxy", f"{url} takes no WebSocket: {said}", "see its log")


def libvirt_faults(uri):
    try:
        done = subprocess.run(
            ["virsh", "--quiet", "--connect", uri, "hostname"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            timeout=TIMEOUT,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        yield fault("libvirt", f"{uri} does not answer: {error}", "see the journal of its daemon")
        return
    if done.returncode:
        said = " ".join(done.stderr.split())[-300:]
        yield fault("libvirt", f"{uri} answers: {said}", "see the journal of its daemon")


def served_faults(served):
    """What shows another certificate than its file has: it has not read it, or is another one's.

    Whether what has a URL speaks TLS at all is asked at that. A screen in plain text is one of a
    guest that was started before there was TLS.
    """
    for row in certificate_holders.differing(served):
        if row["problem"] == "another" or row["who"] == "libvirt":
            # An API that is told to reload goes on for a moment with what it had.
            is_api = not row["pid"] and row["who"] != "libvirt"
            yield fault(row["who"], row["text"], "deploy again", passing=is_api)
        elif row["pid"] and row["problem"] == "silent":
            yield fault(row["who"], row["text"], "deploy again", passing=True)


WRITE = (
    "import json, os, sys, tempfile; said = {}\n"
    "for folder in sys.argv[1:]:\n"
    "    try:\n"
    "        with tempfile.TemporaryFile(dir=folder) as stream:\n"
    "            stream.write(bytes(1 << 16)); stream.flush(); os.fsync(stream.fileno())\n"
    "    except OSError as error:\n"
    "        said[folder] = error.strerror or str(error)\n"
    "print(json.dumps(said))"
)
"""Writes a file in each folder. Where the file system can (open(2), O_TMPFILE) it has no name, so
nothing is left however this ends."""


def folder_faults(folders, user):
    """The folders in which USER cannot write, tried by a process that is this user."""
    try:
        account = pwd.getpwnam(user)
    except KeyError:
        yield fault(f"user {user}", "is not there", "deploy again")
        return
    try:
        done = subprocess.run(
            [sys.executable, "-c", WRITE, *folders],
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            timeout=TIMEOUT,
            user=user,
            group=account.pw_gid,
            extra_groups=os.getgrouplist(user, account.pw_gid),
        )
    except subprocess.TimeoutExpired:
        text = f"{user} has not written there within {TIMEOUT} s"
        yield fault(" or ".join(folders), text, "see `mount`: a server of files may be away")
        return
    if done.returncode:
        said = " ".join(done.stderr.split())[-300:]
        yield fault(f"user {user}", f"cannot run python3: {said}", "see its account")
        return
    for folder, problem in json.loads(done.stdout).items():
        remedy = "see `df {0}` and `ls -ld {0}`; it has to be {1}'s".format(folder, user)
        yield fault(folder, f"{user} cannot write there: {problem}", remedy)


def audit_faults(unit, process, interval):
    """An audit that failed lately, by the process that runs now: Placement is told nothing."""
    line = unit_logs.last_line(unit, AUDIT)
    age = unit_logs.line_age(line) if line else None
    if age is None or age > interval + LATE or " {} ".format(process["pid"]) not in line:
        return
    text = f"does not report what this host has. {unit_logs.logged(unit) or line}"
    yield fault(unit["name"], text, f"see {unit_logs.log_files(unit)[0]}", passing=True)


def answer(request):
    wanted = request["units"]
    states = units.show([unit["name"] for unit in wanted])
    processes = {unit["name"]: units.process(states.get(unit["name"], {})) for unit in wanted}
    faults = list(unit_faults(wanted, states, processes))
    faults += url_faults(request["urls"])
    if request["websocket"]:
        faults += websocket_faults(request["websocket"])
    if request["libvirt"]:
        faults += libvirt_faults(request["libvirt"])
    if request["served"]:
        faults += served_faults(request["served"])
    if request["folders"]:
        faults += folder_faults(request["folders"], request["user"])
    for unit in wanted:
        if unit["name"] in request["audited"]:
            process, interval = processes[unit["name"]], request["audit_interval"]
            faults += audit_faults(unit, process, interval)
    return {"processes": processes, "faults": faults}
