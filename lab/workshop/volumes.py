"""The steps of a volume: it goes from one guest to the other with what was written."""

from __future__ import annotations

from lab.workshop.place import Place
from lab.workshop.steps import FIRST, NAME, SECOND, Command, Step, openstack

VOLUME_SERVICE = "block-storage"
# Messages of Cinder to its users came with version 3.3 of its API.
WHY = "openstack --os-volume-api-version 3.3 volume message list -f value -c 'User Message'"


def volumes(place: Place) -> tuple[Step, ...]:
    look = (
        place.on(place.controller, "'tail -n 20 /var/log/cinder/*.log'"),
        *(place.on(name, "tail -n 20 /var/log/nova/nova-compute.log") for name in place.computes),
    )
    status = f"volume show -f value -c status {NAME}"
    # A guest has its disk a moment before Cinder knows, which detaches nothing until then.
    attached = openstack(status, see="in-use", never="error", within=60)
    beyond = f"volume at {SECOND}"
    return (
        Step(
            "volume",
            "A volume: a disk that outlives guests",
            (
                openstack(f"volume create --size 1 {NAME}", makes="volume"),
                openstack(status, see="available|in-use", never="error", within=60),
            ),
            "available",
            look,
            why=WHY,
            service=VOLUME_SERVICE,
        ),
        Step(
            "attach",
            "Attached to the first guest while it runs",
            (
                openstack(f"server add volume {FIRST} {NAME}", makes=f"volume at {FIRST}"),
                attached,
                Command("here", "$FIRST cat /proc/partitions", see=r"\bvdb\b", within=90),
            ),
            "in-use, and a disk vdb that was not there before",
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
                openstack(f"server remove volume {FIRST} {NAME}", removes=f"volume at {FIRST}"),
                openstack(status, see="available", never="error", within=90),
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
                openstack(f"server add volume {SECOND} {NAME}", makes=beyond),
                attached,
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
