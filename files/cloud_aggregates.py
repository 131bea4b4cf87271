"""Host aggregates with their zones, hosts, metadata, and the traits that these ask for."""

import re

import rest
from cloud_session import changed_meanwhile, with_was

FIELDS = ("id", "name", "hosts", "metadata", "availability_zone")


class Aggregates:
    def __init__(self, cloud):
        self.cloud = cloud
        self.compute = cloud.compute

    def compare(self, declared):
        listed = self.compute.listed("/os-aggregates", "aggregates", *FIELDS)
        found = {aggregate["name"]: aggregate for aggregate in listed}
        path = "/os-services?binary=nova-compute"
        self.registered = {row["host"] for row in self.compute.listed(path, "services", "host")}
        for name, wanted in declared.items():
            aggregate = found.get(name)
            if wanted.get("absent"):
                if aggregate:
                    self.remove(aggregate, wanted)
                continue
            self.other_zone(name, wanted, listed, declared)
            if aggregate is None:
                zone = wanted.get("availability_zone")
                text = f"create aggregate {name}" + (
                    f" in availability zone {zone}" if zone else ""
                )
                aggregate = {"name": name, "hosts": [], "metadata": {}, "availability_zone": zone}
                self.cloud.do(text, self.create, aggregate)
            self.aggregate(aggregate, wanted)

    def other_zone(self, name, wanted, listed, declared):
        """Nova puts no host into two zones; what this run changes itself is left for it to say."""
        zone = wanted.get("availability_zone")
        for other in listed:
            held = other["availability_zone"]
            if other["name"] in declared or not zone or held in (None, zone):
                continue
            for host in wanted.get("hosts", ()):
                if host in other["hosts"]:
                    text = (
                        "host {} is in availability zone {} by aggregate {}, so it cannot be in {}"
                    )
                    self.cloud.refused.append(text.format(host, held, other["name"], zone))

    def create(self, aggregate):
        body = {"name": aggregate["name"]}
        if aggregate["availability_zone"]:
            body["availability_zone"] = aggregate["availability_zone"]
        made = self.compute.call("POST", "/os-aggregates", {"aggregate": body}).get("aggregate")
        if not isinstance(made, dict) or "id" not in made:
            raise rest.BadAnswer("POST /os-aggregates answers without an aggregate")
        # What follows in this run is done to the one that there is now.
        aggregate["id"] = made["id"]

    def aggregate(self, aggregate, wanted):
        name = aggregate["name"]
        zone = wanted.get("availability_zone")
        if zone and aggregate["availability_zone"] != zone:
            text = f"aggregate {name}: availability zone {zone}"
            body = {"aggregate": {"availability_zone": zone}}
            text = with_was(text, aggregate["availability_zone"])
            self.cloud.do(text, self.update, aggregate, body)
        hosts = wanted.get("hosts", [])
        for host in hosts:
            if host not in aggregate["hosts"] and self.is_registered(host, name):
                action = {"add_host": {"host": host}}
                self.cloud.do(f"aggregate {name}: add host {host}", self.act, aggregate, action)
        for host in aggregate["hosts"] if wanted.get("only_these_hosts") else ():
            if host not in hosts:
                self.take_out(aggregate, host)
        for key, value in wanted.get("metadata", {}).items():
            before = aggregate["metadata"].get(key)
            if before != value:
                what = f"no metadata {key}" if value is None else f"metadata {key} {value}"
                text = with_was(f"aggregate {name}: {what}", before)
                self.cloud.do(text, self.set_metadata, aggregate, key, value)

    def is_registered(self, host, name):
        if host in self.registered:
            return True
        if host in self.cloud.request["left_out"]:
            text = (
                "host {} is not in aggregate {}: this run leaves it out, and Nova does not know it"
            )
            self.cloud.remarks.append(text.format(host, name))
            return False
        if host not in self.cloud.unregistered:
            self.cloud.unregistered.append(host)
        return True

    def update(self, aggregate, body):
        self.compute.call("PUT", "/os-aggregates/{}".format(aggregate["id"]), body)

    def set_metadata(self, aggregate, key, value):
        if value is None and key not in (self.read(aggregate) or {"metadata": ()})["metadata"]:
            return
        self.act(aggregate, {"set_metadata": {"metadata": {key: value}}})

    def act(self, aggregate, action):
        self.compute.call("POST", "/os-aggregates/{}/action".format(aggregate["id"]), action)

    # --- what goes --------------------------------------------------------------------------------

    def take_out(self, aggregate, host):
        text = "aggregate {}: take host {} out".format(aggregate["name"], host)
        self.cloud.do(text, self.remove_host, aggregate, host, early=True)

    def read(self, aggregate):
        """An aggregate as it is now; None where Nova says that there is none."""
        path = "/os-aggregates/{}".format(aggregate["id"])
        now = self.compute.one(path, "aggregate", *FIELDS, allowed=(404,))
        if now and now["name"] != aggregate["name"]:
            raise changed_meanwhile("aggregate " + aggregate["name"])
        return now

    def remove_host(self, aggregate, host):
        now = self.read(aggregate)
        if now and host in now["hosts"]:
            self.act(aggregate, {"remove_host": {"host": host}})

    def remove(self, aggregate, wanted):
        name = aggregate["name"]
        others = [host for host in aggregate["hosts"] if host not in wanted.get("hosts", ())]
        if others:
            text = (
                "aggregate {} is not removed: {} {} in it; name under `hosts` what may be taken out"
            )
            verb = "is" if len(others) == 1 else "are"
            self.cloud.refused.append(text.format(name, ", ".join(others), verb))
            return
        for host in aggregate["hosts"]:
            self.take_out(aggregate, host)
        self.cloud.do(f"remove aggregate {name}", self.delete_empty, aggregate, early=True)

    def delete_empty(self, aggregate):
        now = self.read(aggregate)
        if now is None:
            return
        if now["hosts"]:
            raise rest.Failed("{} is in it".format(", ".join(now["hosts"])))
        path = "/os-aggregates/{}".format(aggregate["id"])
        self.compute.call("DELETE", path, allowed=(404,))


