"""Nova's own rows that an audit looks at: a query for each kind, whatever the number of hosts.

Read by Nova's user. Times come as MariaDB has them, in UTC; `epoch` of nova_state.py turns them.
"""

import contextlib

import nova_state
import sql

FINISHED = ("cancelled", "completed", "confirmed", "done", "error", "failed", "reverted")
"""What Nova itself takes for the end of a migration (nova/db/main/api.py,
migration_get_in_progress_by_host_and_node). `finished` is none: a resize that waits for its
confirmation."""
FINISHED_SQL = "(" + ", ".join(f"'{status}'" for status in FINISHED) + ")"

# Of the cell, where guests and services are. Columns that hold what users gave are not read.
CELL = {
    "services": (
        "SELECT id, uuid, host, `binary`, last_seen_up, forced_down, disabled, disabled_reason,"
        " version, created_at FROM {cell1}.services WHERE deleted = 0"
    ),
    "compute_nodes": (
        "SELECT id, uuid, host, hypervisor_hostname, host_ip, mapped, vcpus, memory_mb, local_gb,"
        " hypervisor_type, hypervisor_version, created_at,"
        " COALESCE(updated_at, created_at) AS written FROM {cell1}.compute_nodes WHERE deleted = 0"
    ),
    "instances": (
        "SELECT uuid, display_name, host, node, vm_state, task_state, power_state, vcpus,"
        " memory_mb, root_gb, ephemeral_gb, created_at, launched_at,"
        " COALESCE(updated_at, created_at) AS written FROM {cell1}.instances WHERE deleted = 0"
    ),
    "migrations": (
        "SELECT id, uuid, instance_uuid, source_compute, dest_compute, source_node, dest_node,"
        " migration_type, status, COALESCE(updated_at, created_at) AS written"
        " FROM {cell1}.migrations WHERE deleted = 0 AND (status NOT IN "
        + FINISHED_SQL
        + " OR (migration_type = 'evacuation' AND status = 'done')"
        " OR id IN (SELECT MAX(id) FROM {cell1}.migrations WHERE deleted = 0"
        " GROUP BY instance_uuid))"
    ),
    # The flavor is JSON of Nova's objects; only what adds to the columns of `instances` is read.
    "flavors": (
        "SELECT uuid, swap, extra_specs FROM (SELECT i.uuid,"
        " JSON_EXTRACT(e.flavor, '$.cur.\"nova_object.data\".swap') AS swap,"
        " JSON_EXTRACT(e.flavor, '$.cur.\"nova_object.data\".extra_specs') AS extra_specs"
        " FROM {cell1}.instances i"
        " LEFT JOIN {cell1}.instance_extra e ON e.instance_uuid = i.uuid AND e.deleted = 0"
        " WHERE i.deleted = 0 AND i.host IS NOT NULL) flavor"
        " WHERE swap IS NULL OR swap <> 0 OR extra_specs IS NULL OR extra_specs NOT IN ('{{}}')"
    ),
    "volume_roots": (
        "SELECT DISTINCT instance_uuid FROM {cell1}.block_device_mapping"
        " WHERE deleted = 0 AND boot_index = 0 AND destination_type = 'volume'"
    ),
    "machine_types": (
        "SELECT i.uuid, i.host FROM {cell1}.instances i"
        " LEFT JOIN {cell1}.instance_system_metadata m ON m.instance_uuid = i.uuid"
        " AND m.`key` = 'image_hw_machine_type' AND m.deleted = 0"
        " WHERE i.deleted = 0 AND i.launched_at IS NOT NULL AND m.id IS NULL"
    ),
}
API = {
    "cell_mappings": "SELECT id, uuid, name, disabled FROM {api}.cell_mappings",
    "host_mappings": "SELECT id, cell_id, host, created_at FROM {api}.host_mappings",
    "unmapped_instances": (
        "SELECT i.uuid, i.host, i.created_at, m.id AS mapping, m.cell_id AS cell"
        " FROM {cell1}.instances i"
        " LEFT JOIN {api}.instance_mappings m ON m.instance_uuid = i.uuid"
        " LEFT JOIN {api}.cell_mappings c ON c.id = m.cell_id"
        " WHERE i.deleted = 0 AND (m.id IS NULL OR m.cell_id IS NULL"
        f" OR c.uuid = '{nova_state.CELL0}')"
    ),
    "build_requests": (
        "SELECT b.instance_uuid, b.created_at, i.uuid AS made FROM {api}.build_requests b"
        " LEFT JOIN {cell1}.instances i ON i.uuid = b.instance_uuid"
    ),
    "aggregates": "SELECT id, uuid, name FROM {api}.aggregates",
    "aggregate_hosts": "SELECT aggregate_id, host, created_at FROM {api}.aggregate_hosts",
}
FAILED = {
    "cell0_services": "SELECT id, uuid, host, `binary` FROM {cell0}.services WHERE deleted = 0",
    "cell0_instances": (
        "SELECT uuid, display_name, host, vm_state, task_state, created_at,"
        " COALESCE(updated_at, created_at) AS written FROM {cell0}.instances WHERE deleted = 0"
    ),
    "faults": " UNION ALL ".join(
        f"SELECT f.id, f.instance_uuid, f.message FROM {{{cell}}}.instance_faults f"
        f" JOIN {{{cell}}}.instances i ON i.uuid = f.instance_uuid"
        " WHERE i.deleted = 0 AND i.vm_state = 'error' AND f.deleted = 0"
        for cell in ("cell0", "cell1")
    ),
}

