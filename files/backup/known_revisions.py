"""Which schema revisions the installed Nova knows.

Request: {}
Answer:  {"api"|"main": {"head": revision|null, "known": [revisions]}}
"""

import glob

import nova_state

FOLDERS = "/usr/lib/python3*/*-packages/nova/db/{}/migrations/versions"


def known(kind):
    folders = glob.glob(FOLDERS.format(kind))
    if len(folders) != 1:
        return {"head": None, "known": []}
    made = set()
    for path in glob.glob(folders[0] + "/*.py"):
        with open(path, encoding="utf-8") as stream:
            made.add(dict(nova_state.REVISION.findall(stream.read())).get("revision"))
    try:
        head = nova_state.head(folders[0])
    except nova_state.NoHeadError:
        head = None
    return {"head": head, "known": sorted(made - {None})}


def answer(request):
    return {kind: known(kind) for kind in ("api", "main")}
