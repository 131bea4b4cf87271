"""Say as JSON what there is of the exercise, and how much of every quota is used.

Run on the controller, whose Python has openstacksdk; not imported here. Arguments: the name that
all things of the exercise have, and its floating addresses. Answer: {"services": [types],
"things": [names], "broken": [guests], "numbers": {limit or usage: number}}
"""

import json
import sys
from pathlib import Path

import openstack


def get(proxy, path):
    response = proxy.get(path)
    openstack.exceptions.raise_from_response(response)
    return response.json()


def named(items, name):
    return [item for item in items if item.get("name") == name]


def compute_things(cloud, name):
    flavors = get(cloud.compute, "/flavors?is_public=None")["flavors"]
    keypairs = [each["keypair"] for each in get(cloud.compute, "/os-keypairs")["keypairs"]]
    groups = get(cloud.compute, "/os-server-groups")["server_groups"]
    kinds = (("flavor", flavors), ("keypair", keypairs), ("server group", groups))
    things, broken = [kind for kind, found in kinds if named(found, name)], []
    for server in get(cloud.compute, f"/servers/detail?name=^{name}-")["servers"]:
        things.append(server["name"])
        if server["status"] == "ERROR":
            broken.append(server["name"])
        if server.get("os-extended-volumes:volumes_attached"):
            things.append("volume at " + server["name"])
    return things, broken


def network_things(cloud, name, addresses):
    things = []
    for kind, plural in (("network", "networks"), ("subnet", "subnets")):
        things += [kind] if get(cloud.network, f"/{plural}?name={name}")[plural] else []
    for router in get(cloud.network, f"/routers?name={name}")["routers"]:
        things += ["router", *(["router gateway"] if router["external_gateway_info"] else [])]
        ports = get(cloud.network, "/ports?device_id=" + router["id"])["ports"]
        if any(port["device_owner"].endswith("router_interface") for port in ports):
            things.append("router interface")
    # Listing them also makes the project's default one, which counts in its usage from then on.
    for group in named(get(cloud.network, "/security-groups")["security_groups"], name):
        things.append("security group")
        for rule in group["security_group_rules"]:
            if rule["protocol"] in ("icmp", 1, "1"):
                things.append("security group rule icmp")
            if rule["port_range_min"] == 22:
                things.append("security group rule ssh")
    for found in get(cloud.network, "/floatingips")["floatingips"]:
        address = found["floating_ip_address"]
        if address in addresses and found.get("description") == name:
            things.append("floating ip " + address)
            if found["port_id"]:
                things.append(f"floating ip {address} in use")
    return things


def numbers(cloud, has_volumes):
    found = {}
    for kind, proxy in (
        ("compute", cloud.compute),
        ("volume", has_volumes and cloud.block_storage),
    ):
        if proxy:
            absolute = get(proxy, "/limits")["limits"]["absolute"]
            found.update({f"{kind} {key}": value for key, value in absolute.items()})
    details = get(cloud.network, f"/quotas/{cloud.current_project_id}/details")["quota"]
    for resource, each in details.items():
        found.update({f"network {resource} {key}": each[key] for key in ("limit", "used")})
    return {key: value for key, value in found.items() if isinstance(value, int)}


def main():
    name, *addresses = sys.argv[1:]
    cloud = openstack.connect()
    catalog = cloud.session.auth.get_access(cloud.session).service_catalog.catalog
    services = sorted({entry["type"] for entry in catalog if entry.get("endpoints")})
    answer = {"services": services, "things": [], "broken": [], "numbers": {}}
    if "compute" in services:
        has_volumes = bool({"block-storage", "block-store", "volumev3"} & set(services))
        answer["services"] += ["block-storage"] if has_volumes else []
        things, answer["broken"] = compute_things(cloud, name)
        things += network_things(cloud, name, addresses)
        if has_volumes and get(cloud.block_storage, f"/volumes/detail?name={name}")["volumes"]:
            things.append("volume")
        if Path(name + ".pub").exists():
            things.append("public key file")
        answer["things"] = things
        answer["numbers"] = numbers(cloud, has_volumes)
    print(json.dumps(answer))


main()
