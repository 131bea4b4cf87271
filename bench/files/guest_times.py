"""How long a guest takes to run, and to move alive: on a host with the administrator's login.

Arguments: how many of both, and an image. Prints, in JSON, the seconds of each boot and move.
"""

import json
import sys
import time

import openstack

NAME = "bench-tls"
EVERY = 0.1
DEADLINE = 300
MICROVERSION = "2.74"


class Failed(SystemExit):
    """What did not come about; the text is the end."""


def until(holds, what):
    started = time.monotonic()
    while not holds():
        if time.monotonic() - started > DEADLINE:
            raise Failed(f"{what}: not within {DEADLINE} s")
        time.sleep(EVERY)


def ask(cloud, method, path, body=None):
    answer = cloud.compute.request(path, method, json=body, microversion=MICROVERSION)
    if answer.status_code >= 300:
        raise Failed(f"{method} {path} answers {answer.status_code}: {answer.text[:300]}")
    return answer.json() if answer.content else {}


def shown(cloud, uuid):
    return ask(cloud, "GET", f"/servers/{uuid}")["server"]


def booted(cloud, image, flavor):
    body = {"name": NAME, "imageRef": image, "flavorRef": flavor, "networks": "none"}
    started = time.monotonic()
    uuid = ask(cloud, "POST", "/servers", {"server": body})["server"]["id"]

    def runs():
        status = shown(cloud, uuid)["status"]
        if status == "ERROR":
            raise Failed("the guest is in ERROR")
        return status == "ACTIVE"

    until(runs, "a boot")
    return uuid, time.monotonic() - started


def moved(cloud, uuid):
    before = shown(cloud, uuid)["OS-EXT-SRV-ATTR:host"]
    started = time.monotonic()
    body = {"os-migrateLive": {"host": None, "block_migration": "auto"}}
    ask(cloud, "POST", f"/servers/{uuid}/action", body)

    def arrived():
        server = shown(cloud, uuid)
        there = server["OS-EXT-SRV-ATTR:host"] != before
        return there and server["status"] == "ACTIVE" and not server["OS-EXT-STS:task_state"]

    until(arrived, "a live migration")
    return time.monotonic() - started


def gone(cloud, uuid):
    ask(cloud, "DELETE", f"/servers/{uuid}")
    until(lambda: not list(cloud.compute.servers(name=NAME)), "a delete")


def main():
    count, image_name = int(sys.argv[1]), sys.argv[2]
    cloud = openstack.connect()
    image = cloud.image.find_image(image_name, ignore_missing=False).id
    flavor = cloud.compute.create_flavor(name=NAME, ram=128, vcpus=1, disk=0)
    boots, moves = [], []
    try:
        for _ in range(count):
            uuid, seconds = booted(cloud, image, flavor.id)
            boots.append(seconds)
            moves.append(moved(cloud, uuid))
            gone(cloud, uuid)
    finally:
        for server in cloud.compute.servers(name=NAME):
            cloud.compute.delete_server(server)
        cloud.compute.delete_flavor(flavor)
    print(json.dumps({"boots": boots, "moves": moves}))


if __name__ == "__main__":
    main()
