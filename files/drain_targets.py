"""Where guests of computes that are to have none could go, as Nova's scheduler will look at it.

Placement says who has the room and the traits; what it does not know is cut away after that: closed
computes, a zone that was asked for, server groups, PCI devices. What a guest holds is read from
Placement; what its scheduler is told from Nova's record of it (request_specs), because no API of
Zed tells the zone that was asked for.

A guest of a compute that is DEAD is evacuated: it may be in ERROR, and less can be done about it.

found() answers {uuid: {"hosts": [hosts of nova-compute], "needs": {resource class: amount},
                        "new": [those that Nova does not know yet, but will by the time that guests
                                are moved: nobody can say what they will have],
                        "free": {host: {resource class: amount}}, "why": text where there is none,
                        "bound": text that keeps it from moving while it runs|null,
                        "group": {"id", "name", "left": {host: how many more of its server group may
                                  be there}}|null where it is in none that keeps apart}}
"""

import json
import re

import nova_state
import rest
from compute_states import BY_ITSELF

# 1.33: groups of any name in a request; 1.35: what the root has to have and not to have. Placement
# answers up to 1.36 since Wallaby.
PLACEMENT = {"OpenStack-API-Version": "placement 1.36"}
MOST = 1000
"""Candidates that Nova's scheduler itself asks for (max_placement_results)."""
SPEC = re.compile(r"^(resources|trait)([a-zA-Z0-9_-]{1,64})?:(.+)$")
"""nova/scheduler/utils.py, ResourceRequest.XS_KEYPAT."""
HOST = "OS-EXT-SRV-ATTR:host"
STATE, TASK = "OS-EXT-STS:vm_state", "OS-EXT-STS:task_state"
MOVING = ("active", "paused", "stopped")
EVACUATED = ("active", "stopped", "error")
"""nova/compute/api.py, evacuate."""
WORDS = {"VCPU": "{} vCPU", "PCPU": "{} CPUs of its own", "MEMORY_MB": "{} MiB of memory"}
WORDS["DISK_GB"] = "{} GiB of disk"
CLOSED = "COMPUTE_STATUS_DISABLED"
POLICIES = ("affinity", "anti-affinity")
"""Those that Nova keeps to; it only prefers what the soft ones say."""
FEW = 3


def found(reader, guests, services, request, dead=False):
    states = EVACUATED if dead else MOVING
    guests = [guest for guest in guests if guest[STATE] in states and not guest[TASK]]
    if not guests:
        return {}
    specs = read_specs([guest["id"] for guest in guests], request)
    takes = {host for host, service in services.items() if takes_guests(service, request)}
    new = sorted(set(request["opening"]) - set(services))
    anew = any(services[host].get("status") != "enabled" for host in takes)
    places = Places(reader, anew)
    groups = Groups(reader, dead)
    answers = {}
    for guest in guests:
        spec = specs.get(guest["id"])
        known, spec = spec is not None, spec or {}
        cuts = (
            *(recorded(known), sealed(guest, spec, dead), opened({*takes, *new})),
            *(zoned(spec, services), groups.cut(guest, spec)),
        )
        found = target(guest, spec, places, cuts, new)
        answers[guest["id"]] = {**found, "group": groups.left(guest, spec, found["hosts"])}
    return answers


def target(guest, spec, places, cuts, new):
    needs, query = wanted(guest, spec, places.held(guest))
    hosts, free, problem = places.candidates(query)
    left = [host for host in hosts if host not in places.hosts]
    why = problem or "no other compute has {}: open or add one".format(in_words(needs, query))
    for allows, said in cuts:
        kept = [host for host in left if allows(host)]
        if left and not kept:
            why = said(", ".join(left[:FEW]))
        left = kept
    return {
        "hosts": left,
        "new": [host for host in new if all(allows(host) for allows, _ in cuts)],
        "needs": needs,
        "free": {host: free[host] for host in left},
        "why": "" if left else why,
        "bound": bound(spec),
    }


# --- what the scheduler is told -------------------------------------------------------------------


def data(value):
    """The fields of one of Nova's objects as it is stored."""
    return value.get("nova_object.data", {}) if isinstance(value, dict) else {}


def image_properties(spec):
    return data(data(spec.get("image")).get("properties"))


def read_specs(uuids, request):
    """What Nova keeps of each guest for its scheduler."""
    # They are Nova's own; quoted all the same, as they become a part of a statement.
    words = ", ".join("'{}'".format(re.sub("[^0-9A-Za-z-]", "", uuid)) for uuid in uuids)
    where = f" WHERE instance_uuid IN ({words})"

    def look(connection, asked):
        name, what = asked["names"]["api"], "instance_uuid, spec"
        return nova_state.read_table(connection, name, "request_specs", what, where)

    rows, error, _ = nova_state.look(request, look)
    if error:
        raise rest.Failed(str(error))
    try:
        return {row["instance_uuid"]: data(json.loads(row["spec"])) for row in rows}
    except ValueError as error:
        raise rest.BadAnswer(f"request_specs holds no JSON: {error}") from None


