"""Ask Nova's and Placement's APIs what they know, as the nova service user.

Request: {"auth_url", "login": {"username", "password", "user_domain", "project",
          "project_domain"}, "region", "interface",
          "places": {type of a service that is elsewhere: {"region", "interfaces"}}}
Answer:  {"error": text|null, "services": [{"binary", "host", "state", "status"}],
          "hypervisors": [{"name", "host", "state", "status", "address"}],
          "inventories": {hypervisor name: [resource classes]}}
"""

import http.client
import json
import urllib.error
import urllib.request

import keystone

TIMEOUT = 30


class Api:
    """One service of the catalogue."""

    def __init__(self, url, token, headers):
        self.url = url.rstrip("/")
        self.headers = {"X-Auth-Token": token, "Accept": "application/json", **headers}

    def get(self, path):
        request = urllib.request.Request(self.url + path, headers=self.headers)
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            text = error.read(300).decode(errors="replace")
            message = f"{self.url}{path} answers {error.code}: {text}"
            raise keystone.Refused(message) from error
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise keystone.Refused(f"{self.url} does not answer: {error}") from error


def endpoint(catalogue, service, request):
    """The URL of a service: the first of the interfaces that it has in its region."""
    usual = {"region": request["region"], "interfaces": [request["interface"]]}
    place = request.get("places", {}).get(service, usual)
    urls = {
        found["interface"]: found["url"]
        for entry in catalogue
        if entry["type"] == service
        for found in entry["endpoints"]
        if found["region_id"] == place["region"]
    }
    for interface in place["interfaces"]:
        if interface in urls:
            return urls[interface]
    text = "the catalogue has no %s endpoint of type %s in %s"
    raise keystone.Refused(text % (" or ".join(place["interfaces"]), service, place["region"]))


def read(request):
    login = request["login"]
    token, body = keystone.Keystone(request["auth_url"]).login(
        login["username"], login["password"], login["user_domain"], keystone.project_scope(login)
    )
    catalogue = body.get("catalog", [])
    version = {"OpenStack-API-Version": "compute 2.53"}
    compute = Api(endpoint(catalogue, "compute", request), token, version)
    services = compute.get("/os-services")["services"]
    hypervisors = compute.get("/os-hypervisors/detail")["hypervisors"]
    version = {"OpenStack-API-Version": "placement 1.20"}
    placement = Api(endpoint(catalogue, "placement", request), token, version)
    inventories = {}
    for hypervisor in hypervisors:
        path = "/resource_providers/{}/inventories".format(hypervisor["id"])
        inventories[hypervisor["hypervisor_hostname"]] = inventory(placement, path)
    return {
        "error": None,
        "services": [
            {key: service[key] for key in ("binary", "host", "state", "status")}
            for service in services
        ],
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
        "inventories": inventories,
    }


def inventory(placement, path):
    try:
        return sorted(placement.get(path)["inventories"])
    except keystone.Refused:
        return []


def answer(request):
    try:
        return read(request)
    except keystone.Refused as error:
        return {"error": str(error), "services": [], "hypervisors": [], "inventories": {}}
