"""Ask Nova's and Placement's APIs what they know, as the nova service user.

Request: {"auth_url", "login": {"username", "password", "user_domain", "project",
          "project_domain"}, "region", "interface",
          "places": {type of a service that is elsewhere: {"region", "interfaces"}},
          "inventories": [hosts of nova-compute]|null for all of them}
Answer:  {"error": text|null, "services": [{"binary", "host", "state", "status"}],
          "hypervisors": [{"name", "host", "state", "status", "address"}],
          "inventories": {hypervisor name: [resource classes]}}
Placement lists no inventories but those of one provider: who asks for them makes one request each.
"""

import keystone
import rest

# 2.53: hypervisors by the identifier that Placement knows them by.
COMPUTE = {"OpenStack-API-Version": "compute 2.53"}
PLACEMENT = {"OpenStack-API-Version": "placement 1.20"}


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
    wanted = request.get("inventories")
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
        "inventories": {
            hypervisor["hypervisor_hostname"]: inventory(placement, hypervisor["id"])
            for hypervisor in hypervisors
            if wanted is None or hypervisor["service"]["host"] in wanted
        },
    }


def inventory(placement, provider):
    """The resource classes of a provider; none only where Placement says that there is none."""
    path = f"/resource_providers/{provider}/inventories"
    try:
        return sorted(placement.get(path, "inventories")["inventories"])
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
