"""Faults of every sort, as clouds get them, planted by SQL, libvirt and files, and taken back.

Each is made older than the time for which an audit leaves alone what has just changed.
"""

from __future__ import annotations

from dataclasses import dataclass

OLD = "NOW() - INTERVAL 1 HOUR"
PREFIX = "audit-"
GUESTS = (
    "whole",
    "moved",
    "unplaced",
    "twice",
    "stuck",
    "failed",
    "nodeless",
    "lost",
    "vanished",
    "still",
)
DELETED, GHOST = "deleted", "compute4"
STRANGE_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPlantedPlantedPlantedPlantedPlantedPlantedPlan"


def sql(statement: str) -> str:
    return f'mysql nova -e "{statement}"'


def guest(name: str) -> str:
    """The uuid of a guest, within SQL; of the last one, where several have had the name."""
    return (
        f"(SELECT uuid FROM (SELECT uuid FROM nova.instances WHERE display_name = '{PREFIX}{name}'"
        " ORDER BY id DESC LIMIT 1) AS found)"
    )


def provider(host: str) -> str:
    return f"(SELECT id FROM placement.resource_providers WHERE name = '{host}')"


def allocation(consumer: str, host: str) -> str:
    """One processor of HOST for CONSUMER, an expression that gives a uuid."""
    return sql(
        "SET @consumer = " + consumer + ";"
        " INSERT IGNORE INTO placement.consumers (created_at, uuid, generation, project_id,"
        " user_id)"
        f" SELECT {OLD}, @consumer, 1, project_id, user_id FROM placement.consumers LIMIT 1;"
        " INSERT INTO placement.allocations (created_at, updated_at, resource_provider_id,"
        f" consumer_id, resource_class_id, used) SELECT {OLD}, {OLD}, {provider(host)}, @consumer,"
        " id, 1 FROM placement.resource_classes WHERE name = 'VCPU'"
    )


def change(name: str, what: str) -> str:
    return sql(f"UPDATE nova.instances SET {what}, updated_at = {OLD} WHERE uuid = {guest(name)}")


@dataclass(frozen=True)
class Plant:
    """A fault.

    Attributes:
        kind: what the audit calls it.
        plant: the commands that make it, on HOST.
        undo: the commands that take it back, also where it has been repaired.
        where: of the finding; None where that is a uuid.
        repaired: by ``--repair``.
    """

    kind: str
    plant: str
    undo: str
    where: str | None = None
    host: str = "controller"
    repaired: bool = False


FOLDER = "/var/lib/nova/instances/6d1a3c58-0b3c-4f6e-9d7c-5a3f0e1b2c4d"
BASE = "/var/lib/nova/instances/_base/aaaabbbbccccddddeeeeffff0000111122223333"
NODE = (
    "INSERT INTO nova.compute_nodes (created_at, updated_at, vcpus, memory_mb, local_gb,"
    " vcpus_used, memory_mb_used, local_gb_used, hypervisor_type, hypervisor_version, cpu_info,"
    f" hypervisor_hostname, deleted, host, uuid, mapped, host_ip) VALUES ({OLD}, {OLD}, 1, 1, 1, 0,"
    " 0, 0, 'QEMU', 7002000, '{}', 'compute7', 0, 'compute7', UUID(), 0, '10.0.0.37')"
)
SERVICE = (
    "INSERT INTO {database}.services (created_at, updated_at, uuid, host, \\`binary\\`, topic,"
    f" report_count, disabled, deleted, version, last_seen_up, forced_down) VALUES ({OLD}, {OLD},"
    f" UUID(), '{{host}}', 'nova-compute', 'compute', 7, 0, 0, 64, {OLD}, 0)"
)
AGGREGATE = (
    f"INSERT INTO nova_api.aggregates (created_at, uuid, name) VALUES ({OLD}, UUID(), '{{0}}');"
    " INSERT INTO nova_api.aggregate_hosts (created_at, host, aggregate_id)"
    f" SELECT {OLD}, '{{1}}', id FROM nova_api.aggregates WHERE name = '{{0}}'"
)
NO_AGGREGATE = (
    "DELETE h FROM nova_api.aggregate_hosts h JOIN nova_api.aggregates a ON a.id = h.aggregate_id"
    " WHERE a.name = '{0}'; DELETE FROM nova_api.aggregates WHERE name = '{0}'"
)
AGENT = (
    "INSERT INTO neutron.agents (id, agent_type, \\`binary\\`, topic, host, admin_state_up,"
    " created_at, started_at, heartbeat_timestamp, configurations, \\`load\\`) VALUES (UUID(),"
    f" 'Open vSwitch agent', 'neutron-openvswitch-agent', 'N/A', 'compute5', 1, {OLD}, {OLD},"
    f" {OLD}, '{{}}', 0)"
)
DOMAIN = (
    "<domain type='qemu'><name>planted</name><uuid>2f0c7f6a-58e0-4d1b-9c53-3c6f1a2b3c4d</uuid>"
    "<memory>1024</memory><os><type>hvm</type></os></domain>"
)
PASSWORD = (
    "UPDATE keystone.password p JOIN keystone.local_user l ON l.id = p.local_user_id"
    " SET p.expires_at = {0}, p.expires_at_int = {1} WHERE l.name = 'nova'"
)
MOVE = (
    "INSERT INTO nova.migrations (created_at, updated_at, deleted, uuid, source_compute,"
    " dest_compute, source_node, dest_node, status, instance_uuid, migration_type, hidden)"
    " SELECT NOW() - INTERVAL {0} HOUR, NOW() - INTERVAL {0} HOUR, 0, UUID(), host,"
    " IF(host = 'compute1', 'compute2', 'compute1'), host,"
    " IF(host = 'compute1', 'compute2', 'compute1'), '{1}', uuid, 'live-migration', 0"
    " FROM nova.instances WHERE uuid = {2}"
)

