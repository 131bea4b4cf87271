"""See from this host whether anything answers that should be dead: hosts, and guests on them.

Request: {"hosts": [{"name", "addresses": [texts], "port": of SSH}],
          "guests": [{"name", "host", "addresses": [{"address", "network": id|null,
                                                      "direct": bool}]}]}
Answer:  {"signs": {host's name: [what answers]}, "asked": {host's name: [ways]},
          "unasked": [why something could not be asked]}
Only what answers is a sign: a reply to a ping, a connection, and a no to either, for somebody
has to live to refuse it. No route and no reply are silence. A ping that cannot be made is no
silence: it is not asked. Guests are pinged from here, where their address is `direct`, and from
within the namespace of Neutron's DHCP server for their network, where this host has one.
"""

import errno
import os
import re
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor

AT_ONCE = 32
CONNECT, PING = 3.0, 2
"""Seconds for one connection, and for each of two replies."""
NAMESPACES = ("/run/netns", "/var/run/netns")
SILENT = (errno.EHOSTUNREACH, errno.ETIMEDOUT, errno.EHOSTDOWN)
WHOM, FROM = re.compile(rb"^PING .*?\((\S+?)\)"), re.compile(rb"^From (\S+?):? icmp_seq=", re.M)
"""Whom iputils pings, and whose errors it has got."""
LIVELY = (errno.ECONNREFUSED, errno.ECONNRESET)


class NotAsked(Exception):  # noqa: N818 - it is what came of asking
    """A question that did not leave this host."""


def ping(address, before=()):
    """How ADDRESS replies; iputils ends with 1 where nobody has, with 2 on any other error."""
    command = [*before, "ping", "-n", "-c", "2", "-i", "0.5", "-W", str(PING), address]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            timeout=20,
            env={**os.environ, "LC_ALL": "C"},
        )
    except FileNotFoundError:
        raise NotAsked(f"{command[0]} is not installed") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotAsked(f"ping {address}: {error}") from None
    said = done.stderr.decode(errors="replace").strip()
    if done.returncode == 0:
        return "replies to"
    if done.returncode != 1 or "not permitted" in said:
        raise NotAsked(f"ping {address}: {(said.splitlines() or ['it says nothing'])[-1]}")
    # A firewall's no is its host's word, where a router's or this host's own is not.
    whom = WHOM.match(done.stdout)
    return "refuses" if whom and whom.group(1) in FROM.findall(done.stdout) else None


def connect(address, port):
    """What somebody says to a connection: "takes", "refuses" or None."""
    try:
        found = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise NotAsked(f"connection to {address}: {error}") from None
    family, kind, protocol, _, place = found[0]
    with socket.socket(family, kind, protocol) as connection:
        connection.settimeout(CONNECT)
        try:
            connection.connect(place)
        except OSError as error:
            if error.errno in LIVELY:
                return "refuses"
            if error.errno in SILENT or isinstance(error, socket.timeout):
                return None
            raise NotAsked(f"connection to {address}: {error}") from None
    return "takes"


def namespaces():
    for folder in NAMESPACES:
        if os.path.isdir(folder):
            return {name for name in os.listdir(folder) if name.startswith("qdhcp-")}
    return set()


def of_host(host):
    """The questions about one host: for each its name, its way, and what finds the sign."""
    for address in host["addresses"]:
        yield host["name"], "ping", pinged(address, address)
        yield host["name"], "connection", connected(address, host["port"])


def pinged(address, who, before=(), where=""):
    def ask():
        said = ping(address, before)
        return f"{who} {said} a ping{where}" if said else None

    return ask


def connected(address, port):
    def ask():
        said = connect(address, port)
        return f"{address} {said} a connection to port {port}" if said else None

    return ask


def of_guest(guest, there):
    for each in guest["addresses"]:
        address, name = each["address"], "qdhcp-{}".format(each["network"])
        who = "{} at {}".format(guest["name"], address)
        if each["direct"]:
            yield guest["host"], "ping of guests", pinged(address, who)
        if name in there:
            inside, where = ("ip", "netns", "exec", name), f" in the network namespace {name}"
            yield guest["host"], "ping of guests", pinged(address, who, inside, where)


def asked(question):
    name, way, ask = question
    try:
        return name, way, ask(), None
    except NotAsked as reason:
        return name, way, None, str(reason)


def answer(request):
    there = namespaces()
    questions = [question for host in request["hosts"] for question in of_host(host)]
    questions += [one for guest in request["guests"] for one in of_guest(guest, there)]
    names = {host["name"] for host in request["hosts"]} | {g["host"] for g in request["guests"]}
    signs, ways, unasked = {n: [] for n in names}, {n: [] for n in names}, []
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for name, way, sign, reason in pool.map(asked, questions):
            if reason:
                unasked.append(reason)
            elif way not in ways[name]:
                ways[name].append(way)
            if sign:
                signs[name].append(sign)
    return {"signs": signs, "asked": ways, "unasked": list(dict.fromkeys(unasked))}
