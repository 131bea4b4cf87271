"""What Keystone says of Nova, and the certificates that the servers of its catalogue show."""

import concurrent.futures
import urllib.parse

import certificates
import cloud_services

AT_ONCE = 16


def identity(request):
    """As of cloud_services.py, and
    {"certificates": {"host:port": {"services": [types], "inside": [regions with an endpoint there
    that is not for the public], "ends": epoch} or {..., "error": text}}}.
    """
    found = cloud_services.identity(request)
    return {**found, "certificates": shown(found["endpoints"])}


def shown(endpoints):
    """The certificate of each server with an https endpoint, each asked once, side by side."""
    services, inside = {}, {}
    for endpoint in endpoints:
        url = urllib.parse.urlsplit(endpoint["url"])
        if url.scheme != "https" or not url.hostname:
            continue
        server = url.hostname, url.port or 443
        services.setdefault(server, set()).add(str(endpoint["type"]))
        if endpoint.get("interface") != "public":
            region = endpoint.get("region_id", endpoint.get("region"))
            inside.setdefault(server, set()).add(str(region))
    if not services:
        return {}
    with concurrent.futures.ThreadPoolExecutor(min(len(services), AT_ONCE)) as pool:
        found = dict(zip(services, pool.map(asked, services)))  # noqa: B905 - Python 3.9
    return {
        "{}:{}".format(*server): {
            "services": sorted(types),
            "inside": sorted(inside.get(server, ())),
            **found[server],
        }
        for server, types in services.items()
    }


def asked(server):
    try:
        return {"ends": certificates.end_at(*server)}
    except (OSError, ValueError) as error:
        return {"error": str(error)}
