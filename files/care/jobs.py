"""What takes care of the cloud day by day: `python3 jobs.py JOB`, from a timer of systemd.

It reads what it is to do from CONFIG, which the deploy writes: {"archive": {"days", "batch",
"pause"}, "purge": {"days"}, "metrics": {"folder"}, "audit": request of cloud_audit.py, "backup":
{"keep", "folder", "recipient", "request": of dump.py}, "databases": request of nova_state.py,
"trusted": path of the authorities that servers are believed by|absent}. What a run did is left in
STATE: {"job", "began", "ended", "outcome": "done"|"put off"|"failed", "rows", "said", "done": epoch
of the last that was done|null}.
Exit: 0 done or put off, 1 failed.
"""

import contextlib
import datetime
import fcntl
import glob
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time

CONFIG = "/etc/pyinfra-nova/care.json"
STATE = "/var/lib/pyinfra-nova/care"
RESTORE = "/etc/pyinfra-nova/restore-under-way"
"""There while databases are being restored (files/backup/restored_host.py)."""
LOCK = "/run/pyinfra-nova/lock"
"""Every command with which a deploy changes this host holds it, shared (session/steps.py)."""
TURN = "/run/pyinfra-nova/care"
"""The job that is at work holds it, with its name in it."""
PATIENCE = 300
"""Seconds for which jobs wait for one another: two may be started at once."""
QUIET = 600
"""Seconds since the last command of a deploy, after which it is taken to be over."""
MARK = '{"written by": "pyinfra-nova",'
COUNT = re.compile(r"^\|\s*\S+\s*\|\s*(\d+)\s*\|$", re.MULTILINE)
"""A line of the table that `--verbose` prints (nova/cmd/manage.py)."""
PURGED = re.compile(r"Deleted (\d+) rows?")


class PutOffError(Exception):
    """Not now: something else is at work."""


class JobError(Exception):
    """It did not succeed; the text says what was answered."""


def has_lock():
    """Have the file of the lock there, of long ago if it is made here: only a deploy gives it a
    time, and one that makes it at the same moment has made it."""
    folder = os.path.dirname(LOCK)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    if os.path.exists(LOCK):
        return
    descriptor, beside = tempfile.mkstemp(prefix=".lock-", dir=folder)
    try:
        os.utime(descriptor, (0, 0))
        with contextlib.suppress(FileExistsError):
            os.link(beside, LOCK)
    finally:
        os.close(descriptor)
        os.unlink(beside)


