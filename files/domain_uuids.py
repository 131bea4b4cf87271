"""The domains of this host's libvirt, whatever they are at.

Request: {"libvirt": URI}
Answer:  {"uuids": [texts]|null, "error": text|null}
"""

import re

import host_guests

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def answer(request):
    try:
        lines = host_guests.virsh(request["libvirt"], "list", "--all", "--uuid")
    except host_guests.NoDomainsError as error:
        return {"uuids": None, "error": str(error)}
    uuids = [line.strip() for line in lines if line.strip()]
    if not all(map(UUID.fullmatch, uuids)):
        return {"uuids": None, "error": "virsh list: " + " ".join(" ".join(uuids).split())[-300:]}
    return {"uuids": uuids, "error": None}
