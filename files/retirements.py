"""What Nova and its neighbours have of computes that are to be none any more, and have it go.

Request: {"auth_url", "region", "interface", "places", "admin": as for cloud_objects.py,
          "database", "names": as for nova_state.py, "user": who runs nova-manage,
          "broker": {"hosts", "port", "user", "password", "virtual_host"},
          "hosts": [hosts of nova-compute],
          "there": bool, whether Nova's tables have to be there: before a first deploy none is}
Answer:  {"left": {host: {
              "guests": [uuids], "moves": [uuids of guests with one that has not ended],
              "unconfirmed": [uuids of those whose waits to be confirmed],
              "unconfirmable": [uuids of those whose waits for that and is not let],
              "service": uuid|null, "nodes": [uuids], "cell": uuid of that it is mapped to|null,
              "aggregates": [{"id", "name"}], "providers": [{"uuid", "name"}], leaves first,
              "agents": [{"id", "kind", "alive", "bound"}], "queues": [names]}},
          "error": text|null, "early": bool} with `early` as in nova_state.py
With "retire": host in the request what is left of that one goes, in this order: out of aggregates,
which Nova wants a mapped host for; the service, with which Nova deletes node, provider and mapping;
whatever of these it has left; queues; Neutron's agents that are dead, unless routers or networks
are `bound` to them, so many. nova-compute there has to be stopped before. Answer: {}. What goes is
read again right before, and so is whether a guest is there; once there is no whole answer nothing
more goes, and the next run begins with what is left.
"""

import struct
import subprocess
import time

import cloud_session
import messaging
import nova_state
import provider_allocations
import rest
from nova_tables import FINISHED_SQL
from retired_rows import read_rows

PATIENCE = 300
"""Seconds that a nova-manage may take."""
DROPPED = 15
"""Seconds in which the broker has noticed that who has just been stopped listens no more."""
QUEUES = ("compute", "compute-alt")
"""The topics of a compute; the second since Nova 33 (nova/compute/rpcapi.py)."""
BOUND = {"L3 agent": ("l3-routers", "routers"), "DHCP agent": ("dhcp-networks", "networks")}
"""What Neutron forgets with an agent, where it is, and what it is called there."""
MOVES = {
    "moves": "has moves under way of guests",
    "unconfirmed": "has moves that wait for `openstack server resize confirm` of guests",
    "unconfirmable": "has moves that nobody can confirm (see `./run audit`) of guests",
}
ANEW = "set its state to 'drained' and deploy, then to 'retired'"
SILENCE = (OSError, ValueError, struct.error, IndexError)


# --- what the others say --------------------------------------------------------------------------


class Cloud:
    """The APIs and the broker, as this asks them."""

    def __init__(self, request):
        self.session = cloud_session.Cloud(request)
        self.compute = self.session.compute
        self.placement = provider_allocations.client(self.session.placement)
        self.network = self.session.api("network", {})
        self.brokers = [{**request["broker"], "host": host} for host in request["broker"]["hosts"]]

    def broker(self, ask, *arguments):
        """What the first node of the broker that answers says to ASK."""
        said = None
        for broker in self.brokers:
            try:
                return ask(broker, *arguments)
            except SILENCE as error:
                said = said or "RabbitMQ at {host}:{port}: {}".format(error, **broker)
        raise rest.Failed(said or "no node of RabbitMQ is known")

    def aggregates(self):
        return self.compute.listed("/os-aggregates", "aggregates", "id", "name", "hosts")

    def providers(self):
        fields = ("uuid", "name", "root_provider_uuid", "parent_provider_uuid")
        return self.placement.listed("/resource_providers", "resource_providers", *fields)

    def agents(self):
        fields = ("id", "host", "agent_type", "alive")
        return self.network.listed("/v2.0/agents", "agents", *fields)

    def bound(self, uuid, kind):
        """How many routers or networks are bound to an agent."""
        if kind not in BOUND:
            return 0
        place, key = BOUND[kind]
        # 404: it is gone, or it is of before OVN, with which no agent has any.
        path = "/v2.0/agents/{}/{}".format(rest.quoted(uuid), place)
        found = self.network.get(path, key, allowed=(404,))
        return len(found[key]) if found else 0


