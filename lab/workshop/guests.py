"""The steps of guests: started, given addresses, apart, logged in to, their consoles."""

from __future__ import annotations

import re

from lab.cloud.guests import GUEST_IMAGE
from lab.shell import LabError
from lab.workshop.place import Place, is_apart
from lab.workshop.steps import FIRST, NAME, SECOND, Command, Step, openstack
from pyinfra_nova.proof.console import greet

BOOT_SECONDS = 180
"""For a guest to let somebody in; software emulation takes its time."""


def guests(place: Place) -> tuple[Step, ...]:
    boot = (
        place.on(place.controller, "tail -n 20 /var/log/nova/nova-scheduler.log"),
        *(place.on(name, "tail -n 20 /var/log/nova/nova-compute.log") for name in place.computes),
    )
    way_in = (
        place.on(place.controller, f"openstack console log show {FIRST}"),
        place.on(place.controller, "'tail -n 20 /var/log/neutron/neutron-l3-agent.log'"),
        place.on(place.controller, "ip netns"),
    )
    first, second = place.definitions
    policy = (
        Step(
            "server-group",
            "A server group: guests that no single host takes with it",
            (
                openstack(
                    f"server group create --policy anti-affinity -f value {NAME}",
                    makes="server group",
                    see="anti-affinity",
                ),
            ),
            "its policy: members will run on hosts of their own",
            (place.on(place.controller, "'tail -n 20 /var/log/nova/nova-api*.log'"),),
        ),
    )
    apart = (
        Step(
            "apart",
            "Where the scheduler has put them",
            (
                openstack(
                    "server list -n -f value -c Name -c Status -c Host --sort-column Name"
                    f" --name '^{NAME}-'",
                    see=rf"{FIRST} \S+ (?!None)(\S+)\n{SECOND} \S+ (?!None)(?!\1(\s|$))\S+",
                    never=rf"{NAME}-\d ERROR",
                    within=60,
                ),
            ),
            "two guests, two hosts",
            boot,
        ),
    )
    return (
        *(policy if is_apart(place) else ()),
        Step(
            "guest",
            "A guest",
            (_server(place, FIRST),),
            "ACTIVE: libvirt has started it; it goes on booting by itself",
            boot,
            why=_fault(FIRST),
        ),
        Step(
            "floating-ip",
            "A floating IP: an address of the provider network for it",
            _floating_ip(place.first, FIRST),
            "the address, which the router translates into the guest's own",
            way_in[1:],
        ),
        Step(
            "second-guest",
            "A second guest with its own floating IP, while the first one boots",
            (_server(place, SECOND), *_floating_ip(place.second, SECOND)),
            "ACTIVE",
            boot,
            why=_fault(SECOND),
        ),
        *(apart if is_apart(place) else ()),
        Step(
            "ssh",
            "Into the guest from outside, over its floating IP",
            (
                Command("here", first),
                Command(
                    "here",
                    f"ping -c 1 -W 2 {place.first}",
                    see="1 (packets )?received",
                    within=BOOT_SECONDS,
                    program="ping",
                ),
                Command("here", "$FIRST hostname", see=FIRST, within=BOOT_SECONDS),
                Command("here", "$FIRST ip -4 addr show eth0", see=r"inet 10\.98\.0\.\d+/24"),
            ),
            "the guest's own name, and the address that it knows of",
            way_in,
        ),
        Step(
            "console",
            "The guest's consoles",
            (
                openstack(
                    f"console log show {FIRST}",
                    see=f"guest ready: name={FIRST} .*",
                    within=60,
                ),
                openstack(
                    f"console url show --novnc -f value -c url {FIRST}",
                    see=r"https?://\S+token\S+",
                    proof=lambda url: greets(url, place),
                ),
            ),
            "what it printed while booting, and an address for a browser that shows its screen",
            (
                place.on(place.controller, "'tail -n 20 /var/log/nova/nova-novncproxy.log'"),
                *boot[1:],
            ),
        ),
        Step(
            "second-ssh",
            "Into the second guest",
            (
                Command("here", second),
                Command("here", "$SECOND hostname", see=SECOND, within=BOOT_SECONDS),
            ),
            "its name",
            (place.on(place.controller, f"openstack console log show {SECOND}"), *way_in[1:]),
        ),
    )


def _fault(guest: str) -> str:
    """The command that prints why GUEST is in ERROR, without the traceback behind it."""
    return f"openstack server show -f value -c fault {guest} | grep -o \"'message': [^,]*\""


def _server(place: Place, name: str) -> Command:
    hint = f" --hint group=$(openstack server group show -f value -c id {NAME})"
    return openstack(
        f"server create --image {GUEST_IMAGE} --flavor {NAME} --key-name {NAME}"
        f" --security-group {NAME} --network {NAME} --config-drive true"
        f"{hint if is_apart(place) else ''} --wait -f value -c status {name}",
        makes=name,
        see="ACTIVE",
    )


def _floating_ip(address: str, guest: str) -> tuple[Command, ...]:
    return (
        openstack(
            f"floating ip create --floating-ip-address {address} --description {NAME}"
            " -f value -c floating_ip_address provider",
            makes=f"floating ip {address}",
            see=re.escape(address),
        ),
        openstack(
            f"server add floating ip {guest} {address}", makes=f"floating ip {address} in use"
        ),
    )


def greets(output: str, place: Place) -> str:
    """Open the console at the URL in OUTPUT as a browser would.

    This machine need not know the controller's name, so it is asked by its address.
    """
    url = output.split()[-1]
    here = re.sub(r"(?<=://)[^:/]+", place.controller_address, url, count=1)
    try:
        greeting = greet(here)
    except OSError as error:
        raise LabError(f"{here.partition('?')[0]} does not answer: {error}") from error
    if not greeting.first_words.startswith("RFB 003."):
        raise LabError(f"the proxy answered {greeting.status!r}, and no VNC server after it")
    return f"over the proxy, the VNC server says {greeting.first_words.strip()}"
