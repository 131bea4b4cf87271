"""Say whether Cinder's scheduler knows of a place for a volume, or wait until it does.

Request: {"login": {"auth_url", "username", "password", "project", "user_domain",
          "project_domain"}, "region", "type": of Cinder in the catalogue,
          "apply": bool, whether to wait for it}
Answer: {"missing": text, empty where there is room}
A volume service that is up is not enough: until it has told the scheduler of its room, which it
does once a minute, every volume ends in error. What it told last may be older than its storage.
"""

import time

import keystone
import rest

WAIT, EACH = 150, 1
"""Seconds: two reports of a volume service, and some."""
UNLIMITED = ("unknown", "infinite")
LOGS = "/var/log/cinder/cinder-volume.log and cinder-scheduler.log"
SIZE = 1
"""GB of the smallest volume."""


def free_in(pool):
    return (pool.get("capabilities") or {}).get("free_capacity_gb")


def has_room(pool):
    free = free_in(pool)
    return free in UNLIMITED or (isinstance(free, (int, float)) and free >= SIZE)


def missing(request):
    """What keeps a volume from being made, in words."""
    login = request["login"]
    try:
        identity, body = keystone.logged_in(login["auth_url"], login)
        catalogue, interfaces = body.get("catalog", []), ["internal"]
        url = keystone.endpoint(catalogue, request["type"], request["region"], interfaces)
        cinder = rest.Client(url, {"X-Auth-Token": identity.token})
        pools = cinder.listed("/scheduler-stats/get_pools?detail=true", "pools", "name")
    except rest.Failed as error:
        return str(error)
    if any(has_room(pool) for pool in pools):
        return ""
    known = ", ".join(f"{pool['name']} has {free_in(pool)} GB free" for pool in pools)
    return "Cinder's scheduler knows of no room: " + (known or "no volume service has told of its")


def answer(request):
    deadline = time.monotonic() + WAIT
    while True:
        said = missing(request)
        if not said or not request["apply"]:
            return {"missing": said}
        if time.monotonic() > deadline:
            raise SystemExit(f"{said}: see {LOGS}")
        time.sleep(EACH)
