"""Which guests' folders this compute has on storage that other hosts have, too.

Request: {"instances": folder, "guests": [uuids]}
Answer:  {"there": [uuids]}
What Nova makes of a guest that it evacuates stands on this: where the folder is there and can be
written, it takes the disks that are in it (nova/virt/libvirt/driver.py, instance_on_disk).
"""

import os

import host_guests


def answer(request):
    folder = request["instances"]
    if not host_guests.is_shared(folder):
        return {"there": []}
    paths = {uuid: os.path.join(folder, uuid) for uuid in request["guests"]}
    return {"there": [uuid for uuid, path in paths.items() if os.path.isdir(path)]}
