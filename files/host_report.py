"""Read what has to hold before anything is changed, and try what the services will use.

Request: {"checks": [{"name", "kind", ...}], "lock": path, "patience": seconds,
          "compute": as for compute_presence.py|null, "nova": as for nova_computes.py|null,
          "certificates": [paths]|absent, "screens": {"guests": bool, "proxy": path|null}|absent}
Kinds are the functions of KINDS. Somebody who holds the lock still changes this host: it is waited
for.
Answer:  {"os": {"id", "version"}, "hostname", "addresses": [{"interface", "address"}], "time",
          "kvm": {"flag", "usable"}, "hypervisor": {"libvirt": version|null, "qemu": version|null},
          "nova": {package: version} of those that are installed completely|null, "root", "systemd",
          "busy", "holders": [texts], "host_keys": {file: "TYPE BASE64" or ""},
          "written": {kind: [files]}, what this project wrote for what only some hosts have,
          "checks": [{"name", "ok", "detail"}], "compute", "nova_computes": of those scripts|null,
          "certificates": {path: text} of those that are there, if any were asked for,
          "screens", "proxy": as guest_screens.py tells of them, null where that was not asked}
"""

import contextlib
import fcntl
import glob
import http.client
import json
import os
import platform
import random
import re
import socket
import subprocess
import time

import compute_presence
import guest_screens
import keystone
import messaging
import mysql_login
import rest
import trust

TIMEOUT = 10
LOGINS = 3
LONGEST = 64 * 1024
"""Characters of a file of certificates that are read."""
KVM_CREATE_VM = 0xAE01
HOST_KEYS = "/etc/ssh/ssh_host_*_key.pub"
HOST_KEY = re.compile(r"[a-z0-9@.-]+ [A-Za-z0-9+/]+=*")
# One daemon or many; a system's QEMU, or the one that EL keeps out of the path.
LIBVIRT = ("/usr/sbin/libvirtd", "/usr/sbin/virtqemud")
QEMU = ("/usr/libexec/qemu-kvm", "/usr/bin/qemu-system-" + platform.machine())
# What every service of Nova depends on, by its names on Debian, Ubuntu and EL.
NOVA = ("nova-common", "openstack-nova-common", "python3-nova")
# A name, and a version with its epoch: nova-common 2:26.2.2-1~deb12u5
INSTALLED = re.compile(r"installed (\S+) (?:\d+:)?(\d+(?:\.\d+)*)")
# What is only looked at where it is wanted, or where it was: by files with this project's mark.
WRITTEN = {
    "hugepages": (
        re.compile("# Written by pyinfra-nova"),
        "/etc/sysctl.d/60-pyinfra-nova-hugepages.conf",
        "/etc/default/grub.d/60-pyinfra-nova-hugepages.cfg",
        "/etc/systemd/system/dev-hugepages*.mount",
    ),
    "hypervisor_tls": (
        re.compile("# Written by pyinfra-nova"),
        "/etc/systemd/system/*-tls.socket.d/pyinfra-nova.conf",
    ),
    # For whatever of them is to go once nobody reads it any more.
    "certificates": (
        re.compile(r"# Written by pyinfra-nova|Metadata-Version: \S+\nName: pyinfra_nova_tls\n"),
        "/etc/pyinfra-nova/tls/*",
        "/etc/pyinfra-nova/tls/screens/*",
        "/etc/pki/*/*.pem",
        "/etc/pki/libvirt/private/*.pem",
        "/usr/lib/python3*/*-packages/pyinfra_nova_tls.py",
        "/usr/lib/python3*/*-packages/pyinfra_nova_tls-*.dist-info/*",
    ),
    "care": (
        re.compile("# Written by pyinfra-nova"),
        "/etc/systemd/system/nova-care-*.timer",
    ),
    "restore": (
        re.compile("# Written by pyinfra-nova"),
        "/etc/pyinfra-nova/restore-under-way",
        "/etc/systemd/system/nova-compute.service.d/pyinfra-nova-restore.conf",
    ),
    # Definitions; values are in files beside them.
    "libvirt_secrets": (re.compile(r"(?s).*<name>pyinfra-nova "), "/etc/libvirt/secrets/*.xml"),
}


