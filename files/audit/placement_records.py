"""What Placement has: providers, which aggregates they are in, and who has which part of them.

Answer: {"providers": [{"uuid", "name", "parent": uuid|null}], "aggregates": {provider: [uuids]},
         "allocations": [{"provider", "consumer", "resources": {class: amount}, "written": epoch}],
         "inventories": {provider: {class: [total, reserved, allocation ratio]}},
         "by": "sql"|"api"}
Where its database is on this host, root reads it in five queries. Its API tells of allocations,
inventories and aggregates one provider at a time, so elsewhere there are three requests for each.
`written` is None there: the API does not tell it. Whoever asks may bring along what the host of the
database has read, in `placement` of the request.
"""

import os

import cloud_services
import compute_api
import nova_state
import rest
import sql

PROVIDERS = (
    "SELECT p.uuid, p.name, COALESCE(parent.uuid, '') FROM {0}.resource_providers p"
    " LEFT JOIN {0}.resource_providers parent ON parent.id = p.parent_provider_id"
)
AGGREGATES = (
    "SELECT p.uuid, g.uuid FROM {0}.resource_provider_aggregates a"
    " JOIN {0}.resource_providers p ON p.id = a.resource_provider_id"
    " JOIN {0}.placement_aggregates g ON g.id = a.aggregate_id"
)
ALLOCATIONS = (
    "SELECT p.uuid, a.consumer_id, c.name, a.used,"
    " UNIX_TIMESTAMP(CONVERT_TZ(COALESCE(a.updated_at, a.created_at), '+00:00', @@time_zone))"
    " FROM {0}.allocations a JOIN {0}.resource_providers p ON p.id = a.resource_provider_id"
    " JOIN {0}.resource_classes c ON c.id = a.resource_class_id"
)
INVENTORIES = (
    "SELECT p.uuid, c.name, i.total, i.reserved, i.allocation_ratio FROM {0}.inventories i"
    " JOIN {0}.resource_providers p ON p.id = i.resource_provider_id"
    " JOIN {0}.resource_classes c ON c.id = i.resource_class_id"
)


def read(request):
    if request.get("placement") is not None:
        return request["placement"]
    return local(request) or by_api(request)


def local(request):
    """What root reads where the database is this host's own; None where it is not."""
    name = request.get("placement_database")
    is_local = any(map(os.path.exists, nova_state.SOCKETS))
    if name and is_local and nova_state.is_here(request["database"]["host"]) and os.geteuid() == 0:
        try:
            return by_sql(sql.quoted(name))
        except sql.NotThereError:
            pass  # under another name, or on another server: its API knows
    return None


def answer(request):
    """For who asks the host of the database; None as `placement` where only the API knows."""
    try:
        return {"placement": local(request)}
    except (sql.NoAnswerError, sql.NotInstalledError) as error:
        return {"error": str(error)}


def by_sql(name):
    def rows(statement):
        return sql.client_rows("placement", statement.format(name))

    aggregates, inventories = {}, {}
    providers = [{"uuid": u, "name": n, "parent": p or None} for u, n, p in rows(PROVIDERS)]
    for provider, aggregate in rows(AGGREGATES):
        aggregates.setdefault(provider, []).append(aggregate)
    for provider, resource, total, reserved, ratio in rows(INVENTORIES):
        found = [int(total), int(reserved), float(ratio)]
        inventories.setdefault(provider, {})[resource] = found
    allocations = {}
    for provider, consumer, resource, used, written in rows(ALLOCATIONS):
        each = allocations.setdefault((provider, consumer), ({}, []))
        each[0][resource] = int(used)
        each[1].append(float(written))
    return {
        "providers": providers,
        "aggregates": aggregates,
        "inventories": inventories,
        "allocations": [
            {"provider": p, "consumer": c, "resources": resources, "written": max(times)}
            for (p, c), (resources, times) in allocations.items()
        ],
        "by": "sql",
    }


def client(request):
    """Placement's API, as Nova's user; one way to it for all that an audit asks or mends."""
    identity, body = cloud_services.logged_in(request)
    url = compute_api.endpoint(body.get("catalog", []), "placement", request["api"])
    return rest.Client(url, {"X-Auth-Token": identity.token, **compute_api.PLACEMENT})


def by_api(request):
    placement = client(request)
    fields = ("uuid", "name", "parent_provider_uuid")
    found = placement.listed("/resource_providers", "resource_providers", *fields)
    aggregates, inventories, allocations = {}, {}, []
    for provider in found:
        uuid = provider["uuid"]
        path = f"/resource_providers/{uuid}"
        aggregates[uuid] = placement.get(path + "/aggregates", "aggregates")["aggregates"]
        inventories[uuid] = {
            name: [each["total"], each["reserved"], each["allocation_ratio"]]
            for name, each in placement.get(path + "/inventories", "inventories")[
                "inventories"
            ].items()
        }
        given = placement.get(path + "/allocations", "allocations")["allocations"]
        allocations += [
            {"provider": uuid, "consumer": c, "resources": each["resources"], "written": None}
            for c, each in given.items()
        ]
    return {
        "providers": [
            {"uuid": p["uuid"], "name": p["name"], "parent": p["parent_provider_uuid"]}
            for p in found
        ],
        "aggregates": aggregates,
        "inventories": inventories,
        "allocations": allocations,
        "by": "api",
    }
