"""Ask Nova's and Placement's APIs what they know, as the nova service user.

Request: {"auth_url", "login": {"username", "password", "user_domain", "project",
          "project_domain"}, "region", "interface",
          "places": {type of a service that is elsewhere: {"region", "interfaces"}},
          "inventories": [hosts of nova-compute]|null for all of them}
Answer:  {"error": text|null, "services": [{"binary", "host", "state", "status"}],
          "hypervisors": [{"name", "host", "state", "status", "address"}],
          "inventories": {hypervisor name: [resource classes]}}
Placement lists no inventories but those of one provider. Of many hypervisors it is therefore asked
which providers have room for a little of all that a compute offers, which none has without an
inventory of it; each of those that it does not name, being full or without, is asked by itself.
"""

import keystone
import rest

# 2.53: hypervisors by the identifier that Placement knows them by.
COMPUTE = {"OpenStack-API-Version": "compute 2.53"}
PLACEMENT = {"OpenStack-API-Version": "placement 1.20"}
OFFERED = (("VCPU", "MEMORY_MB", "DISK_GB"), ("PCPU", "MEMORY_MB", "DISK_GB"))
"""What a compute has inventories of, whether its guests' CPUs float or are pinned."""


def endpoint(catalogue, service, request):
    """The URL of a service: the first of the interfaces that it has in its region."""
    usual = {"region": request["region"], "interfaces": [request["interface"]]}
    place = request.get("places", {}).get(service, usual)
    return keystone.endpoint(catalogue, service, place["region"], place["interfaces"])


def read(request):
    identity, body = keystone.logged_in(request["auth_url"], request["login"])
    catalogue, token = body.get("catalog", []), {"X-Auth-Token": identity.token}
    compute = rest.Client(endpoint(catalogue, "compute", request), {**token, **COMPUTE})
    fields = ("binary", "host", "state", "status")
    services = compute.listed("/os-services", "services", *fields)
    keys = ("id", "hypervisor_hostname", "service", "state", "status", "host_ip")
    path = "/os-hypervisors/detail"
    hypervisors = compute.listed(path, "hypervisors", *keys)
    compute.require(path, [each["service"] for each in hypervisors], ["host"])
    placement = rest.Client(endpoint(catalogue, "placement", request), {**token, **PLACEMENT})
    hosts = request.get("inventories")
    chosen = {h["service"]["host"] for h in hypervisors} if hosts is None else set(hosts)
    wanted = [h for h in hypervisors if h["service"]["host"] in chosen]
    return {
        "error": None,
        "services": [{field: service[field] for field in fields} for service in services],
        "hypervisors": [
            {
                "name": hypervisor["hypervisor_hostname"],
                "host": hypervisor["service"]["host"],
                "state": hypervisor["state"],
                "status": hypervisor["status"],
                "address": hypervisor["host_ip"],
            }
            for hypervisor in hypervisors
        ],
        "inventories": inventories(placement, wanted),
    }


def inventories(placement, hypervisors):
    """The resource classes of each hypervisor, as far as is asked for one that has room."""
    known = with_room(placement) if len(hypervisors) > len(OFFERED) else {}
    return {
        each["hypervisor_hostname"]: sorted(
            known.get(each["id"]) or inventory(placement, each["id"])
        )
        for each in hypervisors
    }


def with_room(placement):
    """Classes that computes have inventories of, by provider: of those that have room in all."""
    found = {}
    for classes in OFFERED:
        resources = ",".join(f"{name}:1" for name in classes)
        path = f"/resource_providers?required=COMPUTE_NODE&resources={resources}"
        for provider in placement.listed(path, "resource_providers", "uuid"):
            found.setdefault(provider["uuid"], set()).update(classes)
    return found


def inventory(placement, provider):
    """The resource classes of a provider; none only where Placement says that there is none."""
    path = f"/resource_providers/{provider}/inventories"
    try:
        return placement.get(path, "inventories")["inventories"]
    except rest.ErrorStatus as error:
        # A proxy's 404, or that of another service at this address, has no such errors in it.
        if error.status == 404 and "errors" in error.answer.json():
            return []
        raise


def answer(request):
    try:
        return read(request)
    except rest.Failed as error:
        return {"error": str(error), "services": [], "hypervisors": [], "inventories": {}}
