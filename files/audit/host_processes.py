"""Nova's own processes on this host, and the certificates that its configuration names."""

import re
import time

import certificates
import units

DAEMONS = ("nova-compute", "nova-conductor", "nova-scheduler")
PREFIXES = ("", "openstack-")
"""Debian's and Ubuntu's units, and EL's."""
PATH = re.compile(r"(?:^|[=,\s])(/[^\s,;&?'\"]+)")


def processes():
    """By daemon its unit, the process of it and since when that runs; None where there is no unit.

    Since when is by the clock of now and the age, which no change of the clock alters.
    """
    units_of = {name: [f"{prefix}{name}.service" for prefix in PREFIXES] for name in DAEMONS}
    states = units.show([unit for names in units_of.values() for unit in names])
    found = {}
    for daemon, names in units_of.items():
        installed = [
            name
            for name in names
            if states.get(name, {}).get("LoadState") not in (None, "not-found")
        ]
        found[daemon] = described(installed[0], states[installed[0]]) if installed else None
    return found


def described(name, state):
    process = units.process(state)
    is_there = bool(process["pid"])
    return {
        "unit": name.partition(".")[0],
        "pid": process["pid"] if is_there else None,
        "since": time.time() - process["age"] if is_there else None,
    }


def named_certificates(path):
    """The ends of the certificates in files that a configuration names; nothing else of it."""
    found = {}
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            text = stream.read()
    except OSError:
        return found
    for line in text.splitlines():
        key, _, value = line.partition("=")
        for named in () if key.lstrip().startswith("#") else PATH.findall("=" + value.strip()):
            try:
                end = certificates.first_end(named)
            except (OSError, ValueError):
                continue
            if end is not None:
                found[named] = end
    return found


def read(request):
    return {"processes": processes(), "certificates": named_certificates(request["nova_conf"])}
