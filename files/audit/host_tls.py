"""Who on this host shows an old certificate, speaks in plain text, or has one that ends."""

import socket

import certificate_holders
import certificates

TIMEOUT = 3
SILENT = "silent"


def plain_ports(rows):
    """Of the ports that speak plain text, and that should not be there, those that are."""
    for row in rows:
        where = row["address"], row["port"]
        try:
            socket.create_connection(where, timeout=TIMEOUT).close()
        except OSError:
            continue
        text = "{address}:{port} lets in whoever comes, in plain text".format(**row)
        yield {**certificate_holders.found(row["who"], "plain", text), "remedy": row["remedy"]}


def own_ends(paths):
    """When those of this project's certificates end that are there, by path."""
    found = {}
    for path in paths:
        try:
            end = certificates.first_end(path)
        except (OSError, ValueError):
            continue
        if end is not None:
            found[path] = end
    return found


def read(request):
    """{"served": rows as of certificate_holders.py, but for what does not answer at all, which is
    for others to say; "own_certificates": {path: epoch of its end}}
    """
    asked = request["tls"]
    if asked is None:
        return {"served": [], "own_certificates": {}}
    differing = certificate_holders.differing(asked)
    rows = [row for row in differing if row["problem"] != SILENT]
    return {
        "served": [*rows, *plain_ports(asked["plain"])],
        "own_certificates": own_ends(asked["own"]),
    }
