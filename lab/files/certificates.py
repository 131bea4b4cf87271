"""Say which certificates are there: the texts of public files.

Request: {"paths": [paths]}
Answer: {"certificates": {path: text}}, of those that are there
"""


def answer(request):
    found = {}
    for path in request["paths"]:
        try:
            with open(path, encoding="utf-8", errors="replace") as stream:
                found[path] = stream.read(64 * 1024)
        except (FileNotFoundError, NotADirectoryError):
            continue
    return {"certificates": found}
