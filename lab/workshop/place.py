"""Where the exercise takes place: the lab's hosts and addresses, and the words that reach them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lab.settings import LabSettings
from lab.shell import LabError
from lab.workshop.steps import KEY


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
