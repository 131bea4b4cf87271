"""Find the files below a folder that hold one of several patterns.

Request: {"folder", "patterns": [regular expressions; they may be secrets]}
Answer:  {"files": [paths]}
"""

import os
import re


def answer(request):
    patterns = [re.compile(pattern, re.MULTILINE) for pattern in request["patterns"]]
    found = []
    for folder, _, names in os.walk(request["folder"]):
        for name in names:
            path = os.path.join(folder, name)
            try:
                with open(path, encoding="utf-8", errors="surrogateescape") as stream:
                    content = stream.read()
            except OSError:  # a dangling link, a socket
                continue
            if any(pattern.search(content) for pattern in patterns):
                found.append(path)
    return {"files": sorted(found)}
