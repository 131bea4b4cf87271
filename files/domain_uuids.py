"""The domains of this host's libvirt, whatever they are at.

Request: {"libvirt": URI}
Answer:  {"uuids": [texts]|null, "error": text|null}
"""

import re
import subprocess

TIMEOUT = 30
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def answer(request):
    command = ["virsh", "--quiet", "--connect", request["libvirt"], "list", "--all", "--uuid"]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=TIMEOUT,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return {"uuids": None, "error": f"virsh: {error}"}
    uuids = done.stdout.split()
    if done.returncode or not all(map(UUID.fullmatch, uuids)):
        said = " ".join((done.stderr or done.stdout).split())[-300:]
        return {"uuids": None, "error": f"virsh: {said or f'ended with {done.returncode}'}"}
    return {"uuids": uuids, "error": None}