def wanted(guest, spec, held):
    """What the guest needs of a compute, and the query for it."""
    needs = dict(held or by_flavor(guest))
    required, groups = [], {}
    for key, value in guest["flavor"].get("extra_specs", {}).items():
        match = SPEC.match(key)
        if not match:
            continue
        kind, suffix, name = match.groups()
        group = groups.setdefault(suffix, {"resources": [], "required": []}) if suffix else None
        if kind == "trait":
            term = name if value == "required" else "!" + name
            (group["required"] if group else required).append(term)
        elif group:
            group["resources"].append(f"{name}:{value}")
        elif value != "0":
            needs.setdefault(name, int(value) if value.isdigit() else 1)
    properties = image_properties(spec)
    required += properties.get("traits_required") or []
    named = {part.partition(":")[0] for group in groups.values() for part in group["resources"]}
    own = ",".join(f"{name}:{needs[name]}" for name in sorted(needs) if name not in named)
    query = {"resources": own, "required": ",".join(sorted(required))}
    for suffix, group in groups.items():
        if group["resources"]:
            query.update((key + suffix, ",".join(value)) for key, value in group.items())
    if sum(key.startswith("resources") and key != "resources" for key in query) > 1:
        query["group_policy"] = guest["flavor"]["extra_specs"].get("group_policy", "none")
    return needs, {key: value for key, value in query.items() if value}


