"""What the jobs of files/care/ have left of their last runs; nothing is changed.

Request: {"folder": where they leave it, "jobs": {name: path of its timer}}
Answer:  {"now": epoch, "jobs": {name: {"since": epoch at which its timer was written|null,
          "last": as jobs.py leaves it|null}}}
"""

import os
import time

import jobs


def written_at(path):
    try:
        return os.stat(path).st_mtime
    except OSError:
        return None


def answer(request):
    found = {
        name: {"since": written_at(path), "last": jobs.left_by(request["folder"], name)}
        for name, path in request["jobs"].items()
    }
    return {"now": time.time(), "jobs": found}
