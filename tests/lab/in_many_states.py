"""Guests on one compute in as many states as a lab can have, as a drain finds them."""

from __future__ import annotations

from lab.workshop.steps import FIRST, SECOND

from .conftest import on
from .guests import ON, becomes
from .test_moves import eventually, move_alive, openstack, place

PREFIX = "drain-"
FLAVOR, LARGER, GROUP = f"{PREFIX}flavor", f"{PREFIX}larger", f"{PREFIX}apart"
CREATE = f"server create {ON} --flavor {FLAVOR} --image tiny --nic none"
HERE = (
    *("runs", "paused", "stopped", "suspended", "rescued", "error", "resized", "apart"),
    *("shelved", "offloaded", "deleted"),
)
"""The guests on compute1, by what becomes of them before it is drained."""
VOLUME = f"{PREFIX}volume"
"""One there whose disk is a volume."""
STATES = {
    "paused": ("server pause {}", "PAUSED"),
    "stopped": ("server stop {}", "SHUTOFF"),
    "suspended": ("server suspend {}", "SUSPENDED"),
    "rescued": ("server rescue {}", "RESCUE"),
    "error": ("server set --state error {}", "ERROR"),
    "resized": (f"server resize --flavor {LARGER} {{}}", "VERIFY_RESIZE"),
}
KEPT, CONF = "/root/nova.conf.kept", "/etc/nova/nova.conf"
KEEP_SHELVED = (
    f"cp -p {CONF} {KEPT} && printf '[DEFAULT]\\nshelved_offload_time = -1\\n' >>{CONF}"
    " && systemctl restart nova-compute"
)
OFFLOAD_SHELVED = f"mv {KEPT} {CONF} && systemctl restart nova-compute"
ROOMY = (
    "for id in $(openstack resource provider list -f value -c uuid); do"
    " openstack resource provider inventory set --amend --resource VCPU:allocation_ratio=16 $id;"
    " done"
)
"""As Nova has it until Zed; with the 4 of later releases two cores have no room for all guests."""
GONE = (
    f"for id in $(openstack server list --name {PREFIX} -f value -c ID); do"
    " openstack server delete --force --wait $id || openstack server delete --wait $id; done;"
    f" openstack flavor delete {FLAVOR} {LARGER}; openstack server group delete {GROUP};"
    " openstack quota set --instances 10 admin;"
    f" sleep 5; openstack volume delete {VOLUME}"
)


def make_guests() -> None:
    openstack(f"server delete --wait {SECOND}")
    openstack(f"quota set --instances {2 * len(HERE)} admin")
    if place(FIRST) != "compute1":
        move_alive(FIRST)
    assert on("controller", ROOMY).returncode == 0
    openstack(f"flavor create --vcpus 1 --ram 128 --disk 0 {FLAVOR}")
    openstack(f"flavor create --vcpus 1 --ram 160 --disk 0 {LARGER}")
    openstack(f"server group create --policy anti-affinity {GROUP}")
    hint = f"--hint group=$(openstack server group show -f value -c id {GROUP})"
    openstack(f"{CREATE} --host compute2 {hint} {PREFIX}companion")
    openstack(f"volume create --size 1 --bootable {VOLUME}")
    for name in HERE:
        more = hint if name == "apart" else ""
        openstack(f"{CREATE} --host compute1 {more} {PREFIX}{name}")
    assert all(becomes(PREFIX + name, "ACTIVE") for name in (*HERE, "companion"))
    has_volume = f"volume show -f value -c status {VOLUME}"
    assert eventually(lambda: "available" in openstack(has_volume))
    create = CREATE.replace("--image tiny", f"--volume {VOLUME}")
    openstack(f"{create} --host compute1 {VOLUME}")
    assert becomes(VOLUME, "ACTIVE")
    shelve()
    for name, (words, wanted) in STATES.items():
        openstack(words.format(PREFIX + name))
        assert becomes(PREFIX + name, wanted)


def shelve() -> None:
    """One stays on its compute with its disk, one leaves it at once, as Nova has it by default."""
    assert on("compute1", KEEP_SHELVED).returncode == 0
    openstack(f"server shelve {PREFIX}shelved")
    assert becomes(f"{PREFIX}shelved", "SHELVED")
    assert on("compute1", OFFLOAD_SHELVED).returncode == 0
    openstack(f"server shelve {PREFIX}offloaded")
    assert becomes(f"{PREFIX}offloaded", "SHELVED_OFFLOADED")
    assert place(f"{PREFIX}shelved") == "compute1"
    assert eventually(lambda: place(f"{PREFIX}offloaded") == "None")
