"""The steps before any guest: flavor, keypair, security group, network and router."""

from __future__ import annotations

import re

from lab.workshop.place import Place
from lab.workshop.steps import KEY, NAME, Command, Step, openstack

SUBNET = "10.98.0.0/24"


def groundwork(place: Place) -> tuple[Step, ...]:
    neutron = (place.on(place.controller, "'tail -n 20 /var/log/neutron/*.log'"),)
    nova_api = (place.on(place.controller, "'tail -n 20 /var/log/nova/nova-api*.log'"),)
    return (
        Step(
            "flavor",
            "A flavor: how large a guest is",
            (
                openstack(
                    f"flavor create --vcpus 1 --ram 192 --disk 1 -f value -c ram -c vcpus {NAME}",
                    makes="flavor",
                    see=r"192\s+1",
                ),
            ),
            "its memory in MB, and its CPUs",
            nova_api,
        ),
        Step(
            "keypair",
            "A keypair: who may log in to a guest",
            (
                Command("here", f"ssh-keygen -q -t ed25519 -N '' -C {NAME} -f {KEY}", "key file"),
                Command(
                    "here",
                    place.on(place.controller, f"tee {NAME}.pub <{KEY}.pub"),
                    "public key file",
                    see="ssh-ed25519 ",
                ),
                openstack(
                    f"keypair create --public-key {NAME}.pub -f value -c fingerprint {NAME}",
                    makes="keypair",
                    see="([0-9a-f]{2}:)+",
                ),
            ),
            "the fingerprint of the public key; the private one stays on this machine",
            nova_api,
        ),
        Step(
            "security-group",
            "A security group: what may reach a guest",
            (
                openstack(
                    f"security group create -f value -c name {NAME}",
                    makes="security group",
                    see=NAME,
                ),
                openstack(
                    f"security group rule create --protocol icmp -f value -c protocol {NAME}",
                    makes="security group rule icmp",
                    see="icmp",
                ),
                openstack(
                    "security group rule create --protocol tcp --dst-port 22"
                    f" -f value -c port_range_min {NAME}",
                    makes="security group rule ssh",
                    see="22",
                ),
            ),
            "its two rules: echo requests and port 22; nothing else comes in",
            neutron,
        ),
        Step(
            "network",
            "A network: guests of one project among themselves",
            (
                openstack(
                    f"network create -f value -c status {NAME}", makes="network", see="ACTIVE"
                ),
            ),
            "ACTIVE; no other project sees it",
            neutron,
        ),
        Step(
            "subnet",
            "A subnet: the addresses on it",
            (
                openstack(
                    f"subnet create --network {NAME} --subnet-range {SUBNET}"
                    f" -f value -c cidr -c gateway_ip {NAME}",
                    makes="subnet",
                    see=re.escape(SUBNET),
                ),
            ),
            "its range, and the address that the router will have in it",
            neutron,
        ),
        Step(
            "router",
            "A router: the way to the provider network",
            (
                openstack(f"router create -f value -c status {NAME}", makes="router", see="ACTIVE"),
                openstack(
                    f"router set --external-gateway provider --fixed-ip ip-address={place.gateway}"
                    f" {NAME}",
                    makes="router gateway",
                ),
                openstack(f"router add subnet {NAME} {NAME}", makes="router interface"),
                openstack(
                    f"router show -f value -c external_gateway_info {NAME}",
                    see=re.escape(place.gateway),
                ),
            ),
            "its address on the provider network; its other one is the subnet's gateway",
            neutron,
        ),
    )