def by_flavor(guest):
    """What Nova asks for where Placement has no allocation of the guest."""
    flavor = guest["flavor"]
    disk = flavor["disk"] if guest.get("image") else 0
    disk += flavor["ephemeral"] + -(-flavor["swap"] // 1024)
    needs = {"VCPU": flavor["vcpus"], "MEMORY_MB": flavor["ram"], "DISK_GB": disk}
    return {name: amount for name, amount in needs.items() if amount}


def in_words(needs, query):
    texts = [WORDS.get(name, "{} " + name).format(needs[name]) for name in sorted(needs)]
    traits = query.get("required")
    return ", ".join(texts) + " free" + (f" and the traits {traits}" if traits else "")


def bound(spec):
    """The PCI devices of the flavor, which no live migration takes along unless they say so."""
    requests = data(spec.get("pci_requests")).get("requests") or []
    names = []
    for each in map(data, requests):
        devices = each.get("spec") or []
        if each.get("alias_name") and not all(d.get("live_migratable") == "true" for d in devices):
            names.append(each["alias_name"])
    return "PCI device " + ", ".join(names) if names else None


# --- Placement ------------------------------------------------------------------------------------


class Places:
    """The computes as Placement knows them; who asks for the same is answered the same.

    ANEW, where some will be opened, those that are closed are asked for, too.
    """

    def __init__(self, reader, anew):
        self.hosts = reader.hosts
        self.more = f"&limit={MOST}"
        if not anew:
            self.more += "&root_required=" + rest.quoted("!" + CLOSED)
        placement = reader.cloud.placement
        self.placement = rest.Client(placement.url, {**placement.headers, **PLACEMENT})
        path = "/os-hypervisors/detail"
        listed = reader.compute.listed(path, "hypervisors", "id", "service")
        reader.compute.require(path, [each["service"] for each in listed], ["host"])
        self.host_of = {each["id"]: each["service"]["host"] for each in listed}
        self.allocations = {}
        for uuid, host in self.host_of.items():
            if host in self.hosts:
                path = f"/resource_providers/{uuid}/allocations"
                self.allocations[host] = self.placement.get(path, "allocations")["allocations"]
        self.answers = {}

    def held(self, guest):
        """What the guest has allocated on its compute."""
        allocation = self.allocations.get(guest[HOST], {}).get(guest["id"]) or {}
        return allocation.get("resources")

    def candidates(self, query):
        """The hosts that Placement names, what each has free, and its words where it refuses."""
        words = "&".join(f"{key}={rest.quoted(value)}" for key, value in sorted(query.items()))
        path = f"/allocation_candidates?{words}{self.more}"
        if path not in self.answers:
            self.answers[path] = self._asked(path)
        return self.answers[path]

    def _asked(self, path):
        try:
            body = self.placement.get(path, "allocation_requests", "provider_summaries")
        except rest.ErrorStatus as error:
            if error.status != 400:  # a trait that nobody knows, say
                raise
            return [], {}, str(error)
        summaries = body["provider_summaries"]
        hosts = {}
        for each in body["allocation_requests"]:
            for provider in each["allocations"]:
                root = summaries[provider].get("root_provider_uuid") or provider
                if root in self.host_of:
                    hosts[self.host_of[root]] = summaries.get(root, {}).get("resources", {})
        free = {
            host: {name: one["capacity"] - one["used"] for name, one in resources.items()}
            for host, resources in hosts.items()
        }
        return sorted(hosts), free, ""


# --- what Placement does not know: whether a host may be taken, and what is said if none may ------


def recorded(known):
    """Without a record Nova answers 500 (RequestSpecNotFound), to each who asks for a move."""
    text = (
        "Nova has no record of it for its scheduler (request_specs), and moves none such: make an "
        "image of it, and a new guest of that"
    )
    return (lambda host: known), lambda names: text


def sealed(guest, spec, dead=False):
    """An emulated TPM: nobody but its owner may read its secret in the key manager.

    Nova moves none alive (compute/api.py); a cold one gets there, and is in ERROR for want of the
    secret (doc/source/admin/emulated-tpm.rst, Limitations). From 2026.1 on others may keep it.
    """
    extra = guest["flavor"].get("extra_specs", {})
    has_tpm = extra.get("hw:tpm_version") or image_properties(spec).get("hw_tpm_version")
    is_his = bool(has_tpm) and (dead or extra.get("hw:tpm_secret_security", "user") == "user")
    text = (
        "it has an emulated TPM, whose secret only its owner may read: he can move it, by "
        "`openstack server resize` to another flavor, or delete it"
    )
    if dead:
        text = "it has an emulated TPM, and Nova evacuates none such: bring the host back"
    return (lambda host: not is_his), lambda names: text


def takes_guests(service, request):
    """Whether a compute does, or will by the time that guests are moved.

    Placement learns late that one was closed, and never that it is down.
    """
    if service.get("state") != "up" or service["host"] in request["closing"]:
        return False
    if service.get("status") == "enabled":
        return True
    reason = service.get("disabled_reason") or ""
    return service["host"] in request["opening"] and not reason.startswith(BY_ITSELF)


def opened(takes):
    return (
        lambda host: host in takes
    ), lambda names: f"{names} would have room, but takes no guests: open one"


def zoned(spec, services):
    """The availability zone that was asked for when the guest was made, if one was."""
    zone = spec.get("availability_zone")

    def said(names):
        text = (
            "it was made for availability zone {0}, where {1} is not: open or add a compute in {0}"
        )
        return text.format(zone, names)

    def allows(host):
        # One that is new may come to be in any zone: an aggregate says so.
        return zone is None or host not in services or services[host].get("zone") == zone

    return allows, said


class Groups:
    """Server groups with their members' hosts, each read once."""

    def __init__(self, reader, dead=False):
        self.reader = reader
        self.dead = dead
        self.known = {}

    def read(self, uuid):
        if uuid not in self.known:
            path = "/os-server-groups/" + rest.quoted(uuid)
            fields = ("id", "name", "policy", "members")
            found = self.reader.compute.one(path, "server_group", *fields, allowed=(404,))
            self.known[uuid] = found
        return self.known[uuid]

    def of(self, guest, spec):
        """The guest's group, if that says where it may be, and the hosts of its other members."""
        uuid = data(spec.get("instance_group")).get("uuid")
        group = self.read(uuid) if uuid else None
        if not group or group["policy"] not in POLICIES or guest["id"] not in group["members"]:
            return None, ()
        others = [member for member in group["members"] if member != guest["id"]]
        return group, [(self.reader.guest(member) or {}).get(HOST) for member in others]

    def cut(self, guest, spec):
        group, hosts = self.of(guest, spec)
        if not group:
            return (lambda host: True), None
        text = "server group {} ({}) keeps it from ".format(group["name"], group["policy"])
        if group["policy"] == "affinity":
            # Its own host counts, so Nova moves no guest of such a group that is alone there.
            anew = ": `openstack server shelve --offload {0}`, then `openstack server unshelve {0}`"
            anew = ": bring the host back" if self.dead else anew.format(guest["id"])
            return (lambda host: host in (*hosts, guest[HOST])), lambda names: text + names + anew
        most = most_of(group)
        more = ", where its members are: open or add a compute"
        return (lambda host: hosts.count(host) < most), lambda names: text + names + more

    def left(self, guest, spec, targets):
        """How many more members may be on each of TARGETS, where a group keeps them apart."""
        group, hosts = self.of(guest, spec)
        if not group or group["policy"] == "affinity":
            return None
        most = most_of(group)
        return {
            **{"id": group["id"], "name": group["name"]},
            "left": {host: most - hosts.count(host) for host in targets},
        }


def most_of(group):
    """Nova keeps to 1 on a host where no rule says otherwise."""
    return int((group.get("rules") or {}).get("max_server_per_host") or 1)
