"""What guests need: a provider network, and an image built from `lab/guest`."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path

from lab.cloud import Cloud
from lab.cloud.catalogue import admin_login

GUEST = Path(__file__).resolve().parents[1] / "guest"
GUEST_IMAGE = "tiny"
GUEST_FOLDER = "/var/lib/pyinfra-nova-lab"
"""On the controller: where the guest image is built."""


def network_and_image(cloud: Cloud) -> dict[str, object]:
    """The request that `files/network_and_image.py` takes."""
    network = cloud.lab.provider
    return {
        "login": admin_login(cloud),
        "region": cloud.site.settings.region,
        "network": {
            "name": "provider",
            "physical_network": "provider",
            "cidr": str(network.cidr),
            "gateway": str(network.gateway),
            **_pool(cloud),
        },
        "image": {
            "name": GUEST_IMAGE,
            "path": f"{GUEST_FOLDER}/{GUEST_IMAGE}-{_digest(guest_sources())}.qcow2",
            "properties": {"min_ram": 128, "hw_rng_model": "virtio"},
        },
    }


def guest_image() -> dict[str, object]:
    """The request that `files/guest_image.py` takes."""
    sources = guest_sources()
    return {
        "folder": GUEST_FOLDER,
        "name": GUEST_IMAGE,
        "digest": _digest(sources),
        "files": {name: b64encode(data).decode() for name, data in sources.items()},
    }


def _pool(cloud: Cloud) -> dict[str, str]:
    """The upper half of the provider range without the hosts' own addresses."""
    network = cloud.lab.provider
    first = max([network.cidr.num_addresses // 2, *(h.offset + 1 for h in cloud.lab.hosts)])
    return {
        "first": str(network.address(first)),
        "last": str(network.address(network.cidr.num_addresses - 2)),
    }


def guest_sources() -> dict[str, bytes]:
    """What the guest image is built from: path below lab/guest -> content."""
    return {
        str(path.relative_to(GUEST)): path.read_bytes()
        for path in sorted(GUEST.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


def _digest(sources: Mapping[str, bytes]) -> str:
    total = hashlib.sha256()
    for name, data in sources.items():
        total.update(name.encode() + b"\0" + hashlib.sha256(data).digest())
    return total.hexdigest()[:12]
