"""The exercise, data only: all steps in their order, and what undoes them.

`docs/workshop.md` has the same commands to type.
"""

from __future__ import annotations

from lab.workshop.groundwork import groundwork
from lab.workshop.guests import guests
from lab.workshop.place import Place
from lab.workshop.steps import FIRST, KEY, NAME, SECOND, Command, Step, openstack
from lab.workshop.volumes import volumes


def exercise(place: Place) -> tuple[Step, ...]:
    """All steps, in their order."""
    return (*groundwork(place), *guests(place), *volumes(place))


def tidy(place: Place) -> tuple[Command, ...]:
    """What removes all that the exercise makes; what stands on something goes before it."""
    return (
        *(openstack(f"server delete --wait {name}", removes=name) for name in (FIRST, SECOND)),
        openstack(f"volume delete {NAME}", removes="volume", within=60),
        *(
            openstack(f"floating ip delete {address}", removes=f"floating ip {address}")
            for address in (place.first, place.second)
        ),
        openstack(f"server group delete {NAME}", removes="server group"),
        openstack(f"router remove subnet {NAME} {NAME}", removes="router interface", within=60),
        openstack(f"router delete {NAME}", removes="router", within=60),
        openstack(f"network delete {NAME}", removes="network", within=60),
        openstack(f"security group delete {NAME}", removes="security group", within=60),
        openstack(f"keypair delete {NAME}", removes="keypair"),
        openstack(f"flavor delete {NAME}", removes="flavor"),
        Command("controller", f"rm -f {NAME}.pub", removes="public key file"),
        Command("here", f"rm -f {KEY} {KEY}.pub", removes="key file"),
    )
