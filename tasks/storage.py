"""Stage 8, on computes: the key with which QEMU opens volumes on Ceph."""

from __future__ import annotations

from pyinfra.api.deploy import deploy

from pyinfra_nova.resources import libvirt_secrets
from pyinfra_nova.target import Target


@deploy("Block storage")
def let_in(target: Target) -> None:
    """Have the key in libvirt, where the site says under which UUID."""
    if secret := target.ceph_secret:
        libvirt_secrets.present(name="Have the key of Ceph in libvirt", secret=secret)
