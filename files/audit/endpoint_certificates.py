"""What Keystone says of Nova, and the certificates that the servers of its catalogue show."""

import concurrent.futures
import urllib.parse

import certificates
import cloud_services

AT_ONCE = 16


def identity(request):
    """As of cloud_services.py, and
    {"certificates": {"host:port": {"services": [types], "ends": epoch} or {..., "error": text}}}.
    """
    found = cloud_services.identity(request)
    return {**found, "certificates": shown(found["endpoints"])}


def shown(endpoints):
    """The certificate of each server with an https endpoint, each asked once, side by side."""
    services = {}
    for endpoint in endpoints:
        url = urllib.parse.urlsplit(endpoint["url"])
        if url.scheme == "https" and url.hostname:
            services.setdefault((url.hostname, url.port or 443), set()).add(str(endpoint["type"]))
    if not services:
        return {}
    with concurrent.futures.ThreadPoolExecutor(min(len(services), AT_ONCE)) as pool:
        found = dict(zip(services, pool.map(asked, services)))  # noqa: B905 - Python 3.9
    return {
        f"{host}:{port}": {"services": sorted(types), **found[host, port]}
        for (host, port), types in services.items()
    }


def asked(server):
    try:
        return {"ends": certificates.end_at(*server)}
    except (OSError, ValueError) as error:
        return {"error": str(error)}