def trees(rows, providers, host):
    """The providers of the nodes that HOST has or had, and what is under them; leaves first.

    A node that another host has is that one's, whoever had it before; so is a name.
    """
    uuids, names = rows.names_of(host)
    living = [row for row in rows.nodes if not row["deleted"] and row["host"] != host]
    uuids -= {row["uuid"] for row in living}
    names -= {row["hypervisor_hostname"] for row in living} | {row["host"] for row in living}
    others = {row["uuid"] for row in living}
    roots = {
        each["uuid"]
        for each in providers
        if each["parent_provider_uuid"] is None
        and each["uuid"] not in others
        and (each["uuid"] in uuids or each["name"] in names)
    }
    mine = {each["uuid"]: each for each in providers if each["root_provider_uuid"] in roots}

    def depth(each):
        parent = each["parent_provider_uuid"]
        return 1 + depth(mine[parent]) if parent in mine else 0

    return sorted(mine.values(), key=depth, reverse=True)


def read_others(cloud, rows, left):
    """Add what the APIs and the broker have of the hosts to LEFT."""
    aggregates, providers, agents = cloud.aggregates(), cloud.providers(), cloud.agents()
    queues = [f"{topic}.{host}" for host in left for topic in QUEUES]
    there = cloud.broker(messaging.counts, queues)
    for host, found in left.items():
        found["aggregates"] = [
            {"id": each["id"], "name": each["name"]} for each in aggregates if host in each["hosts"]
        ]
        found["providers"] = [
            {"uuid": each["uuid"], "name": each["name"]} for each in trees(rows, providers, host)
        ]
        found["agents"] = [
            {
                **{"id": each["id"], "kind": each["agent_type"], "alive": each["alive"]},
                "bound": 0 if each["alive"] else cloud.bound(each["id"], each["agent_type"]),
            }
            for each in agents
            if each["host"] == host
        ]
        mine = (f"{topic}.{host}" for topic in QUEUES)
        found["queues"] = [name for name in mine if there[name] is not None]
    return left


def read(request):
    """An error is told, not raised: in a plan there may be nothing to ask yet."""
    found, error, early = nova_state.look(request, read_rows)
    if found is None or error:
        return {"left": {}, "error": str(error), "early": early}
    try:
        return {"left": read_others(Cloud(request), *found), "error": None, "early": False}
    except rest.Failed as error:
        return {"left": {}, "error": str(error), "early": False}


# --- what goes ------------------------------------------------------------------------------------