FORGET = "; systemctl restart memcached"
"""Keystone keeps there what it has read of a user."""

PLANTS = (
    Plant(
        "service-of-a-stranger",
        sql(SERVICE.format(database="nova", host="compute9")),
        sql("DELETE FROM nova.services WHERE host = 'compute9'"),
        "compute9",
        repaired=True,
    ),
    Plant(
        "service-renamed",
        sql(SERVICE.format(database="nova", host="compute2.example.org")),
        sql("DELETE FROM nova.services WHERE host = 'compute2.example.org'"),
        repaired=True,
    ),
    Plant(
        "service-in-cell0",
        sql(SERVICE.format(database="nova_cell0", host="compute1")),
        sql("DELETE FROM nova_cell0.services WHERE host = 'compute1'"),
    ),
    Plant(
        "mapping-of-a-stranger",
        sql(
            "INSERT INTO nova_api.host_mappings (created_at, cell_id, host)"
            f" SELECT {OLD}, id, 'compute8' FROM nova_api.cell_mappings WHERE name = 'cell1'"
        ),
        sql("DELETE FROM nova_api.host_mappings WHERE host = 'compute8'"),
        "compute8",
    ),
    Plant(
        "node-of-a-stranger",
        sql(NODE),
        # Who maps hosts maps this one, too.
        sql(
            "DELETE FROM nova.compute_nodes WHERE host = 'compute7';"
            " DELETE FROM nova_api.host_mappings WHERE host = 'compute7'"
        ),
        "compute7",
    ),
    Plant(
        "compute-unmapped",
        sql(
            "DELETE FROM nova_api.host_mappings WHERE host = 'compute2';"
            " UPDATE nova.compute_nodes SET mapped = 0 WHERE host = 'compute2'"
        ),
        "runuser -u nova -- nova-manage cell_v2 discover_hosts",
        "compute2",
        repaired=True,
    ),
    Plant(
        "aggregate-member-of-a-stranger",
        sql(AGGREGATE.format("strange", "compute6")),
        sql(NO_AGGREGATE.format("strange")),
    ),
    Plant(
        "aggregate-not-in-placement",
        sql(AGGREGATE.format("apart", "compute1")),
        "a=$(mysql -N -e \"SELECT uuid FROM nova_api.aggregates WHERE name = 'apart'\");"
        + sql(
            "DELETE r FROM placement.resource_provider_aggregates r JOIN"
            " placement.placement_aggregates p ON p.id = r.aggregate_id WHERE p.uuid = '$a'; "
            + NO_AGGREGATE.format("apart")
        ),
        repaired=True,
    ),
    Plant(
        "agent-of-a-stranger",
        sql(AGENT),
        sql("DELETE FROM neutron.agents WHERE host = 'compute5'"),
        "compute5",
    ),
    Plant(
        "endpoint-doubled",
        # Of the interface that no client here asks for.
        "openstack endpoint create --region RegionOne compute admin http://elsewhere:8774/v2.1",
        "openstack endpoint delete $(openstack endpoint list --service compute -f value -c ID"
        " -c URL | awk '/elsewhere/ {print $1}')",
    ),
    Plant(
        "known-host-of-a-stranger",
        f"echo 'compute9,10.0.0.39 {STRANGE_KEY}' >>/etc/nova/known_hosts",
        "sed -i /^compute9,/d /etc/nova/known_hosts",
        "compute1",
        host="compute1",
    ),
    Plant(
        "key-of-a-stranger",
        f"echo '{STRANGE_KEY} planted@elsewhere' >>/var/lib/nova/.ssh/authorized_keys",
        "sed -i /planted@elsewhere/d /var/lib/nova/.ssh/authorized_keys",
        "compute2",
        host="compute2",
    ),
    Plant(
        "service-forced-down",
        sql("UPDATE nova.services SET forced_down = 1 WHERE host = 'controller'"),
        sql("UPDATE nova.services SET forced_down = 0 WHERE host = 'controller'"),
        "controller",
    ),
    Plant(
        "service-disabled-itself",
        sql(
            "UPDATE nova.services SET disabled = 1, disabled_reason = 'AUTO: no libvirt'"
            " WHERE host = 'compute2'"
        ),
        sql(
            "UPDATE nova.services SET disabled = 0, disabled_reason = NULL WHERE host = 'compute2'"
        ),
        "compute2",
    ),
    Plant(
        "rows-not-archived",
        sql(
            "UPDATE nova.instances SET deleted_at = NOW() - INTERVAL 200 DAY"
            f" WHERE uuid = {guest(DELETED)}"
        ),
        sql(f"UPDATE nova.instances SET deleted_at = {OLD} WHERE uuid = {guest(DELETED)}"),
    ),
    Plant(
        "provider-without-node",
        sql(
            "INSERT INTO placement.resource_providers (created_at, updated_at, uuid, name,"
            f" generation) VALUES ({OLD}, {OLD}, UUID(), 'compute4', 0);"
            " UPDATE placement.resource_providers SET root_provider_id = id"
            f" WHERE name = '{GHOST}';"
            " INSERT INTO placement.inventories (created_at, updated_at, resource_provider_id,"
            " resource_class_id, total, reserved, min_unit, max_unit, step_size, allocation_ratio)"
            f" SELECT {OLD}, {OLD}, {provider(GHOST)}, id, 1, 0, 1, 1, 1, 1"
            " FROM placement.resource_classes WHERE name = 'VCPU'"
        ),
        sql(
            f"DELETE FROM placement.inventories WHERE resource_provider_id = {provider(GHOST)};"
            " UPDATE placement.resource_providers SET root_provider_id = NULL"
            f" WHERE name = '{GHOST}';"
            f" DELETE FROM placement.resource_providers WHERE name = '{GHOST}'"
        ),
    ),
    Plant(
        "allocation-of-deleted-guest",
        # Of its own provider each nova-compute takes such ones away within a minute.
        allocation(guest(DELETED), "compute4"),
        sql(f"DELETE FROM placement.allocations WHERE consumer_id = {guest(DELETED)}"),
        "compute4",
        repaired=True,
    ),
    Plant(
        "allocation-of-finished-migration",
        sql(MOVE.format(3, "reverted", guest("whole")))
        + ";"
        + allocation(
            "(SELECT uuid FROM nova.migrations WHERE instance_uuid ="
            f" {guest('whole')} ORDER BY id LIMIT 1)",
            "compute2",
        ),
        sql(
            "DELETE a FROM placement.allocations a JOIN nova.migrations m ON m.uuid ="
            f" a.consumer_id; DELETE FROM nova.migrations WHERE instance_uuid = {guest('whole')}"
        ),
        "compute2",
        repaired=True,
    ),
    Plant(
        "move-not-recorded",
        sql(
            f"UPDATE nova.instances SET launched_at = NOW() - INTERVAL 3 HOUR"
            f" WHERE uuid = {guest('moved')}; " + MOVE.format(2, "completed", guest("moved"))
        ),
        sql(f"DELETE FROM nova.migrations WHERE instance_uuid = {guest('moved')}"),
    ),
    Plant(
        "move-unconfirmable",
        # As after a resize whose guest somebody has reset to ACTIVE.
        sql(MOVE.format(2, "finished", guest("still")).replace("'live-migration'", "'resize'")),
        sql(f"DELETE FROM nova.migrations WHERE instance_uuid = {guest('still')}"),
        repaired=True,
    ),
    Plant(
        "allocation-of-nobody",
        allocation("'7e0b7a2c-9f4d-4c3a-8b1e-0d6c5f4e3d2c'", "compute2"),
        sql(
            "DELETE FROM placement.allocations"
            " WHERE consumer_id = '7e0b7a2c-9f4d-4c3a-8b1e-0d6c5f4e3d2c'"
        ),
        "compute2",
    ),
    Plant(
        "guest-without-allocation",
        sql(f"DELETE FROM placement.allocations WHERE consumer_id = {guest('unplaced')}"),
        "true",
    ),
    Plant(
        "doubled-allocation",
        sql(f"SELECT IF(host = 'compute1', 'compute2', 'compute1') FROM nova.instances"
            f" WHERE uuid = {guest('twice')}").replace("mysql nova -e", "h=$(mysql -N -e")
        + ");"
        + allocation(guest("twice"), "$h"),
        "true",
    ),
    Plant("guest-stuck", change("stuck", "task_state = 'rebooting'"),
          change("stuck", "task_state = NULL")),
    Plant("guest-in-error", change("failed", "vm_state = 'error'"),
          change("failed", "vm_state = 'active'")),
    Plant("guest-without-node", change("nodeless", "node = 'gone'"),
          change("nodeless", "node = host")),
    Plant(
        "machine-type-unset",
        sql(
            f"DELETE FROM nova.instance_system_metadata WHERE instance_uuid = {guest('unplaced')}"
            " AND \\`key\\` = 'image_hw_machine_type'"
        ),
        "true",
    ),
    Plant(
        "guest-unmapped",
        sql(f"DELETE FROM nova_api.instance_mappings WHERE instance_uuid = {guest('lost')}"),
        "runuser -u nova -- nova-manage cell_v2 map_instances --reset --cell_uuid"
        " $(mysql -N -e \"SELECT uuid FROM nova_api.cell_mappings WHERE name = 'cell1'\")",
    ),
    Plant(
        "build-request-left",
        sql(
            "INSERT INTO nova_api.build_requests (created_at, instance_uuid, project_id, instance)"
            f" VALUES ({OLD}, 'b0000000-0000-4000-8000-000000000001', 'p', '{{}}')"
        ),
        sql(
            "DELETE FROM nova_api.build_requests"
            " WHERE instance_uuid = 'b0000000-0000-4000-8000-000000000001'"
        ),
    ),
    Plant(
        "guest-without-domain",
        "eval $(mysql -N -e \"SELECT CONCAT('h=', host, ' n=instance-',"
        " LPAD(LOWER(HEX(id)), 8, '0'))"
        f" FROM nova.instances WHERE display_name = '{PREFIX}vanished' AND deleted = 0\");"
        " echo $h $n >/root/vanished",
        "true",
    ),
    Plant(
        "domain-unknown-to-nova",
        f'echo "{DOMAIN}" >/root/planted.xml; virsh define /root/planted.xml;'
        " mkdir -p /var/log/libvirt/qemu; touch -d '1 hour ago' /var/log/libvirt/qemu/planted.log",
        "virsh undefine planted; rm -f /root/planted.xml /var/log/libvirt/qemu/planted.log",
        "compute1",
        host="compute1",
    ),
    Plant(
        "guest-folder-without-owner",
        f"mkdir -p {FOLDER}; head -c 1M /dev/zero >{FOLDER}/disk; chown -R nova: {FOLDER};"
        f" touch -d '1 hour ago' {FOLDER}/disk {FOLDER}",
        f"rm -rf {FOLDER}",
        "compute2",
        host="compute2",
    ),
    Plant(
        "base-image-unused",
        f"head -c 1M /dev/zero >{BASE}; chown nova: {BASE}; touch -d '3 days ago' {BASE}",
        f"rm -f {BASE}",
        "compute2",
        host="compute2",
    ),
    Plant(
        "password-ends",
        sql(
            PASSWORD.format(
                "NOW() + INTERVAL 3 DAY", "UNIX_TIMESTAMP(NOW() + INTERVAL 3 DAY) * 1000000"
            )
        )
        + FORGET,
        sql(PASSWORD.format("NULL", "NULL")) + FORGET,
    ),
)  # fmt: skip
