"""What one host of the inventory has that an audit compares with the cloud's own records.

Request: {"compute": bool, "libvirt": URI, "instances": folder, "nova_conf": path,
          "known_hosts": path, "authorized_keys": path,
          "ssh": {"names": digest of the names that known_hosts should have,
                  "key": digest of the line that authorized_keys should have}|null,
          "tls": {"ports", "screens": as of certificate_holders.py,
                  "plain": [{"who", "address", "port", "remedy"} of ports that should not be there],
                  "own": [paths of certificates]}|null}
Answer:  {"boot": epoch, "time": epoch,
          "processes": {daemon: {"unit", "pid": number|null, "since": epoch|null}|null},
          "certificates": {path: epoch of its end},
          "known_hosts": [names, where they are not those]|null,
          "keys": [{"type", "comment", "from": [patterns]}, but for that line]|null,
          "served", "own_certificates": as of host_tls.py,
          "restore": "under way"|"not over"|null, and as of host_guests.py}
"""

import time

import host_access
import host_guests
import host_processes
import host_restore
import host_tls

PARTS = (host_processes.read, host_access.read, host_restore.read, host_tls.read, host_guests.read)


def boot():
    """When this host started, by its clock of now."""
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)


def answer(request):
    found = {"boot": boot()}
    for read in PARTS:
        found.update(read(request))
    return {**found, "time": time.time()}
