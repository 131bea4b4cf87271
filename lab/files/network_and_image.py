"""Compare the provider network and the guest image with what the lab wants, or make them.

Request: {"login": {"auth_url", "username", "password", "project", "user_domain",
          "project_domain"}, "region", "network": {...}, "image": {...}, "apply": bool}
  network: {"name", "physical_network", "cidr", "gateway", "first", "last"}
  image: {"name", "path", "properties": {...}}
Answer: {"error": text|null, "changes": [texts]}
"""

import hashlib
import json
import pathlib
import urllib.error
import urllib.request

import keystone


class Api:
    """One service, with a token; PATHs are below its internal endpoint."""

    def __init__(self, token, url):
        self.token, self.url = token, url.rstrip("/")

    def call(self, method, path, body=None, content_type="application/json"):
        data = body if body is None or hasattr(body, "read") else json.dumps(body).encode()
        headers = {"X-Auth-Token": self.token, "Content-Type": content_type}
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=120) as response:
                text = response.read()
                return json.loads(text) if text else {}
        except urllib.error.HTTPError as error:
            said = error.read().decode(errors="replace")[:300]
            raise keystone.Refused(f"{method} {self.url}{path}: {error.code} {said}") from error
        except (OSError, ValueError) as error:
            raise keystone.Refused(f"{self.url} does not answer: {error}") from error


def endpoints(body, region):
    """Service type -> internal URL, from a token's catalogue."""
    return {
        service["type"]: endpoint["url"]
        for service in body["catalog"]
        for endpoint in service["endpoints"]
        if endpoint["interface"] == "internal" and endpoint["region_id"] == region
    }


def provider_network(api, wanted, apply):
    changes = []
    found = api.call("GET", "/v2.0/networks?name=" + wanted["name"])["networks"]
    if found:
        network = found[0]
    else:
        changes.append("create network " + wanted["name"])
        body = {
            "name": wanted["name"],
            "shared": True,
            "router:external": True,
            "provider:network_type": "flat",
            "provider:physical_network": wanted["physical_network"],
        }
        network = {"subnets": []}
        if apply:
            network = api.call("POST", "/v2.0/networks", {"network": body})["network"]
    if not network["subnets"]:
        changes.append("create subnet {} of {}".format(wanted["cidr"], wanted["name"]))
        body = {
            "network_id": network.get("id"),
            "name": wanted["name"],
            "ip_version": 4,
            "cidr": wanted["cidr"],
            "gateway_ip": wanted["gateway"],
            "allocation_pools": [{"start": wanted["first"], "end": wanted["last"]}],
        }
        if apply:
            api.call("POST", "/v2.0/subnets", {"subnet": body})
    return changes


def is_this_file(image, digest):
    return image["status"] == "active" and image.get("os_hash_value") == digest


def guest_image(api, wanted, apply):
    """The image is known by what it holds: another file under its name takes its place."""
    path = pathlib.Path(wanted["path"])
    digest = hashlib.sha512(path.read_bytes()).hexdigest() if path.exists() else None
    found = api.call("GET", "/v2/images?name=" + wanted["name"])["images"]
    if any(is_this_file(image, digest) for image in found):
        return []
    if apply:
        body = {
            "name": wanted["name"],
            "disk_format": "qcow2",
            "container_format": "bare",
            "visibility": "public",
        }
        body.update(wanted["properties"])
        image = api.call("POST", "/v2/images", body)
        with path.open("rb") as stream:
            target = "/v2/images/{}/file".format(image["id"])
            api.call("PUT", target, stream, "application/octet-stream")
        for old in found:
            api.call("DELETE", "/v2/images/" + old["id"])
    return ["upload image " + wanted["name"]]


def answer(request):
    try:
        login = request["login"]
        service = keystone.Keystone(login["auth_url"])
        token, body = service.login(
            login["username"],
            login["password"],
            login["user_domain"],
            keystone.project_scope(login),
        )
        urls = endpoints(body, request["region"])
        changes = provider_network(
            Api(token, urls["network"]), request["network"], request["apply"]
        )
        changes += guest_image(Api(token, urls["image"]), request["image"], request["apply"])
    except (keystone.Refused, KeyError) as error:
        if request["apply"]:
            raise SystemExit(str(error)) from error
        return {"error": str(error), "changes": []}
    return {"error": None, "changes": changes}
