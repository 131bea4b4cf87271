"""Who on this host shows another certificate than its file has: its port is asked, not the file.

What is asked: {"ports": [{"who", "address", "port", "files": [paths]}], "screens": [paths]|null},
of each the paths where the file may be, the first that is there counts; and the guests' screens.
A row of what is found: {"who", "problem": "another"|"plain"|"silent", "text", "pid": of a guest}.
"""

import concurrent.futures
import os
import ssl

import guest_screens
import served_certificates
import trust

AT_ONCE = 16
PROC = "/proc"


def file_of(paths):
    return next((path for path in paths if os.path.exists(path)), paths[0])


def of_port(row):
    at, path = trust.place((row["address"], row["port"])), file_of(row["files"])
    try:
        shown = served_certificates.of_port(row["address"], row["port"])
    except ssl.SSLError as error:
        is_plain = (error.reason or "") in trust.PLAIN
        return found(row["who"], "plain" if is_plain else "silent", f"{at} speaks no TLS: {error}")
    except OSError as error:
        return found(row["who"], "silent", f"{at} speaks no TLS: {error}")
    if shown != served_certificates.of_file(path):
        return found(row["who"], "another", f"{at} shows another certificate than {path} has")
    return None


def of_guest(guest, path):
    who = f"guest {guest.name}"
    if guest.screen == "plain":
        return found(who, "plain", "its screen speaks no TLS", guest.pid)
    try:
        shown = served_certificates.of_screen(*guest.port)
    except OSError as error:
        if not os.path.exists(f"{PROC}/{guest.pid}"):  # it has ended meanwhile
            return None
        return found(who, "silent", f"its screen shows no certificate: {error}", guest.pid)
    if shown != served_certificates.of_file(path):
        text = f"its screen shows another certificate than {path} has"
        return found(who, "another", text, guest.pid)
    return None


def found(who, problem, text, pid=None):
    return {"who": who, "problem": problem, "text": text, "pid": pid}


def differing(asked):
    """The rows of those with whom anything is wrong, asked side by side."""
    guests = guest_screens.guests() if asked["screens"] else []
    guests = [each for each in guests if each.screen == "plain" or (each.screen and each.port)]
    path = file_of(asked["screens"]) if asked["screens"] else None
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        ports = [pool.submit(of_port, row) for row in asked["ports"]]
        screens = [pool.submit(of_guest, guest, path) for guest in guests]
        rows = [future.result() for future in (*ports, *screens)]
    return [row for row in rows if row]