# --- traits ---------------------------------------------------------------------------------------


class Traits:
    """The traits that make an aggregate's `trait:X: required` effective, on its hosts."""

    def __init__(self, cloud):
        self.cloud = cloud

    def compare(self, aggregates, flavors):
        wanted = {}
        for aggregate in aggregates.values():
            for trait in self.required(aggregate, "metadata", "trait:(.+)"):
                for host in aggregate.get("hosts", ()):
                    wanted.setdefault(host, set()).add(trait)
        if wanted:
            self.give(wanted)
        self.look_for(flavors, set().union(*wanted.values()))

    @staticmethod
    def required(thing, kind, pattern):
        if thing.get("absent"):
            return []
        keys = [key for key, value in thing.get(kind, {}).items() if value == "required"]
        return [found[1] for found in (re.fullmatch(pattern, key) for key in keys) if found]

    def give(self, wanted):
        path, fields = "/os-hypervisors/detail", ("id", "service")
        hypervisors = self.cloud.compute.listed(path, "hypervisors", *fields)
        self.cloud.compute.require(path, [each["service"] for each in hypervisors], ["host"])
        providers = {}
        for hypervisor in hypervisors:
            providers.setdefault(hypervisor["service"]["host"], []).append(hypervisor["id"])
        for host, traits in sorted(wanted.items()):
            for provider in providers.get(host, ()):
                self.provider_traits(host, provider, traits)

    def provider_traits(self, host, provider, traits):
        path = f"/resource_providers/{provider}/traits"
        missing = traits - set(self.cloud.placement.get(path, "traits")["traits"])
        for trait in sorted(missing):
            if trait.startswith("CUSTOM_"):
                self.cloud.do(f"give host {host} the trait {trait}", self.give_trait, path, trait)
            else:
                # The driver reports the standard ones and would take it away again.
                text = (
                    f"host {host} does not have the trait {trait}, so its aggregate gets no guest"
                )
                self.cloud.remarks.append(text)

    def give_trait(self, path, trait):
        self.cloud.placement.call("PUT", f"/traits/{trait}")
        change_provider(self.cloud.placement, path, "traits", more={trait})

    def look_for(self, flavors, given):
        """Say which flavor wants a trait that no host has."""
        wanted = {}
        for name, flavor in flavors.items():
            for trait in self.required(flavor, "extra_specs", "trait[^:]*:(.+)"):
                wanted.setdefault(trait, []).append(name)
        for trait, names in wanted.items():
            if trait not in given and not self.is_anywhere(trait):
                text = "no host has the trait {}, so no guest of flavor {} finds one"
                self.cloud.remarks.append(text.format(trait, ", ".join(names)))

    def is_anywhere(self, trait):
        # 400 is a trait that Placement has never heard of.
        path = f"/resource_providers?required={rest.quoted(trait)}"
        found = self.cloud.placement.get(path, "resource_providers", allowed=(400,))
        return bool(found and found["resource_providers"])


def change_provider(placement, path, key, more=frozenset(), less=frozenset()):
    """Have MORE in the list KEY at PATH of a resource provider, and none of LESS."""
    generation = "resource_provider_generation"
    for _ in range(3):
        # nova-compute may have changed the provider in between, which its generation tells.
        body = placement.get(path, key, generation)
        wanted = (set(body[key]) | more) - less
        if wanted == set(body[key]):
            return
        changed = {key: sorted(wanted), generation: body[generation]}
        if placement.call("PUT", path, changed, allowed=(409,)) is not None:
            return
    raise rest.Failed("the resource provider keeps changing")


def compare(cloud, declared):
    Aggregates(cloud).compare(declared)


def compare_traits(cloud, aggregates, flavors):
    Traits(cloud).compare(aggregates, flavors)
