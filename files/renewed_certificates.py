"""Have servers read their new certificates where they run; their ports show whether they have.

Request: {"servers": [{"unit", "address", "port", "greeting": "mysql"|null,
                       "means": "hup"|"reload"|[words of a command],
                       "wanted": [SHA-256 of each certificate, the server's own first]}],
          "wait": seconds|absent}
Answer:  {"behind": [units]}
Those are `behind` that show another certificate. Who shows none is not: it does not run, has just
been started and reads what is there, or is about to be restarted as it speaks no TLS yet; whether
it answers is for others to say. Nobody is told before his port has shown something: SIGHUP would
end a process that is only starting. With `wait` those behind are told, and it ends well once the
port of each has shown what is wanted.
"""

import concurrent.futures
import os
import signal
import subprocess
import time

import served_certificates
import sql
import units

AT_ONCE = 8
TIMEOUT = 60
PAUSE = 0.5


class Failed(Exception):  # noqa: N818 - as in rest.py
    """Why a server cannot be told."""


def shown(server):
    """What a server shows, as it would be `wanted`; nothing where it shows none."""
    begin = sql.begin_tls if server["greeting"] == "mysql" else None
    try:
        return served_certificates.chain_of_port(server["address"], server["port"], begin)
    except OSError:
        return []


def has_read(server, found):
    """Whether what is FOUND has all that is wanted; after it OpenSSL may add what it knows."""
    return found[: len(server["wanted"])] == server["wanted"]


def behind(servers):
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        found = list(pool.map(shown, servers))
    pairs = zip(servers, found)  # noqa: B905 - Python 3.9 has no strict
    return [server for server, each in pairs if each and not has_read(server, each)]


def ran(*words):
    try:
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Failed(f"{words[0]}: {error}") from error
    if done.returncode:
        said = (done.stderr or done.stdout).strip() or f"ended with {done.returncode}"
        raise Failed(f"{words[0]}: {said}")


def hang_up(unit):
    pid = int(units.show([unit])[unit].get("MainPID") or 0)
    if not pid:
        raise Failed("it has no process any more")
    try:
        os.kill(pid, signal.SIGHUP)
    except ProcessLookupError:
        raise Failed("its process has ended") from None


def tell(server):
    """Have a server read its certificate again. Raises Failed."""
    if server["means"] == "hup":
        hang_up(server["unit"])
    elif server["means"] == "reload":
        ran("systemctl", "reload", server["unit"])
    else:
        ran(*server["means"])


def told(servers):
    """Tell the unit of each, once. Why it was not possible, by unit."""
    failed = {}
    for unit, server in {server["unit"]: server for server in servers}.items():
        try:
            tell(server)
        except Failed as error:
            failed[unit] = str(error)
    return failed


def reread(servers, seconds):
    """Tell SERVERS and wait until they have read; one line of each that has not after SECONDS."""
    failed = told(servers)
    deadline = time.monotonic() + seconds
    pending = servers
    while pending:
        pending = [s for s in pending if not has_read(s, shown(s))]
        if time.monotonic() > deadline or all(s["unit"] in failed for s in pending):
            break
        time.sleep(PAUSE)
    return [problem(server, failed.get(server["unit"]), seconds) for server in pending]


def problem(server, why, seconds):
    said = f"could not be told to read it ({why})" if why else f"was told to {seconds} s ago"
    text = "{address}:{port} does not show the new certificate of {unit}, which {said}: look at "
    return (text + "`journalctl -u {unit}`, then `systemctl restart {unit}`").format(
        said=said, **server
    )


def answer(request):
    found = behind(request["servers"])
    if "wait" in request:
        problems = reread(found, request["wait"])
        if problems:
            raise SystemExit("\n".join(problems))
        found = []
    return {"behind": list(dict.fromkeys(server["unit"] for server in found))}
