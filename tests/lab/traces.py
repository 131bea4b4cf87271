"""What a command leaves on the lab's hosts, seen from outside: files, and rows of databases."""

from __future__ import annotations

import hashlib
import os
import stat
import time
from pathlib import Path

from lab import state

from .conftest import on

HOSTS = ("controller", "compute1", "compute2")
OF_RUNNING_DAEMONS = (
    *("var/log/", "var/lib/mysql/", "var/lib/rabbitmq/", "var/lib/systemd/", "var/cache/"),
    *("tmp/", "var/tmp/", "var/lib/private/", "var/lib/openvswitch/", "etc/openvswitch/"),
    *(
        "var/lib/libuuid/",
        "var/lib/neutron/",
        "var/lib/keystone/",
        "var/lib/glance/",
        "var/lib/placement/",
    ),
)
"""Below these, daemons write all the time; their databases are compared row by row instead."""
HEARTBEATS = ("neutron.agents", "neutron.ovn_hash_ring", "nova.services", "nova.compute_nodes")
DUMP = (
    "mysqldump --all-databases --skip-dump-date --skip-comments --order-by-primary"
    " --single-transaction"
    + "".join(f" --ignore-table={table}" for table in HEARTBEATS)
    + " --ignore-table=mysql.innodb_index_stats --ignore-table=mysql.innodb_table_stats"
    " --ignore-table=mysql.gtid_slave_pos | sha256sum;"
    " rabbitmqctl -q list_users; rabbitmqctl -q list_permissions; rabbitmqctl -q list_vhosts"
)


def files(host: str) -> dict[str, tuple[object, ...]]:
    """Every file that a host has of its own: mode, owner, size, time, and content where small."""
    upper = state.HOSTS / host / "upper"
    found: dict[str, tuple[object, ...]] = {}
    for folder, _, names in os.walk(upper):
        for name in names:
            path = Path(folder, name)
            relative = str(path.relative_to(upper))
            if relative.startswith(OF_RUNNING_DAEMONS):
                continue
            status = path.lstat()
            content = b""
            if stat.S_ISREG(status.st_mode) and status.st_size < 100_000:
                content = hashlib.sha256(path.read_bytes()).digest()
            found[relative] = (
                *(status.st_mode, status.st_uid, status.st_gid, status.st_size),
                *(status.st_mtime_ns, content),
            )
    return found


def everything() -> dict[str, object]:
    """All that a plan has to leave as it is."""
    seen: dict[str, object] = {host: files(host) for host in HOSTS}
    return {**seen, "databases and broker": on("controller", DUMP).stdout}


def when_settled() -> dict[str, object]:
    """Everything, once two looks agree: Neutron goes on with what the lab has just asked of it."""
    seen = everything()
    for _ in range(20):
        time.sleep(5)
        again = everything()
        if not differences(seen, again):
            break
        seen = again
    return seen


def differences(before: dict[str, object], after: dict[str, object]) -> list[str]:
    """The names of what is not the same."""
    found = []
    for name, was in before.items():
        now = after[name]
        if isinstance(was, dict) and isinstance(now, dict):
            changed = {path for path in was.keys() | now.keys() if was.get(path) != now.get(path)}
            found += [f"{name}:/{path}" for path in sorted(changed)]
        elif was != now:
            found.append(name)
    return found
