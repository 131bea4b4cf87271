"""Whom computes let in to move guests, and whose servers they know."""

import bisect
import ipaddress

from finding import finding, needs

OWN = "pyinfra-nova"
"""The comment of the key that a deploy writes (nova_conf/migration_ssh.py)."""


class Networks:
    """Addresses as a few networks, which can be looked for in one another."""

    def __init__(self, patterns):
        self.names, spans = set(patterns), []
        for pattern in patterns:
            try:
                network = ipaddress.ip_network(pattern)
            except ValueError:  # a name
                continue
            spans.append((network.version, int(network[0]), int(network[-1])))
        self.spans = sorted(spans)

    def has(self, pattern):
        if pattern in self.names:
            return True
        try:
            network = ipaddress.ip_network(pattern)
        except ValueError:
            return False
        first, last = int(network[0]), int(network[-1])
        place = bisect.bisect(self.spans, (network.version, first, float("inf"))) - 1
        found = self.spans[place] if place >= 0 else (None, 0, -1)
        return found[0] == network.version and found[1] <= first and last <= found[2]


@needs("hosts")
def unknown_servers(evidence):
    """Servers that a compute takes for other computes, and that the inventory does not have."""
    known, names = set(evidence.expected["ssh"]["names"]), nova_names(evidence)
    for name, host in evidence.hosts.items():
        # Patterns, and names that are hashed, are nobody's in particular.
        strange = [
            each
            for each in host.get("known_hosts") or ()
            if each not in known and not set(each) & set("*?!|")
        ]
        if strange:
            yield finding(
                "known-host-of-a-stranger",
                names.get(name, name),
                f"{name} knows {listed(strange)} as a compute; the inventory does not",
                f"deploy {name}, or name that host in the inventory",
                key="known-hosts",
            )


@needs("hosts")
def unknown_keys(evidence):
    """Keys by which others than computes of the inventory get in as Nova's user."""
    let_in, names = Networks(evidence.expected["ssh"]["from"]), nova_names(evidence)
    for name, host in evidence.hosts.items():
        where = names.get(name, name)
        for key in host.get("keys") or ():
            if key["comment"] != OWN:
                whose = key["comment"] or "nobody in particular"
                what = f"{name} lets in as Nova's user whoever has the {key['type']} key of {whose}"
            else:
                strange = [each for each in key["from"] if not let_in.has(each)]
                if key["from"] and not strange:
                    continue  # of a site that has grown since
                what = (
                    f"{name} lets in as Nova's user computes at {listed(strange) or 'any address'}"
                )
                what += ", which the inventory does not have"
            yield finding(
                "key-of-a-stranger",
                where,
                what,
                f"deploy {name}, which writes the file anew, or take the line out of it",
                key=f"{key['type']}/{key['comment']}",
            )


def nova_names(evidence):
    """What Nova calls each host of the inventory."""
    return {name: host for host, name in evidence.expected["names"].items()}


def listed(names, most=5):
    """The first of many names."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(sorted(names)[:most]) + more


DETECTORS = (unknown_servers, unknown_keys)
