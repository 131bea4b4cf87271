"""What a command leaves on the lab's hosts: files, processes, rows and accounts, before and after.

A file is told by its inode and the times of its content and of its inode: whoever writes, replaces,
links, renames or chmods it changes one of these, be the content the same afterwards. A process is
told by its number and its start. So two footprints that agree mean that nothing was touched.
"""

from __future__ import annotations

import json
import os
import shlex
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lab.state import HOSTS as FOLDERS
from pyinfra_nova.session.host_script import RUNNER, script_input

from .conftest import on

HOSTS = ("controller", "compute1", "compute2")
SCRIPT = Path(__file__).with_name("footprint.py")

Footprint = dict[str, object]
"""HOST:NAME -> what it is; NAME is a path, or such as `unit nova-api`, `rows of nova.services`."""

OF_RUNNING_DAEMONS = (
    # Logs, and what they are rotated by.
    *("var/log/", "var/lib/logrotate/"),
    # Databases and the broker, whose rows and accounts are compared instead.
    *("var/lib/mysql/", "var/lib/rabbitmq/", "var/lib/openvswitch/", "etc/openvswitch/"),
    "var/lib/ceph/",
    # What systemd keeps of its timers and its random seed.
    *("var/lib/systemd/", "var/lib/private/", "var/lib/libuuid/"),
    # What the timers of `care` have done.
    "var/lib/pyinfra-nova/",
    # Caches, and places for what is to go again.
    *("var/cache/", "tmp/", "var/tmp/"),
    # Locks, sockets and state of the other services' daemons.
    *("var/lib/neutron/", "var/lib/keystone/", "var/lib/glance/", "var/lib/placement/"),
    "var/lib/cinder/",
    # Locks that Nova takes for each task, and the image cache that nova-compute looks after.
    *("var/lib/nova/tmp/", "var/lib/nova/instances/"),
)
"""Below these, daemons write all the time."""
CACHES = ("/.cache/python-entrypoints/", "/__pycache__/")
"""What any Python program may leave of what it has read."""
HEARTBEAT = ("updated_at", "report_count", "last_seen_up")
MOVING = {
    # "I am still there", every ten seconds.
    **{f"{name}.services": HEARTBEAT for name in ("nova", "nova_cell0", "cinder")},
    # Written each minute, with the room that is left on this machine's disk.
    # Of a CPU's features each process writes the same set, in another order.
    # What guests use is written by the audit after they came or went.
    "nova.compute_nodes": (
        *("updated_at", "disk_available_least", "free_disk_gb", "cpu_info"),
        *("vcpus_used", "memory_mb_used", "free_ram_mb", "local_gb_used"),
        *("running_vms", "current_workload", "stats", "pci_stats", "numa_topology", "metrics"),
    ),
    "neutron.agents": ("heartbeat_timestamp", "configurations", "load", "resource_versions"),
}
"""Columns that change while nobody does anything."""
LEFT_OUT = ("neutron.ovn_hash_ring", "nova.console_auth_tokens")
"""Heartbeats alone; and what nova-compute removes by itself some time after it was made."""


def files(host: str) -> Footprint:
    """Every file, link and folder that a host has of its own, seen from outside."""
    upper = FOLDERS / host / "upper"
    found: Footprint = {}
    for folder, folders, names in os.walk(upper):
        for name in (*folders, *names):
            path = Path(folder, name)
            relative = str(path.relative_to(upper))
            if f"{relative}/".startswith(OF_RUNNING_DAEMONS) or any(
                cache in f"/{relative}/" for cache in CACHES
            ):
                continue
            try:
                status = path.lstat()
            except FileNotFoundError:  # there while the folder was listed
                continue
            is_file = name in names
            found[f"{host}:/{relative}"] = (
                *(status.st_mode, status.st_uid, status.st_gid, status.st_ino),
                # A folder's own times and size change with any file in it, a daemon's too.
                *((status.st_size, status.st_mtime_ns, status.st_ctime_ns) if is_file else ()),
            )
    return found