class Retirement:
    """One host goes; each look is at everything anew, and `left` is what the last has found."""

    def __init__(self, request):
        self.request = {**request, "hosts": [request["retire"]], "there": True}
        self.host = request["retire"]
        self.cloud = Cloud(request)
        self.look()

    def look(self):
        found, error, _ = nova_state.look(self.request, read_rows)
        if found is None or error:
            raise rest.Failed(f"Nova's databases could not be read: {error}")
        self.left = read_others(self.cloud, *found)[self.host]
        for what, verb in (("guests", "has guests"), *MOVES.items()):
            if self.left[what]:
                raise rest.Failed(f"{self.host} {verb}: " + ", ".join(self.left[what]))

    def nobody_listens(self):
        """A nova-compute that runs makes its records again; also one that has another's name."""
        queues, over = self.left["queues"], time.monotonic() + DROPPED
        while queues:
            counts = self.cloud.broker(messaging.consumers, queues)
            heard = next((queue for queue in queues if counts[queue]), None)
            if heard is None:
                return
            if time.monotonic() > over:
                text = "{} listen on queue {}: a nova-compute runs that says it is {}"
                raise rest.Failed(text.format(counts[heard], heard, self.host))
            time.sleep(1)

    def leave(self, aggregate):
        path = "/os-aggregates/" + rest.quoted(aggregate["id"])
        found = self.cloud.compute.one(path, "aggregate", "hosts", allowed=(404,))
        if found and self.host in found["hosts"]:
            body = {"remove_host": {"host": self.host}}
            # 404: it lacks service or node (nova/compute/api.py remove_host_from_aggregate).
            if self.cloud.compute.call("POST", path + "/action", body, allowed=(404,)) is None:
                text = "Nova takes {} out of aggregate {} only as long as it has a nova-compute: "
                raise rest.Failed((text + ANEW).format(self.host, aggregate["name"]))

    def delete_service(self, uuid):
        path = f"/os-services?host={rest.quoted(self.host)}&binary=nova-compute"
        listed = self.cloud.compute.listed(path, "services", "id", "host", "binary")
        wanted = {"id": uuid, "host": self.host, "binary": "nova-compute"}
        if not any(wanted.items() <= each.items() for each in listed):
            text = "Nova's API lists no nova-compute on {} with the identifier {} of its database"
            raise rest.Failed(text.format(self.host, uuid))
        self.cloud.compute.call("DELETE", "/os-services/" + rest.quoted(uuid))

    def delete_provider(self, provider):
        """Nova passes over a provider that it cannot delete, and answers 204 all the same
        (nova/scheduler/client/report.py delete_resource_provider)."""
        placement, uuid = self.cloud.placement, provider["uuid"]
        if not provider_allocations.is_provider(placement, uuid):
            return
        path = "/resource_providers/" + rest.quoted(uuid)
        allocations = placement.get(path + "/allocations", "allocations")["allocations"]
        for consumer in sorted(allocations):
            self.is_nobody(consumer, provider)
            had = provider_allocations.held(placement, consumer)
            if uuid in had["allocations"]:
                provider_allocations.take_out(placement, consumer, had, [uuid])
        placement.call("DELETE", path, allowed=(404,))

    def is_nobody(self, consumer, provider):
        """Raise unless Nova itself has neither a guest nor a move under way that is called so."""
        what = None
        if nova_has(self.cloud.compute, "/servers/" + rest.quoted(consumer)):
            what = "guest"
        elif consumer in self.moves():
            what = "migration"
        if what:
            raise rest.Failed(
                f"{what} {consumer}, which Nova has, still has allocations of resource provider "
                "{name} ({uuid}): `./run audit` says what to do about it".format(**provider)
            )

    def moves(self):
        """All migrations that have not ended, by what Placement knows them by."""

        def open_ones(connection, request):
            where = f" WHERE deleted = 0 AND status NOT IN {FINISHED_SQL}"
            cell = request["names"]["cell1"]
            return nova_state.read_table(connection, cell, "migrations", "uuid", where)

        found, error, _ = nova_state.look(self.request, open_ones)
        if found is None or error:
            raise rest.Failed(f"Nova's databases could not be read: {error}")
        return {row["uuid"] for row in found}

    def unmap(self, cell):
        words = ("cell_v2", "delete_host", "--cell_uuid", cell, "--host", self.host)
        command = ["runuser", "-u", self.request["user"], "--", "nova-manage", *words]
        what = "nova-manage " + " ".join(words)
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise rest.Failed(f"`{what}`: {error}") from None
        if done.returncode:
            # What it has to say it prints; its libraries warn on the other channel.
            said = " ".join((done.stdout.strip() or done.stderr).split())[-300:]
            raise rest.Failed(f"`{what}` ended with {done.returncode}: {said}")

    def delete_agent(self, agent):
        """One that has come back to life meanwhile stays, and one that something is bound to."""
        path = "/v2.0/agents/" + rest.quoted(agent["id"])
        found = self.cloud.network.one(path, "agent", "host", "alive", allowed=(404,))
        is_dead = found and found["host"] == self.host and found["alive"] is False
        if is_dead and not self.cloud.bound(agent["id"], agent["kind"]):
            self.cloud.network.call("DELETE", path, allowed=(404,))

    def run(self):
        self.nobody_listens()
        for aggregate in self.left["aggregates"]:
            self.leave(aggregate)
        if self.left["service"]:
            self.delete_service(self.left["service"])
            self.look()
        if self.left["service"]:
            text = "Nova says that nova-compute on {} was deleted, and still has it as {}"
            raise rest.Failed(text.format(self.host, self.left["service"]))
        if self.left["nodes"]:
            text = (
                "Nova has no nova-compute on {} but its compute node {}, which only goes with one: "
            )
            raise rest.Failed((text + ANEW).format(self.host, ", ".join(self.left["nodes"])))
        for provider in self.left["providers"]:
            self.delete_provider(provider)
        if self.left["cell"] is not None:
            self.unmap(self.left["cell"])
        if self.left["queues"]:
            self.cloud.broker(messaging.delete_unused, self.left["queues"])
        for agent in self.dead():
            self.delete_agent(agent)
        self.see()

    def dead(self):
        return [one for one in self.left["agents"] if not one["alive"] and not one["bound"]]

    def see(self):
        """That it has gone is what another look says, not that nobody has refused."""
        self.look()
        kinds = ("service", "nodes", "cell", "aggregates", "providers", "queues")
        still = [kind for kind in kinds if self.left[kind] not in (None, [])]
        if still or self.dead():
            raise rest.Failed(
                f"after all was deleted {self.host} still has "
                + ", ".join(still + ["agents"] * bool(self.dead()))
            )


def nova_has(compute, path):
    """Whether there is something at PATH; not only where Nova itself says that there is none."""
    answer = compute.request("GET", path)
    if answer.status == 200:
        return True
    # A proxy's 404, or that of another service at this address, has no such word in it.
    if answer.status == 404 and "itemNotFound" in answer.json():
        return False
    raise rest.ErrorStatus(answer.said(), answer)


def answer(request):
    if "retire" not in request:
        return read(request)
    try:
        Retirement(request).run()
    except rest.Failed as error:
        raise SystemExit(str(error)) from None
    return {}
