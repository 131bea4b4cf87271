"""Have computes count again that were forced down, each once its nova-compute is seen to run.

Request: {"auth_url", "region", "interface", "places", "admin": as for cloud_objects.py,
          "database", "names": as for nova_state.py, "hosts": [hosts of nova-compute], "wait": s}
Answer:  {}
Nova refuses it as long as guests were evacuated from there that nova-compute has not yet taken away
(nova/api/openstack/compute/services.py, _check_for_evacuations), which it does when it starts.
So each is waited for until its heartbeat has moved, and nothing of that is left.
"""

import time

import cloud_session
import nova_state
import rest
from site_proof import EVACUATED, LEFT

POLL = 2.0
SERVICES = "uuid, host, last_seen_up, forced_down"


def read(request):
    """The row of each service of the hosts, and how many evacuated guests each still has."""

    def look(connection, asked):
        cell = asked["names"]["cell1"]
        where = " WHERE deleted = 0 AND `binary` = 'nova-compute'"
        rows = nova_state.read_table(connection, cell, "services", SERVICES, where)
        left = nova_state.read_table(connection, cell, "migrations", LEFT, EVACUATED)
        return {row["host"]: row for row in rows}, {row["host"]: row["guests"] for row in left}

    found, error, _ = nova_state.look(request, look)
    if found is None or error:
        raise rest.Failed(f"Nova's databases could not be read: {error}")
    return found


def reason(host, before, rows, left):
    """Why a compute does not count yet; None once it may."""
    row = rows.get(host)
    if row is None:
        return "Nova has no nova-compute there"
    if before.get(host) is None or row["last_seen_up"] == before[host]["last_seen_up"]:
        return "its nova-compute has sent no heartbeat"
    if left.get(host):
        what = f"{left[host]} guests evacuated from there"
        restart = f"`systemctl restart nova-compute` on {host}"
        return (
            f"its nova-compute has not taken away {what}, which it does when it starts: {restart}"
        )
    return None


def told(request):
    cloud = cloud_session.Cloud(request)
    before, _ = read(request)
    waiting, over = list(request["hosts"]), time.monotonic() + request["wait"]
    while True:
        rows, left = read(request)
        reasons = {host: reason(host, before, rows, left) for host in waiting}
        for host in waiting:
            if reasons[host] is None and rows[host]["forced_down"]:
                path = "/os-services/" + rest.quoted(rows[host]["uuid"])
                cloud.compute.call("PUT", path, {"forced_down": False})
        waiting = [host for host in waiting if reasons[host] is not None]
        if not waiting:
            return
        if time.monotonic() > over:
            texts = (f"{host} stays forced down: {reasons[host]}" for host in waiting)
            raise rest.Failed("; ".join(texts))
        time.sleep(POLL)


def answer(request):
    try:
        told(request)
    except rest.Failed as error:
        raise SystemExit(str(error)) from None
    return {}
