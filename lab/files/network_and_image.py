"""Compare the provider network and the guest image with what the lab wants, or make them.

Request: {"login": {"auth_url", "username", "password", "project", "user_domain",
          "project_domain"}, "region", "network": {...}, "image": {...}, "apply": bool}
  network: {"name", "physical_network", "cidr", "gateway", "first", "last"}
  image: {"name", "path", "properties": {...}}
Answer: {"error": text|null, "changes": [texts]}
"""

import hashlib
import pathlib

import keystone
import rest

UPLOAD_TIMEOUT = 600


def provider_network(api, wanted, apply):
    changes = []
    path = "/v2.0/networks?name=" + wanted["name"]
    found = api.listed(path, "networks", "id", "subnets")
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
    found = api.listed("/v2/images?name=" + wanted["name"], "images", "id", "status")
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
            headers = {"Content-Type": "application/octet-stream"}
            headers["Content-Length"] = str(path.stat().st_size)
            api.call("PUT", target, stream, headers=headers, timeout=UPLOAD_TIMEOUT)
        if not is_this_file(api.get("/v2/images/" + image["id"], "status"), digest):
            raise rest.Failed("the new image {} is not this file".format(image["id"]))
        for old in found:
            now = api.get("/v2/images/" + old["id"], "status", allowed=(404,))
            if now and not is_this_file(now, digest):
                api.call("DELETE", "/v2/images/" + old["id"], allowed=(404,))
    return ["upload image " + wanted["name"]]


def service(identity, body, kind, region):
    """One service of a token's catalogue."""
    url = keystone.endpoint(body.get("catalog", []), kind, region, ["internal"])
    return rest.Client(url, {"X-Auth-Token": identity.token})


def answer(request):
    apply, region = request["apply"], request["region"]
    try:
        identity, body = keystone.logged_in(request["login"]["auth_url"], request["login"])
        network = service(identity, body, "network", region)
        changes = provider_network(network, request["network"], apply)
        changes += guest_image(service(identity, body, "image", region), request["image"], apply)
    except rest.Failed as error:
        if apply:
            raise SystemExit(str(error)) from error
        return {"error": str(error), "changes": []}
    return {"error": None, "changes": changes}