def processes_and_rows(host: str) -> Footprint:
    """Units with their processes; on the controller rows and accounts. One command."""
    request = {"databases": host == "controller", "moving": MOVING, "left_out": LEFT_OUT}
    (stdin,) = script_input(SCRIPT.stem, request, ("trust", "sql"), SCRIPT.parent)
    result = on(host, f"python3 -c {shlex.quote(RUNNER)} <<'END'\n{stdin}\nEND")
    assert result.returncode == 0, f"no footprint of {host}"
    known: Footprint = json.loads(result.stdout.splitlines()[-1])
    return {f"{host}:{name}": value for name, value in known.items()}


def footprint(host: str) -> Footprint:
    return files(host) | processes_and_rows(host)


def everything(hosts: Iterable[str] = HOSTS) -> Footprint:
    """All that a plan has to leave as it is."""
    with ThreadPoolExecutor() as pool:
        return {
            name: value for found in pool.map(footprint, hosts) for name, value in found.items()
        }


def when_settled() -> Footprint:
    """Everything, once two looks agree: Neutron goes on with what the lab has just asked of it."""
    seen = everything()
    for _ in range(20):
        time.sleep(5)
        again = everything()
        if not differences(seen, again):
            break
        seen = again
    return seen


def differences(before: Footprint, after: Footprint) -> list[str]:
    """The names of what is not the same, or not there any more, or new."""
    names = before.keys() | after.keys()
    return sorted(name for name in names if before.get(name) != after.get(name))


# --- what a deploy is there for ------------------------------------------------------------------

# One line for everything that a deploy is there for, without what differs in every run: the numbers
# of rows, times, and what daemons write. What gives no answer ends it: two that both lack the rows
# would be the same.
STATE = r"""
sorted() { text=$("$@") || exit 1; printf '%s\n' "$text" | sort; }
find /etc/nova -type f -printf '%p %m %u:%g ' -exec sha256sum {} \; 2>/dev/null | cut -d' ' -f1-4
cat /etc/default/nova-consoleproxy 2>/dev/null
dpkg-query -W -f '${Package} ${db:Status-Status}\n' 'nova-*' 'python3-nova' 2>/dev/null | sort
systemctl list-unit-files --no-legend 'nova-*' 'libvirtd*' | awk '{ print $1, $2 }' | sort
systemctl is-active nova-api nova-api-metadata nova-conductor nova-scheduler nova-novncproxy \
    nova-compute
ls /usr/sbin/policy-rc.d /etc/nova/.*.pyinfra-nova 2>/dev/null
command -v rabbitmqctl >/dev/null || exit 0
mysql -N -e "
SELECT name, transport_url, database_connection, disabled FROM nova_api.cell_mappings ORDER BY name;
SELECT host FROM nova_api.host_mappings ORDER BY host;
SELECT version_num FROM nova_api.alembic_version; SELECT version_num FROM nova.alembic_version;
SELECT version_num FROM nova_cell0.alembic_version;
SELECT host, \`binary\` FROM nova.services WHERE deleted = 0 ORDER BY 1, 2;
SELECT host, host_ip FROM nova.compute_nodes WHERE deleted = 0 ORDER BY 1;
SELECT table_schema, table_name FROM information_schema.tables
    WHERE table_schema LIKE 'nova%' ORDER BY 1, 2" || exit 1
mysql -e "SHOW GRANTS FOR nova@'%'" || exit 1
sorted rabbitmqctl -q list_permissions --no-table-headers
sorted openstack endpoint list --service compute -f value -c Region -c Interface -c URL
sorted openstack role assignment list --user nova --names -f value -c Role -c Project
sorted openstack service list -f value -c Name -c Type
sorted openstack user list -f value -c Name
"""


def state_of(host: str) -> str:
    found = on(host, STATE)
    assert found.returncode == 0, f"{host} does not tell its state"
    return found.stdout


def state(*hosts: str) -> dict[str, str]:
    return {host: state_of(host) for host in hosts}