SHADOWED = (
    "instances",
    "instance_extra",
    "instance_faults",
    "instance_actions",
    "instance_info_caches",
    "instance_metadata",
    "instance_system_metadata",
    "block_device_mapping",
    "migrations",
    "virtual_interfaces",
)
"""Tables of a cell in which deleted rows stay until they are archived, those that grow with use."""
KEPT_DAYS = 90
"""For how long a deleted row stays at least before somebody misses that it is archived."""


def deleted_rows(name, table, days):
    """How many deleted rows a table has, how many of them are old, and since when the oldest is."""
    place = f"{sql.quoted(name)}.{sql.quoted(table)}"
    return (
        f"SELECT '{table}' AS `table`, COUNT(*) AS `rows`, MIN(deleted_at) AS oldest,"
        f" SUM(deleted_at < UTC_TIMESTAMP() - INTERVAL {int(days)} DAY) AS old"
        f" FROM {place} WHERE deleted <> 0"
    )


def queries(names, days=KEPT_DAYS):
    """Each question by its name, with its statement."""
    quoted = {key: sql.quoted(name) for key, name in names.items()}
    found = {
        key: text.format(**quoted) for part in (CELL, API, FAILED) for key, text in part.items()
    }
    found["deleted"] = " UNION ALL ".join(
        deleted_rows(names["cell1"], name, days) for name in SHADOWED
    )
    return found


SETTINGS = (
    "SHOW GLOBAL VARIABLES WHERE Variable_name IN"
    " ('hostname', 'version', 'innodb_snapshot_isolation', 'transaction_isolation', 'tx_isolation')"
)
"""Of the server behind the address that Nova has; one that it does not know it does not show."""


def settings(connection):
    """The variables of the server; none where it does not say them."""
    try:
        return sql.rows(connection, "the server's variables", SETTINGS)
    except sql.NoAnswerError:
        return []  # of one that has gone whatever is asked next says so


def kept_days(expected):
    """For how many days this site wants deleted rows to stay, if it says so."""
    return max(KEPT_DAYS, expected.get("archived_after") or 0)


def read(request):
    """All rows by the question that they answer, and the settings of the server.

    Raises sql.NoAnswerError; a table that is not there is no answer, for the schema is another.
    """
    days = kept_days(request.get("expected", {}))
    with contextlib.closing(nova_state.connect(request)) as connection:
        variables = settings(connection)
        found = {
            key: sql.rows(connection, key, statement)
            for key, statement in queries(request["names"], days).items()
        }
        return {**found, "settings": variables}
