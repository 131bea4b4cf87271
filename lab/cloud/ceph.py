"""Ceph, which Cinder has its volumes on: one disk, a pool and the keys of its users."""

from __future__ import annotations

from uuid import NAMESPACE_DNS, uuid5

from lab.cloud import Cloud
from pyinfra_nova.site.faults import Fault, SettingsError

POOL = "volumes"
CEPH_USER = "cinder"
DISK_SIZE = 20 * 2**30
"""Bytes that volumes may use in all; the file grows with what is written."""


def rbd_secret_uuid(cloud: Cloud) -> str | None:
    """Under which the computes' libvirt knows the key of Cinder's user."""
    return next((host.libvirt.rbd_secret_uuid for host in cloud.site.computes), None)


def ceph_keys(cloud: Cloud) -> dict[str, str]:
    """Every user of Ceph and its key."""
    mine, key = cloud.secrets, cloud.site.secrets.rbd_secret_key
    if key is None or rbd_secret_uuid(cloud) is None:
        problem = "is missing, and the lab has Cinder with volumes on Ceph"
        remedy = "docs/storage.md says what it is"
        fault = Fault("group_data/lab.py", "libvirt.rbd_secret_uuid", problem, remedy)
        raise SettingsError([fault])
    keys = {
        "mon.": mine.ceph_monitor,
        "client.admin": mine.ceph_admin,
        f"mgr.{cloud.site.primary_controller.name}": mine.ceph_manager,
        "osd.0": mine.ceph_disk,
        f"client.{CEPH_USER}": key,
    }
    return {user: secret.get_secret_value() for user, secret in keys.items()}


def ceph_request(cloud: Cloud) -> dict[str, object]:
    """The request that `files/ceph.py` takes; empty without block storage."""
    if not cloud.block_storage:
        return {}
    host = cloud.site.primary_controller
    address = str(host.my_ip)
    # Of the two protocols the first has no encryption.
    both = (f"v2:{address}:3300", f"v1:{address}:6789")
    return {
        "name": host.name,
        "address": address,
        "listens": "[{}]".format(",".join(both[:1] if cloud.has_tls else both)),
        # Made of the address: a Ceph that is made again after an interruption is the same one.
        "fsid": str(uuid5(NAMESPACE_DNS, f"ceph.{address}")),
        "osd_uuid": str(uuid5(NAMESPACE_DNS, f"osd.0.{address}")),
        "pool": POOL,
        "keys": ceph_keys(cloud),
    }
