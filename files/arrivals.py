"""Guests that a live migration has brought to its target, and that Nova has in ERROR all the same.

Two threads of nova-compute on the source tell Neutron at once to activate a port's binding on the
target: one when libvirt says that the guest has left, one when the move is over
(compute/manager.py, handle_lifecycle_event, _post_live_migration). Neutron answers the second with
500 where the two meet (plugins/ml2/plugin.py, activate). Where that is the second thread, Nova has
the guest on the target by then (_post_live_migration_update_host), and leaves out all that was to
follow: the state of the guest, the bindings of the source, the migration's allocation there, the
guest's folder.
"""

import newest_moves
import provider_allocations
import rest
from guest_records import HOST, POWER, STATE, TASK, NotNow, act, read_guest

LIVE, ERROR, ACTIVE = "live-migration", "error", "active"
TOLD_TWICE = "Failed to activate binding for port"
"""nova/exception.py, PortBindingActivationFailed."""
RUNNING = 1
"""nova/compute/power_state.py."""
BOUND, VNIC = "binding:host_id", "binding:vnic_type"
ATTACHED = "normal"
"""Any other kind is a device of its host's. Nova takes it from a guest that moves, and gives it one
of the target by what is left out here (virt/libvirt/driver.py, _reattach_instance_vifs)."""
DEVICE = "its port {} is a device of its host's ({}), which Nova may not have given it there"
BINDING = ("host", "status")
INACTIVE = "INACTIVE"


def ended_in_error(moves, hosts):
    """Those of MOVES, by guest, that are live migrations from HOSTS and have ended in error."""
    return {uuid: move for uuid, move in moves.items() if is_in_error(move, hosts)}


def is_in_error(move, hosts):
    return (
        move["migration_type"] == LIVE
        and move["status"] == ERROR
        and move["source_compute"] in hosts
        and move["dest_compute"] not in (None, move["source_compute"])
    )


def told_twice(guest, move):
    """Whether it is this that has brought GUEST into ERROR, after its MOVE had begun."""
    fault = guest.get("fault") or {}
    if guest[STATE] != ERROR or TOLD_TWICE not in str(fault.get("message")):
        return False
    return newest_moves.moment(fault.get("created")) >= newest_moves.moment(move["created_at"])


def held_by(cloud, move):
    """What MOVE has in Placement of its source, which should have given it back."""
    # 2.59: under which identifier.
    cloud.compute.require("/os-migrations", [move], ["uuid"])
    return provider_allocations.held(provider_allocations.client(cloud.placement), move["uuid"])


# --- steps ----------------------------------------------------------------------------------------


def arrived(compute, guest, step, hosts):
    """The move of the step, by which GUEST is where Nova has it, and which is its newest."""
    move = newest_moves.of_guest(compute, guest["id"])
    if move is None or move["id"] != step["move"] or not is_in_error(move, hosts):
        raise NotNow("its live migration is another one by now")
    if guest[HOST] != move["dest_compute"]:
        raise NotNow("it is on {} by now".format(guest[HOST]))
    if guest[TASK]:
        raise NotNow("it is {} by now".format(guest[TASK]))
    return move


def arrived_broken(compute, guest, step, hosts):
    """The same of one that is in ERROR for having arrived so, and that Nova takes to run."""
    move = arrived(compute, guest, step, hosts)
    if not told_twice(guest, move):
        raise NotNow("it is {} by now".format(guest[STATE]))
    if guest[POWER] != RUNNING:
        raise NotNow("Nova has it in power state {}".format(guest[POWER]))
    return move


def set_active(cloud, guest, step, hosts):
    """Do what Nova has left out for who runs on the target by libvirt's word, and say so to it."""
    move = arrived_broken(cloud.compute, guest, step, hosts)
    # Later than Zed no administrator may change a binding, but a service (neutron/conf/policies).
    bind(cloud.as_nova("network"), guest["id"], move)
    again = read_guest(cloud.compute, guest["id"])
    if again is None:
        raise NotNow("Nova no longer has it")
    # Set active, it would be at nothing: a rebuild or a deletion that has begun would be forgotten.
    arrived_broken(cloud.compute, again, step, hosts)
    act(cloud.compute, guest["id"], {"os-resetState": {"state": ACTIVE}})
    found = read_guest(cloud.compute, guest["id"])
    if found is None or (found[STATE], found[TASK]) != (ACTIVE, None):
        raise NotNow("it was set active, and is {}".format(found and (found[TASK] or found[STATE])))


def bind(network, guest, move):
    """Have each port of GUEST be bound to the target of MOVE, and to its source no more.

    As Nova does (network/neutron.py, migrate_instance_start, setup_networks_on_host). What is left
    of the source would keep the guest from ever moving back (bind_ports_to_host).
    """
    ports = ports_of(network, guest)
    if not ports:
        raise NotNow("Neutron has no port of it")
    source, target = move["source_compute"], move["dest_compute"]
    for port in ports:
        if port[BOUND] not in (source, target):
            raise NotNow("its port {} is bound to {}".format(port["id"], port[BOUND]))
        if port[VNIC] != ATTACHED:
            raise NotNow(DEVICE.format(port["id"], port[VNIC]))
    for port in ports:
        if bindings_of(network, port).get(target) == INACTIVE:
            activate(network, port, target)
    for port in ports_of(network, guest):
        known = bindings_of(network, port)
        if port[BOUND] != target or known.get(target) != "ACTIVE":
            raise NotNow("its port {} is not bound to {}".format(port["id"], target))
        if known.get(source) == INACTIVE:
            path = "{}/{}".format(bindings(port), rest.quoted(source))
            network.call("DELETE", path, allowed=(404,))


def activate(network, port, target):
    """What Neutron says to that with an error is said; the guest stays as it is for Nova."""
    path = "{}/{}/activate".format(bindings(port), rest.quoted(target))
    try:
        network.call("PUT", path, allowed=(409,))  # 409: somebody has just done so
    except rest.ErrorStatus as error:
        raise NotNow(str(error)) from None


def ports_of(network, guest):
    names = ("id", BOUND, VNIC)
    path = "/v2.0/ports?device_id={}".format(rest.quoted(guest))
    path += "".join("&fields={}".format(rest.quoted(name)) for name in names)
    return network.listed(path, "ports", *names)


def bindings(port):
    return "/v2.0/ports/{}/bindings".format(rest.quoted(port["id"]))


def bindings_of(network, port):
    """The status of each binding of PORT, by host."""
    listed = network.listed(bindings(port), "bindings", *BINDING)
    return {each["host"]: each["status"] for each in listed}


def free(cloud, guest, step, hosts):
    """Take out of Placement what a move still has at its source, once its guest is well."""
    move = arrived(cloud.compute, guest, step, hosts)
    # Before what it rests on is read again: who changes it from here on wins.
    had = held_by(cloud, move)
    if not had["allocations"]:
        return
    again = read_guest(cloud.compute, guest["id"])
    if again is None:
        raise NotNow("Nova no longer has it")
    arrived(cloud.compute, again, step, hosts)
    if again[STATE] == ERROR:
        raise NotNow("it is in error")
    placement = provider_allocations.client(cloud.placement)
    provider_allocations.take_out(placement, move["uuid"], had)