def text_of(path):
    """The text of a file, whatever bytes it holds; "" where it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read()
    except OSError:
        return ""


def certificates(paths):
    """By its path the text of each file that is there."""
    found = {}
    for path in paths:
        if os.path.isfile(path):
            with contextlib.suppress(OSError), open(path, encoding="ascii", errors="replace") as it:
                found[path] = it.read(LONGEST)
    return found


def said(*command):
    """What COMMAND prints; "" where it is not there or does not end."""
    return ran(*command)[1]


def ran(*command):
    """The exit code of COMMAND and what it prints; None, "" where it is not there or does not end.

    In English.
    """
    try:
        result = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=TIMEOUT,
            env={**os.environ, "LC_ALL": "C"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return None, ""
    return result.returncode, result.stdout.decode(errors="replace")


def os_release(path="/etc/os-release"):
    values = {}
    for line in text_of(path).splitlines():
        key, separator, value = line.strip().partition("=")
        if separator:
            values[key] = value.strip("\"'")
    return {"id": values.get("ID", ""), "version": values.get("VERSION_ID", "")}


def addresses():
    try:
        links = json.loads(said("ip", "-json", "-4", "address", "show"))
    except ValueError:
        return []
    return [
        {"interface": link["ifname"], "address": info["local"]}
        for link in links
        for info in link.get("addr_info", [])
    ]


def kvm():
    """Both signs are needed: /dev/kvm alone may hang every guest, the flag alone may lack it."""
    cpus = text_of("/proc/cpuinfo")
    flag = bool(re.search(r"^flags\s*:.*\b(vmx|svm)\b", cpus, re.MULTILINE))
    try:
        device = os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return {"flag": flag, "usable": False}
    try:
        os.close(fcntl.ioctl(device, KVM_CREATE_VM, 0))
        return {"flag": flag, "usable": True}
    except OSError:
        return {"flag": flag, "usable": False}
    finally:
        os.close(device)


def version(programs):
    """What the first of PROGRAMS that is installed says its version is, or None."""
    for program in filter(os.path.exists, programs):
        found = re.search(r"\d+\.\d+(\.\d+)?", said(program, "--version"))
        if found:
            return found.group()
    return None


DPKG_STATUS = "/var/lib/dpkg/status"


def nova():
    """The versions of Nova's packages, of those that are installed and configured.

    None where the package manager does not say so: Nova may be there all the same.
    """
    # Debian has a rpm, too, which knows none of its packages and makes a database when asked.
    if os.path.exists(DPKG_STATUS):
        form = "--showformat=${db:Status-Status} ${Package} ${Version}\\n"
        code, listed = ran("dpkg-query", "--show", form, *NOVA)
        # dpkg-query(1): 1 is that it does not know one of them.
        is_told = code in (0, 1)
    else:
        # Other lines of rpm say what is not installed; it ends with their number.
        form = "--queryformat=installed %{NAME} %{VERSION}\\n"
        code, listed = ran("rpm", "--query", form, *NOVA)
        is_told = all(name in listed for name in NOVA)
    if not is_told:
        return None
    return dict(match.groups() for match in map(INSTALLED.match, listed.splitlines()) if match)


def host_keys(pattern=HOST_KEYS):
    """By its file, each public key by which this host's SSH server is known; "" for none."""
    found = {}
    for path in sorted(glob.glob(pattern)):
        key = " ".join(text_of(path).split()[:2])
        found[path] = key if HOST_KEY.fullmatch(key) else ""
    return found


def written():
    """The files that bear the mark of this project, by what they are for."""
    found = {}
    for kind, (mark, *patterns) in WRITTEN.items():
        paths = (path for pattern in patterns for path in sorted(glob.glob(pattern)))
        found[kind] = [path for path in paths if mark.match(text_of(path))]
    return found


def is_busy(lock, patience):
    """Whether the lock is held, still so after PATIENCE seconds."""
    try:
        descriptor = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    deadline = time.monotonic() + patience
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return False
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    return True
                time.sleep(0.5)
    finally:
        os.close(descriptor)


def holders(lock):
    """The processes that have the lock's file open; of their words, which may be secret, none.

    /proc/locks names the process that took a lock, which may have ended and left it to another.
    """
    found = {}
    for path in glob.glob("/proc/[0-9]*/fd/*"):
        try:
            if os.readlink(path) == lock:
                pid = path.split("/")[2]
                found[int(pid)] = text_of(f"/proc/{pid}/comm").strip()
        except OSError:
            continue
    return [f"{name} (pid {pid})" for pid, name in sorted(found.items())]


def check_mysql(check):
    found = mysql_login.answer(check)
    return found["greets"] and not found["error"], found["error"] or "answers"


def check_amqp(check):
    found = messaging.answer(check)
    but = messaging.overlooks_names()
    if not check["login"]:
        return found["listens"], "answers" + but if found["listens"] else found["error"]
    if found["denied"]:
        return False, "does not let {} {}".format(check["user"], ", ".join(found["denied"]))
    login = "lets {} in".format(check["user"]) + but
    return found["opened"] and not found["error"], found["error"] or login


