"""Have Nova send computes new guests, or none, over its API.

Request: {"auth_url", "region", "interface", "places", "admin": as for cloud_objects.py,
          "computes": {host of nova-compute: null to open it | the reason to close it for}}
What is so already is left alone, and so is a compute that Nova has closed itself because libvirt
does not answer: it opens by itself, and would be sent guests that it cannot start.
"""

import cloud_session
import rest

BY_ITSELF = "AUTO:"
"""How Nova begins the reason for which it disables a compute itself (virt/libvirt/driver.py)."""
PATH = "/os-services?binary=nova-compute"
FIELDS = ("id", "host", "status", "disabled_reason")


def is_told(service, wanted):
    reason = service["disabled_reason"] or ""
    if wanted is None:
        return service["status"] == "enabled" or reason.startswith(BY_ITSELF)
    return service["status"] == "disabled" and reason == wanted


def tell(cloud, service, wanted):
    """Have Nova note it; whether it has is read again where no good answer comes.

    Having noted it, Nova calls the compute: one that does not listen keeps the answer for
    rpc_response_timeout, which is as long as we wait (nova/compute/api.py, service_update).
    """
    body = {"status": "enabled"}
    if wanted is not None:
        body = {"status": "disabled", "disabled_reason": wanted}
    try:
        cloud.compute.call("PUT", "/os-services/" + rest.quoted(service["id"]), body)
    except rest.Failed as error:
        if not any(is_told(again, wanted) for again in read(cloud, [service["host"]])):
            raise error from None


def read(cloud, hosts):
    # In a cell that does not answer a service has no more than a host (microversion 2.69).
    listed = cloud.compute.listed(PATH, "services", "host")
    mine = [service for service in listed if service["host"] in hosts]
    cloud.compute.require(PATH, mine, FIELDS)
    return mine


def answer(request):
    try:
        told(request)
    except rest.Failed as error:
        raise SystemExit(str(error)) from error
    return {}


def told(request):
    cloud = cloud_session.Cloud(request)
    computes = request["computes"]
    mine = read(cloud, computes)
    for service in mine:
        wanted = computes[service["host"]]
        if not is_told(service, wanted):
            tell(cloud, service, wanted)
    if lost := computes.keys() - {service["host"] for service in mine}:
        raise rest.Failed("Nova has no nova-compute on " + ", ".join(sorted(lost)))
