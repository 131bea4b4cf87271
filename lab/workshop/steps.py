"""What the exercise consists of: data only. `docs/workshop.md` has the same commands to type."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lab import state
from lab.cloud import GUEST_IMAGE
from lab.settings import LabSettings
from lab.shell import LabError
from pyinfra_nova.proof.console import greet

Where = Literal["controller", "here"]
"""As root on the controller, or on this machine in the checkout."""

NAME = "workshop"
FIRST, SECOND = f"{NAME}-1", f"{NAME}-2"
KEY = state.LAB / NAME
SUBNET = "10.98.0.0/24"
VOLUME_SERVICE = "block-storage"
BOOT_SECONDS = 180
"""For a guest to let somebody in; software emulation takes its time."""


@dataclass(frozen=True)
class Command:
    """A command as a person types it, and what comes of it.

    Attributes:
        where: where it is typed.
        text: a line of shell.
        makes: the thing that is there after it. Where that is there already it is left out.
        removes: the thing that is gone after it. Where that is not there it is left out.
        see: a regular expression that its output has to match; it is repeated until it does.
        never: a regular expression; output that matches it makes waiting useless.
        within: seconds for that, and for a command that fails to succeed after all.
        program: left out where this machine does not have this program.
        proof: looks further at the output; its answer is shown, a LabError fails the step.
    """

    where: Where
    text: str
    makes: str = ""
    removes: str = ""
    see: str = ""
    never: str = ""
    within: float = 0
    program: str = ""
    proof: Callable[[str], str] | None = None


@dataclass(frozen=True)
class Step:
    """A step of the exercise.

    Attributes:
        name: for `--step`.
        title: what it is about.
        commands: in their order.
        expect: what is to be seen when it went well.
        look: where to look when it did not.
        why: a command for the controller that names the reason when it did not.
        service: the type of a service that it needs; it is left out where the cloud has none.
        past: where this thing is there, the step lies behind; to do it again would undo later ones.
    """

    name: str
    title: str
    commands: tuple[Command, ...]
    expect: str
    look: tuple[str, ...] = ()
    why: str = ""
    service: str = ""
    past: str = ""


@dataclass(frozen=True)
class Place:
    """Where the exercise takes place.

    Attributes:
        run: the word that reaches the hosts from the checkout.
        controller: its name.
        controller_address: its address on the management network.
        computes: the names of the hosts that guests run on.
        gateway: the router's address on the provider network.
        first, second: the guests' floating addresses.
    """

    run: str
    controller: str
    controller_address: str
    computes: tuple[str, ...]
    gateway: str
    first: str
    second: str

    @classmethod
    def of(cls, settings: LabSettings, inventory: Path) -> Place:
        """The place that SETTINGS, read from INVENTORY, describe."""
        by_group = {
            group: [host for host in settings.hosts if group in host.groups]
            for group in ("controllers", "computes")
        }
        if not all(by_group.values()):
            raise LabError(f"{inventory}: the exercise needs a controller and a compute in the lab")
        controller = by_group["controllers"][0]
        cidr = settings.provider.cidr
        # The end of the pool: Neutron takes what it chooses itself from anywhere in it.
        gateway, first, second = (str(cidr[cidr.num_addresses - back]) for back in (4, 3, 2))
        return cls(
            run=run_word(inventory),
            controller=controller.name,
            controller_address=str(settings.management.address(controller.offset)),
            computes=tuple(host.name for host in by_group["computes"]),
            gateway=gateway,
            first=first,
            second=second,
        )

    @property
    def definitions(self) -> tuple[str, str]:
        """Shell variables that stand for the way into each guest."""
        return (f'FIRST="{_ssh(self.first)}"', f'SECOND="{_ssh(self.second)}"')

    def on(self, host: str, command: str) -> str:
        """COMMAND on HOST as typed in the checkout."""
        return f"{self.run} ssh {host} {command}"


def run_word(inventory: Path) -> str:
    """How `run` is called for INVENTORY."""
    return "./run" if str(inventory) == "inventory.py" else f"./run -i {inventory}"


def _ssh(address: str) -> str:
    # A guest makes its host key when it boots, so there is none to know beforehand.
    options = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
    return f"ssh -i {KEY} {options} -o ConnectTimeout=5 root@{address}"


def is_apart(place: Place) -> bool:
    """Whether two guests can be kept apart: on a single compute they cannot."""
    return len(place.computes) > 1


def exercise(place: Place) -> tuple[Step, ...]:
    """All steps, in their order."""
    return (*_before_guests(place), *_guests(place), *_volume(place))


def _before_guests(place: Place) -> tuple[Step, ...]:
    neutron = (place.on(place.controller, "'tail -n 20 /var/log/neutron/*.log'"),)
    nova_api = (place.on(place.controller, "'tail -n 20 /var/log/nova/nova-api*.log'"),)
    return (
        Step(
            "flavor",
            "A flavor: how large a guest is",
            (
                _openstack(
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
                _openstack(
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
                _openstack(
                    f"security group create -f value -c name {NAME}",
                    makes="security group",
                    see=NAME,
                ),
                _openstack(
                    f"security group rule create --protocol icmp -f value -c protocol {NAME}",
                    makes="security group rule icmp",
                    see="icmp",
                ),
                _openstack(
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
                _openstack(
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
                _openstack(
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
                _openstack(
                    f"router create -f value -c status {NAME}", makes="router", see="ACTIVE"
                ),
                _openstack(
                    f"router set --external-gateway provider --fixed-ip ip-address={place.gateway}"
                    f" {NAME}",
                    makes="router gateway",
                ),
                _openstack(f"router add subnet {NAME} {NAME}", makes="router interface"),
                _openstack(
                    f"router show -f value -c external_gateway_info {NAME}",
                    see=re.escape(place.gateway),
                ),
            ),
            "its address on the provider network; its other one is the subnet's gateway",
            neutron,
        ),
    )


def _openstack(
    words: str,
    *,
    makes: str = "",
    removes: str = "",
    see: str = "",
    never: str = "",
    within: float = 0,
    proof: Callable[[str], str] | None = None,
) -> Command:
    return Command(
        "controller",
        f"openstack {words}",
        makes=makes,
        removes=removes,
        see=see,
        never=never,
        within=within,
        proof=proof,
    )


def _guests(place: Place) -> tuple[Step, ...]:
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
                _openstack(
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
                _openstack(
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
                _openstack(
                    f"console log show {FIRST}",
                    see=f"guest ready: name={FIRST} .*",
                    within=60,
                ),
                _openstack(
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
    return _openstack(
        f"server create --image {GUEST_IMAGE} --flavor {NAME} --key-name {NAME}"
        f" --security-group {NAME} --network {NAME} --config-drive true"
        f"{hint if is_apart(place) else ''} --wait -f value -c status {name}",
        makes=name,
        see="ACTIVE",
    )


def _floating_ip(address: str, guest: str) -> tuple[Command, ...]:
    return (
        _openstack(
            f"floating ip create --floating-ip-address {address} --description {NAME}"
            " -f value -c floating_ip_address provider",
            makes=f"floating ip {address}",
            see=re.escape(address),
        ),
        _openstack(
            f"server add floating ip {guest} {address}", makes=f"floating ip {address} in use"
        ),
    )


def _volume(place: Place) -> tuple[Step, ...]:
    look = (
        place.on(place.controller, "'tail -n 20 /var/log/cinder/*.log'"),
        *(place.on(name, "tail -n 20 /var/log/nova/nova-compute.log") for name in place.computes),
    )
    status = f"volume show -f value -c status {NAME}"
    beyond = f"volume at {SECOND}"
    return (
        Step(
            "volume",
            "A volume: a disk that outlives guests",
            (
                _openstack(f"volume create --size 1 {NAME}", makes="volume"),
                _openstack(status, see="available|in-use", never="error", within=60),
            ),
            "available",
            look,
            service=VOLUME_SERVICE,
        ),
        Step(
            "attach",
            "Attached to the first guest while it runs",
            (
                _openstack(f"server add volume {FIRST} {NAME}", makes=f"volume at {FIRST}"),
                Command("here", "$FIRST cat /proc/partitions", see=r"\bvdb\b", within=90),
            ),
            "a disk vdb that was not there before",
            look,
            why=f"openstack {status}",
            service=VOLUME_SERVICE,
            past=beyond,
        ),
        Step(
            "write",
            "Formatted and written",
            (
                Command(
                    "here",
                    "$FIRST 'mkfs.ext4 -q -F /dev/vdb && mount /dev/vdb /mnt"
                    " && echo written on $(hostname) >/mnt/note; umount /mnt'",
                ),
                Command(
                    "here",
                    "$FIRST 'mount -r /dev/vdb /mnt && cat /mnt/note; umount /mnt'",
                    see=f"written on {FIRST}",
                ),
            ),
            "the line that was written",
            (place.on(place.controller, f"openstack console log show {FIRST}"),),
            service=VOLUME_SERVICE,
            past=beyond,
        ),
        Step(
            "detach",
            "Detached again",
            (
                _openstack(f"server remove volume {FIRST} {NAME}", removes=f"volume at {FIRST}"),
                _openstack(status, see="available", never="error", within=90),
            ),
            "available",
            look,
            service=VOLUME_SERVICE,
            past=beyond,
        ),
        Step(
            "read",
            "Attached to the second guest, and read",
            (
                _openstack(f"server add volume {SECOND} {NAME}", makes=beyond),
                Command(
                    "here",
                    "$SECOND 'mount -r /dev/vdb /mnt && cat /mnt/note; umount /mnt'",
                    see=f"written on {FIRST}",
                    within=90,
                ),
            ),
            "what the first guest has written",
            look,
            why=f"openstack {status}",
            service=VOLUME_SERVICE,
        ),
    )


def tidy(place: Place) -> tuple[Command, ...]:
    """What removes all that the exercise makes; what stands on something goes before it."""
    return (
        *(_openstack(f"server delete --wait {name}", removes=name) for name in (FIRST, SECOND)),
        _openstack(f"volume delete {NAME}", removes="volume", within=60),
        *(
            _openstack(f"floating ip delete {address}", removes=f"floating ip {address}")
            for address in (place.first, place.second)
        ),
        _openstack(f"server group delete {NAME}", removes="server group"),
        _openstack(f"router remove subnet {NAME} {NAME}", removes="router interface", within=60),
        _openstack(f"router delete {NAME}", removes="router", within=60),
        _openstack(f"network delete {NAME}", removes="network", within=60),
        _openstack(f"security group delete {NAME}", removes="security group", within=60),
        _openstack(f"keypair delete {NAME}", removes="keypair"),
        _openstack(f"flavor delete {NAME}", removes="flavor"),
        Command("controller", f"rm -f {NAME}.pub", removes="public key file"),
        Command("here", f"rm -f {KEY} {KEY}.pub", removes="key file"),
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
