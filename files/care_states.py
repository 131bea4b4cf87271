"""What the jobs of files/care/ have left of their last runs; nothing is changed.

Request: {"folder": where they leave it, "jobs": {name: path of its timer}}
Answer:  {"now": epoch, "jobs": {name: {"since": epoch at which its timer was written|null,
          "last": as jobs.py leaves it|null}}}
"""

import json
import os
import time


def last_of(folder, name):
    try:
        with open(os.path.join(folder, name + ".json"), encoding="utf-8") as stream:
            found = json.load(stream)
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def written_at(path):
    try:
        return os.stat(path).st_mtime
    except OSError:
        return None


def answer(request):
    jobs = {
        name: {"since": written_at(path), "last": last_of(request["folder"], name)}
        for name, path in request["jobs"].items()
    }
    return {"now": time.time(), "jobs": jobs}
