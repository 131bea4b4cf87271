"""What Keystone says of Nova, and the certificates that the servers of its catalogue show."""

import concurrent.futures
import urllib.parse

import certificates
import cloud_services
import sql
import trust

AT_ONCE = 16


def identity(request):
    """As of cloud_services.py, and
    {"certificates": {"host:port": {"services": [types], "inside": [regions with an endpoint there
    that is not for the public], "ends": epoch, "refused": why nobody trusts it|absent} or
    {..., "error": text}}}.
    """
    found = cloud_services.identity(request)
    return {**found, "certificates": {**shown(found["endpoints"]), **ends_of_others(request)}}


def ends_of_others(request):
    """The same of the database and the broker; who refuses them says so where they are asked."""
    if trust.context() is None:
        return {}
    database, broker = request["database"], request["broker"]
    servers = {(host, broker["port"]): ("broker", None) for host in broker["hosts"]}
    servers[database["host"], database["port"]] = ("database", sql.begin_tls)
    found = {}
    for server, (who, begin) in servers.items():
        try:
            end = certificates.end_at(*server, begin)
        except (OSError, ValueError):
            continue
        found[trust.place(server)] = {"services": [who], "inside": [], "ends": end}
    return found


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
        found = {"ends": certificates.end_at(*server)}
    except (OSError, ValueError) as error:
        return {"error": str(error)}
    if trust.context() is not None:
        try:
            trust.connected(*server, timeout=certificates.TIMEOUT).close()
        except trust.RefusedError as error:
            found["refused"] = str(error)
        except OSError as error:
            return {"error": str(error)}
    return found
