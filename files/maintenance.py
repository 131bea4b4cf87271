"""What a maintenance has done on this host, and does there: a command, or a reboot.

Request: {"begun": text that names the maintenance, "packager": "apt"|"dnf"|null where packages are
          no concern of it, "refresh": whether the lists of packages are fetched anew}
Answer:  {"boot": id of this boot, "starting": whether it still starts, or stops,
          "rebooted": whether it was rebooted in this maintenance, "done": [marks of commands],
          "upgrades": [texts]|null, "nova": the version of Nova that an upgrade would bring|null,
          "wants_reboot": why|null}
With "verb": "reboot" in the request this host goes down in two seconds; with "command", whose text
and mark are in "command" and "mark", that is run, and what it prints is all that is printed; with
"forget" the record goes. A record of another maintenance is none.
"""

import contextlib
import fcntl
import json
import os
import re
import subprocess
import sys

RECORD = "/var/lib/pyinfra-nova/maintenance.json"
LOCK = "/run/pyinfra-nova/maintenance"
BOOT = "/proc/sys/kernel/random/boot_id"
WANTS = "/run/reboot-required"
"""What packages of Debian and Ubuntu leave (update-notifier-common, unattended-upgrades)."""
NOVA = ("nova-common", "openstack-nova-common", "python3-nova")
DONE_TO = {"Remv": "removal of", "Conf": "configuration of"}
AT_REST = ("running", "degraded")
PATIENCE = 120


def boot_id():
    with open(BOOT) as stream:
        return stream.read().strip()


def ran(*words):
    """The exit code and the output of a program, in English."""
    environment = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    pipe = subprocess.PIPE
    done = subprocess.run(
        words, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, env=environment, text=True
    )
    return done.returncode, done.stdout, done.stderr


def failed(words, code, error):
    last = (error.strip().splitlines() or ["it says nothing"])[-1]
    raise SystemExit("{} ends with {}: {}".format(" ".join(words), code, last))


# --- the record -----------------------------------------------------------------------------------


def recorded(begun):
    """What has been done in the maintenance that has BEGUN then."""
    nothing = {"begun": begun, "boot": None, "done": []}
    try:
        with open(RECORD) as stream:
            found = json.load(stream)
    except FileNotFoundError:
        return nothing
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise SystemExit(RECORD + " is no JSON object: remove it")
    return found if found.get("begun") == begun else nothing


def record(value):
    """Kept over a reboot: in place whole, and on the disk by then."""
    os.makedirs(os.path.dirname(RECORD), exist_ok=True)
    beside = RECORD + ".new"
    with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as stream:
        json.dump(value, stream)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(beside, RECORD)


@contextlib.contextmanager
def alone():
    """Have no other call at work here."""
    folder = os.path.dirname(LOCK)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    os.chmod(folder, 0o700)
    descriptor = os.open(LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        # Not by what a command leaves running: the file is closed there.
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        text = "what an earlier call has begun still runs here: let it end, then call again"
        raise SystemExit(text) from None
    try:
        yield
    finally:
        os.close(descriptor)


# --- what there is --------------------------------------------------------------------------------


def starting():
    """Whether systemd has jobs of the boot left, or of a shutdown."""
    return ran("systemctl", "is-system-running")[1].strip() not in AT_REST


def upgrades(packager, refresh):
    """What an upgrade of all packages would bring, remove and end: names with their new versions.

    Those that are held are left out.
    """
    if packager == "apt":
        if refresh:
            words = ("apt-get", "-q", "-o", f"DPkg::Lock::Timeout={PATIENCE}", "update")
            code, _, error = ran(*words)
            if code:
                failed(words, code, error)
        words = ("apt-get", "--simulate", "-q", "-o", "Debug::NoLocking=1", "dist-upgrade")
        code, said, error = ran(*words)
        if code:
            failed(words, code, error)
        # Inst NAME [OLD] (NEW ...); Remv NAME [OLD]; Conf NAME (NEW ...)
        brought = re.findall(r"^Inst (\S+) (?:\[\S+\] )?\((\S+)", said, re.MULTILINE)
        new = dict(brought)
        # An upgrade that was cut off, or is still at it, has unpacked these.
        halves = re.findall(r"^(Conf) (\S+)", said, re.MULTILINE)
        halves = [half for half in halves if half[1] not in new]
        return [*brought, *re.findall(r"^(Remv) (\S+)", said, re.MULTILINE), *halves]
    words = ("dnf", "-q", "--refresh" if refresh else "--cacheonly", "check-update")
    code, said, error = ran(*words)
    if code not in (0, 100):
        failed(words, code, error)
    # What is too long for 80 columns goes on in the next line, behind spaces (dnf/cli/output.py).
    said = re.sub(r"\n[ \t]+", " ", said.partition("Obsoleting Packages")[0])
    rows = [row.split() for row in said.splitlines()]
    return [(row[0].rpartition(".")[0], row[1]) for row in rows if len(row) == 3]


def wants_reboot(packager):
    """Why the system says that it wants one; None where it does not say so."""
    if os.path.exists(WANTS):
        return WANTS + " is there"
    if packager == "dnf":
        words = ("dnf", "-q", "needs-restarting", "--reboothint")
        code, said, _ = ran(*words)
        if code == 1 and "eboot" in said:
            return "dnf needs-restarting says so"
    return None


def read(request):
    known, boot, packager = recorded(request["begun"]), boot_id(), request["packager"]
    found = upgrades(packager, request["refresh"]) if packager else []
    named = [f"{DONE_TO[name]} {what}" if name in DONE_TO else name for name, what in found]
    nova = [version for name, version in found if name in NOVA]
    return {
        "boot": boot,
        "starting": starting(),
        "rebooted": known["boot"] not in (None, boot),
        "done": known["done"],
        "upgrades": named if packager else None,
        # Without the epoch and what the distribution adds: 2:26.2.2-1~deb12u5
        "nova": re.split("[-+~]", nova[0].rpartition(":")[2])[0] if nova else None,
        "wants_reboot": wants_reboot(packager),
    }


# --- what is done ---------------------------------------------------------------------------------


def reboot(request):
    """Which boot it was is kept first: only another one is after this."""
    known, boot = recorded(request["begun"]), boot_id()
    if known["boot"] in (None, boot):
        record({**known, "boot": boot})
        # Not at once: who has asked for it is still to be answered.
        words = ("systemd-run", "--quiet", "--collect", "--on-active=2")
        words += ("--timer-property=AccuracySec=100ms", "systemctl", "reboot")
        code, _, error = ran(*words)
        if code:
            failed(words, code, error)
    return {"boot": known["boot"] or boot}


def command(request):
    """Its text goes to the shell as a file without a name: nobody sees it in a command line."""
    known = recorded(request["begun"])
    if request["mark"] in known["done"]:
        raise SystemExit(0)
    text = os.memfd_create("command")
    os.write(text, request["command"].encode())
    words = ("/bin/sh", f"/proc/self/fd/{text}")
    sys.stdout.flush()
    code = subprocess.call(words, stdin=subprocess.DEVNULL, pass_fds=[text])
    if code:
        raise SystemExit(f"the command has ended with exit code {code}")
    record({**known, "done": [*known["done"], request["mark"]]})
    raise SystemExit(0)


def forget(request):
    if os.path.exists(RECORD):
        os.unlink(RECORD)
    return {}


VERBS = {"reboot": reboot, "command": command, "forget": forget}


def answer(request):
    if "verb" not in request:
        return read(request)
    with alone():
        return VERBS[request["verb"]](request)