def check_memcached(check):
    where = (check["host"], check["port"])
    begin = trust.connected if check.get("tls") else in_plain_text
    said, error = "", None
    try:
        with begin(*where, TIMEOUT) as stream:
            stream.sendall(b"version\r\n")
            said = stream.recv(100).decode(errors="replace").strip()
    except ConnectionResetError as reset:
        error = reset
    if not said and trust.TRUSTED is not None and trust.speaks_tls(where):
        return False, trust.in_tls(where)
    if error:
        raise error
    return said.startswith("VERSION"), said or "says nothing"


def in_plain_text(host, port, timeout):
    """A connection to what Nova's middleware of some releases cannot speak TLS to."""
    return socket.create_connection((host, port), timeout=timeout)


def logged_in(check):
    """The token of one user, also where Keystone fails at one that others ask for just now.

    At a user's first login of a day it notes the day, and where somebody else's login has done so
    meanwhile MariaDB from 11.6.2 on ends that with 1020, which Keystone answers with 500 or with
    nothing (`innodb_snapshot_isolation`; https://bugs.launchpad.net/nova/+bug/2116186).
    """
    for _ in range(LOGINS - 1):
        try:
            return keystone.logged_in(check["auth_url"], check)
        except rest.Failed as error:
            fails = isinstance(error, rest.ErrorStatus) and error.status == 500
            if not fails and not isinstance(error.__cause__, http.client.RemoteDisconnected):
                raise
        time.sleep(random.uniform(0.2, 1))  # noqa: S311 - so that hosts do not meet again
    return keystone.logged_in(check["auth_url"], check)


def check_keystone(check):
    """Log in as one user; with `services`, try each service's endpoint of the catalogue too.

    With `published`, tell where the catalogue has that service.
    """
    _, token = logged_in(check)
    if "published" in check:
        catalogue, service = token.get("catalog", []), check["published"]
        check["found"] = keystone.published(catalogue, service, check["region"])
    for service in check.get("services", []):
        url = keystone.endpoint(
            token.get("catalog", []), service, check["region"], check["interfaces"]
        )
        problem = plain_text(service, url) or service_problem(url)
        if problem:
            return False, problem
    return True, "lets {} in".format(check["username"])


def plain_text(service, url):
    """Why nothing may be said at a URL, where what is said to anybody has to be encrypted."""
    if trust.TRUSTED is None or url.startswith("https://"):
        return None
    return f"the catalogue has {url} for {service}, in plain text: with tls on it has to be https"


def service_problem(url):
    """Why the service at an endpoint of the catalogue cannot be used from this host, or None.

    Without a token one answers with its versions (200, 300), another with 401, one behind a web
    server's path with 404: an answer below 500 says that somebody is there. A status from 500 on
    is a service that fails, or a proxy before it that does not reach it.
    """
    answer = rest.ask("GET", url, timeout=TIMEOUT)
    return answer.said() if answer.status >= 500 else None


KINDS = {
    "mysql": check_mysql,
    "amqp": check_amqp,
    "memcached": check_memcached,
    "keystone": check_keystone,
}


def tried(check):
    try:
        ok, detail = KINDS[check["kind"]](check)
    except (rest.Failed, trust.RefusedError) as error:
        ok, detail = False, str(error)
    except OSError as error:
        ok, detail = False, f"does not answer: {error}"
    published = {"published": check["found"]} if "found" in check else {}
    return {"name": check["name"], "ok": bool(ok), "detail": detail, **published}


def nova_computes(request):
    """What Nova has of computes; only a host that is asked for them is sent the script."""
    import nova_computes

    return nova_computes.answer(request)


def answer(request):
    compute, nova_request = request.get("compute"), request.get("nova")
    busy = is_busy(request["lock"], request["patience"])
    asked = request.get("certificates")
    return {
        **({} if asked is None else {"certificates": certificates(asked)}),
        "time": time.time(),
        "os": os_release(),
        "hostname": platform.node(),
        "root": os.geteuid() == 0,
        "busy": busy,
        "holders": holders(request["lock"]) if busy else [],
        "host_keys": host_keys(),
        "written": written(),
        "systemd": os.path.isdir("/run/systemd/system"),
        "addresses": addresses(),
        "kvm": kvm(),
        "hypervisor": {"libvirt": version(LIBVIRT), "qemu": version(QEMU)},
        "nova": nova(),
        "compute": compute_presence.read(compute) if compute else None,
        "nova_computes": nova_computes(nova_request) if nova_request else None,
        **guest_screens.answer(request.get("screens") or {}),
        "checks": [tried(check) for check in request["checks"]],
    }
