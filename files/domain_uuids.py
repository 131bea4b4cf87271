"""The domains of this host's libvirt, whatever they are at.

Request: {"libvirt": URI, "awake": bool, whether it is asked which run and are not paused}
Answer:  {"uuids": [texts]|null, "running": [those that are not off]|null, "error": text|null,
          "awake": [those that run]|null, where that was asked}
"""

import re

import host_guests

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def listed(uri, *words):
    uuids = [line.strip() for line in host_guests.virsh(uri, "list", *words, "--uuid")]
    uuids = [uuid for uuid in uuids if uuid]
    if not all(map(UUID.fullmatch, uuids)):
        said = " ".join(" ".join(uuids).split())[-300:]
        raise host_guests.NoDomainsError("virsh list: " + said)
    return uuids


def answer(request):
    try:
        uuids = listed(request["libvirt"], "--all")
        running = listed(request["libvirt"]) if uuids else []
        more = {}
        if request.get("awake"):
            more["awake"] = listed(request["libvirt"], "--state-running") if running else []
    except host_guests.NoDomainsError as error:
        return {"uuids": None, "running": None, "error": str(error)}
    return {"uuids": uuids, "running": running, "error": None, **more}
