"""Keep all guests but one of their own from computes that are being proven.

Such a compute is in an aggregate whose metadata wants a trait that only the flavors of these guests
ask for (nova/scheduler/request_filter.py, isolate_aggregates). It takes all of this: the compute in
the aggregate, in Nova and in Placement; the trait on its provider, or its own guest finds no place;
[scheduler] enable_isolated_aggregate_filtering, and a scheduler that has read it.
"""

import cloud_aggregates
import rest
import units

NAME = "pyinfra-nova-joining"
TRAIT = "CUSTOM_PYINFRA_NOVA_JOINING"
WANTS = "trait:" + TRAIT
OPTION = "enable_isolated_aggregate_filtering"
TRUE = ("1", "true", "yes", "on")
"""What oslo.config takes for it, in any case."""
PROVIDERS = "/resource_providers"


def is_refused(error, *statuses):
    """Whether a service itself answers so: a proxy's page has no such object."""
    if error.status not in statuses:
        return False
    try:
        return bool(error.answer.json())
    except rest.BadAnswer:
        return False


class Isolation:
    """What keeps guests from the computes HOSTS, as it was when this was made."""

    def __init__(self, cloud, hosts):
        self.cloud = cloud
        self.hosts = hosts
        self.found = self._aggregate()
        self.providers = self._providers()
        self.members = set()
        if self.found:
            self.members = self._listed("member_of=" + rest.quoted(self.found["uuid"]))
        try:
            self.with_trait = self._listed("required=" + TRAIT)
        except rest.ErrorStatus as error:
            # A trait that Placement has never heard of.
            if not is_refused(error, 400):
                raise
            self.with_trait = set()

    def _aggregate(self):
        fields = ("id", "uuid", "name", "hosts", "metadata")
        self.aggregates = self.cloud.compute.listed("/os-aggregates", "aggregates", *fields)
        return next((found for found in self.aggregates if found["name"] == NAME), None)

    def _providers(self):
        """Those of the hosts, which have the identifiers of their nodes."""
        path, found = "/os-hypervisors/detail", {}
        listed = self.cloud.compute.listed(path, "hypervisors", "id", "service")
        self.cloud.compute.require(path, [each["service"] for each in listed], ["host"])
        for hypervisor in listed:
            found.setdefault(hypervisor["service"]["host"], []).append(hypervisor["id"])
        return {host: found.get(host, []) for host in self.hosts}

    def _listed(self, query):
        listed = self.cloud.placement.listed(f"{PROVIDERS}?{query}", "resource_providers", "uuid")
        return {provider["uuid"] for provider in listed}

    def is_known(self, host):
        return bool(self.found) and host in self.found["hosts"]

    def is_whole(self, host):
        """Whether nothing of it is missing. Nova only tries to tell Placement of an aggregate."""
        mine = set(self.providers[host])
        known = self.is_known(host) and self.found["metadata"].get(WANTS) == "required"
        return known and bool(mine) and mine <= self.with_trait and mine <= self.members

    def is_marked(self, host):
        """Whether something of it is there."""
        return self.is_known(host) or bool(set(self.providers[host]) & self.with_trait)

    def wanted(self, host):
        """What a flavor asks for whose guests are let onto the host: that of all its aggregates."""
        mine = [each["metadata"] for each in self.aggregates if host in each["hosts"]]
        keys = {key for metadata in mine for key, value in metadata.items() if value == "required"}
        return {key: "required" for key in keys | {WANTS} if key.startswith("trait:")}

    # --- changes ----------------------------------------------------------------------------------

    def keep(self, host):
        """All of it; done before the compute is enabled, so that there is no moment in between."""
        if self.found is None:
            self.cloud.compute.call("POST", "/os-aggregates", {"aggregate": {"name": NAME}})
            self.found = self._aggregate()
            if self.found is None:
                raise rest.Failed(f"Nova has made no aggregate {NAME}")
        if self.found["metadata"].get(WANTS) != "required":
            self._act({"set_metadata": {"metadata": {WANTS: "required"}}})
        if not self.is_known(host):
            self._act({"add_host": {"host": host}})
        traits = cloud_aggregates.Traits(self.cloud)
        for provider in self.providers[host]:
            path = f"{PROVIDERS}/{provider}"
            self._change(path, "aggregates", more={self.found["uuid"]})
            if provider not in self.with_trait:
                traits.give_trait(path + "/traits", TRAIT)

    def end(self, host):
        """First the trait: without it a compute in the aggregate takes no guest at all.

        Cut off in between, it is still among those that are being proven.
        """
        for provider in self.providers[host]:
            self._change(f"{PROVIDERS}/{provider}", "traits", less={TRAIT})
        if self.is_known(host):
            self._act({"remove_host": {"host": host}})

    def _change(self, path, key, **change):
        cloud_aggregates.change_provider(self.cloud.placement, f"{path}/{key}", key, **change)

    def _act(self, action):
        path = "/os-aggregates/{}/action".format(rest.quoted(self.found["id"]))
        self.cloud.compute.call("POST", path, action)


# --- the scheduler of this host -------------------------------------------------------------------


def scheduler_fault(scheduler):
    """Why the scheduler of this host would send others' guests to such a compute; or None."""
    from oslo_config import cfg

    unit, sections = scheduler["unit"], {}
    for path in scheduler["reads"]:
        try:
            cfg.ConfigParser(path, sections).parse()
        except (OSError, ValueError, cfg.Error, cfg.ParseError):  # with a line, perhaps a secret
            return f"oslo.config cannot read {path} of {unit}"
    values = sections.get("scheduler", {}).get(OPTION, ["false"])
    if values[-1].lower() not in TRUE:
        return f"{unit} is not told to keep guests from it ([scheduler] {OPTION})"
    process = units.process(units.show([unit]).get(unit, {}))
    written = units.newest(scheduler["reads"])[0]
    started = units.process_started(process["pid"])
    if started < written:
        return f"{unit} has not been started since it was told to keep guests from it"
    return None
