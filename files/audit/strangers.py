"""What Nova knows of uuids that other sources speak of and that are none of its guests.

Answer: {"guests", "cell0_guests": [{"uuid", "deleted", "deleted_at", "host"}],
         "migrations": [{"uuid", "instance_uuid", "status", "deleted", "written"}],
         "mappings": [{"instance_uuid", "cell_id", "queued_for_delete"}],
         "build_requests": [{"instance_uuid"}]}
Deleted guests stay in the database until they are archived, by the million, so only those are
asked for that Placement or a hypervisor still has. That is asked last: what Nova does not know now
was not about to be made when the others answered, for Nova writes a guest down before it gives it
anything.
"""

import contextlib
import re

import nova_state
import sql

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
GUEST = "SELECT uuid, deleted, deleted_at, host FROM {%s}.instances WHERE uuid IN ({uuids})"
QUESTIONS = {
    "guests": GUEST % "cell1",
    "cell0_guests": GUEST % "cell0",
    "migrations": (
        "SELECT uuid, instance_uuid, status, deleted, COALESCE(updated_at, created_at) AS written"
        " FROM {cell1}.migrations WHERE uuid IN ({uuids})"
    ),
    "mappings": (
        "SELECT instance_uuid, cell_id, queued_for_delete FROM {api}.instance_mappings"
        " WHERE instance_uuid IN ({uuids})"
    ),
    "build_requests": (
        "SELECT instance_uuid FROM {api}.build_requests WHERE instance_uuid IN ({uuids})"
    ),
}


class NotKnownError(Exception):
    """Nobody knows which uuids are strange."""


def mentioned(evidence):
    """All uuids that Placement has as consumers, and hosts as domains or as folders of guests."""
    found = set()
    if evidence.placement is not None:
        found.update(each["consumer"] for each in evidence.placement["allocations"])
    for host in (evidence.hosts or {}).values():
        found.update(each["uuid"] for each in host.get("domains") or ())
        found.update(each["name"][:36] for each in host.get("folders") or ())
    return {uuid for uuid in found if UUID.fullmatch(uuid)}


def strange(evidence):
    tables = evidence.databases
    if tables is None:
        raise NotKnownError("asked after Nova's databases, which did not answer")
    known = {row["uuid"] for name in ("instances", "migrations") for row in tables[name]}
    return sorted(mentioned(evidence) - known)


def read(request, evidence):
    """The rows by the question that they answer: five questions, whatever the number of uuids."""
    uuids = strange(evidence)
    if not uuids:
        return {name: [] for name in QUESTIONS}
    quoted = {key: sql.quoted(name) for key, name in request["names"].items()}
    listed = ", ".join(f"'{uuid}'" for uuid in uuids)
    with contextlib.closing(nova_state.connect(request)) as connection:
        return {
            name: sql.rows(connection, name, text.format(**quoted, uuids=listed))
            for name, text in QUESTIONS.items()
        }
