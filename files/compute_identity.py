"""Write the file by which nova-compute knows which compute node is its own; never over another.

Request: {"path", "uuid", "user", "group"}
Answer:  {}
As Nova writes it (nova/virt/node.py): the UUID alone, read by all.
"""

import os
import shutil
import tempfile


def answer(request):
    try:
        write(request)
    except OSError as error:
        place, why = request["path"], error.strerror or error
        raise SystemExit(
            f"{place} cannot be written: {why}: see there, then deploy again"
        ) from None
    return {}


def write(request):
    path = request["path"]
    # The folder is nova's, who may have put anything there under a name that can be known before.
    descriptor, beside = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".compute_id-")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(request["uuid"])
            stream.flush()
            os.fchmod(stream.fileno(), 0o644)
            shutil.chown(stream.fileno(), request["user"], request["group"])
            os.fsync(stream.fileno())
        os.link(beside, path)
    except FileExistsError:
        with open(path, encoding="utf-8", errors="replace") as stream:
            found = stream.read(40).strip()
        if found != request["uuid"]:
            raise SystemExit(f"{path} has appeared meanwhile: deploy again") from None
    finally:
        os.unlink(beside)