@contextlib.contextmanager
def turn_of(job):
    """Have the other jobs wait, or wait for the one that is at work.

    Raises PutOffError with its name where that takes too long.
    """
    deadline = time.monotonic() + PATIENCE
    descriptor = os.open(TURN, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with open(descriptor, "r+", encoding="utf-8") as stream:
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise PutOffError(f"{stream.read() or 'another job'} is at work") from None
                time.sleep(0.2)
        stream.truncate(0)
        stream.write(f"nova-care-{job}")
        stream.flush()
        yield


def holders():
    """Who has the lock open; never their words, which may be secret."""
    found = []
    for path in glob.glob("/proc/[0-9]*/fd/*"):
        pid = path.split("/")[2]
        with contextlib.suppress(OSError):
            if int(pid) != os.getpid() and os.readlink(path) == LOCK:
                with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as stream:
                    found.append(f"{stream.read().strip()} (pid {pid})")
    return sorted(set(found))


@contextlib.contextmanager
def nobody_else(job):
    """Keep a deploy's commands waiting, which do so for a minute; never wait for them.

    Other jobs are waited for. Raises PutOffError where a deploy is at it, or was a moment ago.
    """
    has_lock()
    with turn_of(job), alone():
        yield


@contextlib.contextmanager
def alone():
    if os.path.exists(RESTORE):
        raise PutOffError("a restore is under way")
    with open(LOCK, "rb") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            who = ", ".join(holders())
            said = "a deploy changes this host at this moment"
            raise PutOffError(f"{said}: {who}" if who else said) from None
        age = time.time() - os.fstat(stream.fileno()).st_mtime
        if abs(age) < QUIET:  # a time to come is of a clock that was wrong
            raise PutOffError(f"a deploy changed this host {age:.0f} s ago")
        yield


def nova_manage(*words):
    """The exit code of `nova-manage db WORDS` as the user nova, and what it printed."""
    command = ["runuser", "-u", "nova", "--", "nova-manage", "db", *words]
    done = subprocess.run(
        command,
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return done.returncode, done.stdout


def before(days):
    moment = datetime.datetime.now(tz=datetime.timezone.utc) - datetime.timedelta(days=days)
    return moment.strftime("%Y-%m-%d %H:%M:%S")


def last_words(text):
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][-300:] if lines else "it says nothing"


def rows_in(text):
    return sum(int(number) for number in COUNT.findall(text))


def schema_is_current(config):
    """Raise PutOffError in the midst of an upgrade, when rows may be on their way elsewhere."""
    import nova_state

    request = config["databases"]
    with contextlib.closing(nova_state.connect(request)) as connection:
        schemas = nova_state.read(connection, request)["schemas"]
    behind = sorted(name for name, state in schemas.items() if state != "current")
    if behind:
        raise PutOffError(f"the schema of {', '.join(behind)} is not that of the installed Nova")


def archive(config, _):
    """Move deleted rows to the shadow tables, so many at a time, until there are none.

    Between two calls nobody is kept waiting; a deploy that comes meanwhile ends it for today.
    """
    wanted, total = config["archive"], 0
    words = ("archive_deleted_rows", "--all-cells", "--verbose", "--before", before(wanted["days"]))
    while True:
        try:
            with nobody_else("archive"):
                schema_is_current(config)
                code, said = nova_manage(*words, "--max_rows", str(wanted["batch"]))
        except PutOffError as reason:
            if not total:
                raise
            return total, f"ended early: {reason}"
        # 1 is success, too: some were archived (nova/cmd/manage.py).
        if code not in (0, 1):
            raise JobError(f"nova-manage ended with {code} after {total} rows: {last_words(said)}")
        total += rows_in(said)
        if code == 0:
            return total, ""
        if not rows_in(said):
            raise JobError(f"nova-manage says that it archived rows, but not how many: {said}")
        time.sleep(wanted["pause"])


def purge(config, _):
    """Delete what has been in the shadow tables for long enough."""
    with nobody_else("purge"):
        schema_is_current(config)
        words = ("purge", "--all-cells", "--verbose", "--before", before(config["purge"]["days"]))
        code, said = nova_manage(*words)
    if code not in (0, 3):  # 3: nothing was there
        raise JobError(f"nova-manage ended with {code}: {last_words(said)}")
    return sum(int(number) for number in PURGED.findall(said)), ""


def on_one_line(text):
    """TEXT, of which others have written a part, as one line of the journal's."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def audit(config, folder):
    """Say each finding in the journal, a line each; all of them are left in a file."""
    import cloud_audit

    # What is found amid a deploy or a restore is over with it. It only reads: nobody waits for it.
    with nobody_else("audit"):
        pass
    found = cloud_audit.answer(config["audit"])
    write(os.path.join(folder, "findings.json"), found)
    for each in found["findings"]:
        line = f"{each['kind']}: {each['where']}: {each['what']}; remedy: {each['remedy']}"
        print(on_one_line(line))
    if found["silent"].get("databases"):
        raise JobError(f"the databases were not read: {found['silent']['databases']}")
    quiet = "; ".join(f"{k}: {v}" for k, v in found["silent"].items() if k != "hosts")
    return len(found["findings"]), quiet


def metrics(config, folder):
    """Write the figures of the moment where node_exporter picks them up."""
    import cloud_metrics

    target = config["metrics"]["folder"]
    if not os.path.isdir(target):
        return 0, f"there is no folder {target}: node_exporter is not installed here"
    text = cloud_metrics.exposition(config, lambda name: left_by(folder, name))
    replace(os.path.join(target, "nova.prom"), text, 0o644)
    return text.count("\n"), ""


def backup(config, _):
    """Leave a backup of this moment; where it is verified, the oldest ones go."""
    import daily_backup

    # A deploy may begin meanwhile: the dump ends by itself where it finds another schema.
    with nobody_else("backup"):
        schema_is_current(config)
    try:
        return daily_backup.made(config["backup"])
    except daily_backup.NoBackupError as error:
        raise JobError(str(error)) from None


JOBS = {
    "archive": archive,
    "purge": purge,
    "audit": audit,
    "metrics": metrics,
    "backup": backup,
}


def left_by(folder, name):
    """What a job has left of its last run; None where it has not run or left half a file."""
    try:
        with open(os.path.join(folder, name + ".json"), encoding="utf-8") as stream:
            found = json.load(stream)
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def replace(path, text, mode):
    """Put a file in place whole; who reads it sees the old one or the new one."""
    with tempfile.NamedTemporaryFile(
        "w", dir=os.path.dirname(path), prefix=".", delete=False
    ) as stream:
        try:
            os.fchmod(stream.fileno(), mode)
            stream.write(text)
            stream.close()
            os.rename(stream.name, path)
        except BaseException:
            os.unlink(stream.name)
            raise


def write(path, value):
    """Leave VALUE; by its first line a deploy that wants the job no more knows the file."""
    replace(path, MARK + json.dumps(value, indent=1)[1:] + "\n", 0o640)


def run(name, config, folder):
    """Do a job and leave what became of it; the exit code."""
    os.makedirs(folder, mode=0o750, exist_ok=True)
    state = {"job": name, "began": time.time(), "outcome": "done", "rows": 0, "said": ""}
    try:
        state["rows"], state["said"] = JOBS[name](config, folder)
    except PutOffError as reason:
        state.update(outcome="put off", said=str(reason))
    except Exception as error:  # whatever it is, it is told, here and by ./run verify
        state.update(outcome="failed", said=str(error) or type(error).__name__)
    state["ended"] = time.time()
    before = left_by(folder, name) or {}
    state["done"] = state["ended"] if state["outcome"] == "done" else before.get("done")
    write(os.path.join(folder, name + ".json"), state)
    seconds = state["ended"] - state["began"]
    said = f"{name}: {state['outcome']}: {state['rows']} in {seconds:.1f} s. {state['said']}"
    print(on_one_line(said.rstrip()))
    return state["outcome"] == "failed"


def told_to_end(*_):
    raise SystemExit("it was told to end")  # so that nothing is left half written


def be_called(job):
    """Have a name by which a deploy that waits says for whom; Linux keeps 15 characters."""
    with contextlib.suppress(OSError), open("/proc/self/comm", "w", encoding="utf-8") as stream:
        stream.write(f"nova-care-{job}")


def rely_on(path):
    """Trust whom the file at PATH names, as it is now, in whatever is asked over the network."""
    if path is None:
        return
    import trust

    with open(path, encoding="utf-8") as stream:
        trust.rely_on(stream.read())


def main(arguments):
    if len(arguments) != 1 or arguments[0] not in JOBS:
        print(f"usage: jobs.py {'|'.join(JOBS)}", file=sys.stderr)
        return 2
    try:
        with open(CONFIG, encoding="utf-8") as stream:
            config = json.load(stream)
        rely_on(config.get("trusted"))
    except (OSError, ValueError) as error:
        print(f"{CONFIG}: {error}; deploy again", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, told_to_end)
    be_called(arguments[0])
    return run(arguments[0], config, STATE)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
