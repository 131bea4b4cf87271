"""Read what has to hold before anything is changed, and try what the services will use.

Request: {"checks": [{"name", "kind", ...}], "lock": path, "patience": seconds}; kinds are the
functions of KINDS. Somebody who holds the lock still changes this host: it is waited for.
Answer:  {"os": {"id", "version"}, "hostname", "addresses": [{"interface", "address"}], "time",
          "kvm": {"flag", "usable"}, "hypervisor": {"libvirt": version|null, "qemu": version|null},
          "root", "systemd", "busy", "host_keys": ["TYPE BASE64", ...],
          "checks": [{"name", "ok", "detail"}]}
"""

import fcntl
import glob
import json
import os
import platform
import re
import socket
import subprocess
import time

import keystone
import messaging
import mysql_login
import rest

TIMEOUT = 10
KVM_CREATE_VM = 0xAE01
HOST_KEYS = "/etc/ssh/ssh_host_*_key.pub"
# One daemon or many; a system's QEMU, or the one that EL keeps out of the path.
LIBVIRT = ("/usr/sbin/libvirtd", "/usr/sbin/virtqemud")
QEMU = ("/usr/libexec/qemu-kvm", "/usr/bin/qemu-system-" + platform.machine())


def os_release():
    values = {}
    with open("/etc/os-release", encoding="utf-8") as stream:
        for line in stream:
            key, separator, value = line.strip().partition("=")
            if separator:
                values[key] = value.strip("\"'")
    return {"id": values.get("ID", ""), "version": values.get("VERSION_ID", "")}


def addresses():
    result = subprocess.run(
        ["ip", "-json", "-4", "address", "show"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    return [
        {"interface": link["ifname"], "address": info["local"]}
        for link in json.loads(result.stdout or "[]")
        for info in link.get("addr_info", [])
    ]


def kvm():
    """Both signs are needed: /dev/kvm alone may hang every guest, the flag alone may lack it."""
    with open("/proc/cpuinfo", encoding="utf-8") as stream:
        flag = bool(re.search(r"^flags\s*:.*\b(vmx|svm)\b", stream.read(), re.MULTILINE))
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
        result = subprocess.run(
            [program, "--version"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            timeout=TIMEOUT,
        )
        found = re.search(r"\d+\.\d+(\.\d+)?", result.stdout)
        if found:
            return found.group()
    return None


def host_keys():
    """The public keys by which this host's SSH server is known."""
    found = []
    for path in sorted(glob.glob(HOST_KEYS)):
        with open(path, encoding="ascii", errors="replace") as stream:
            found.append(" ".join(stream.read().split()[:2]))
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


def check_mysql(check):
    found = mysql_login.answer(check)
    return found["greets"] and not found["error"], found["error"] or "answers"


def check_amqp(check):
    found = messaging.answer(check)
    if not check["login"]:
        return found["listens"], "answers" if found["listens"] else found["error"]
    if found["denied"]:
        return False, "does not let {} {}".format(check["user"], ", ".join(found["denied"]))
    return found["opened"] and not found["error"], found["error"] or "lets {} in".format(
        check["user"]
    )


def check_memcached(check):
    with socket.create_connection((check["host"], check["port"]), timeout=TIMEOUT) as stream:
        stream.sendall(b"version\r\n")
        said = stream.recv(100).decode(errors="replace").strip()
    return said.startswith("VERSION"), said or "says nothing"


def check_keystone(check):
    """Log in as one user; with `services`, try each service's endpoint of the catalogue too."""
    _, token = keystone.logged_in(check["auth_url"], check)
    for service in check.get("services", []):
        url = keystone.endpoint(
            token.get("catalog", []), service, check["region"], check["interfaces"]
        )
        problem = service_problem(url)
        if problem:
            return False, problem
    return True, "lets {} in".format(check["username"])


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
    except rest.Failed as error:
        ok, detail = False, str(error)
    except OSError as error:
        ok, detail = False, f"does not answer: {error}"
    return {"name": check["name"], "ok": bool(ok), "detail": detail}


def answer(request):
    busy = is_busy(request["lock"], request["patience"])
    return {
        "time": time.time(),
        "os": os_release(),
        "hostname": platform.node(),
        "root": os.geteuid() == 0,
        "busy": busy,
        "host_keys": host_keys(),
        "systemd": os.path.isdir("/run/systemd/system"),
        "addresses": addresses(),
        "kvm": kvm(),
        "hypervisor": {"libvirt": version(LIBVIRT), "qemu": version(QEMU)},
        "checks": [tried(check) for check in request["checks"]],
    }
