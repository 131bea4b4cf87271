"""The cloud's figures in Prometheus' text format: from SQL and from what the last audit has left.

Names, units and types follow https://prometheus.io/docs/practices/naming/: base units, `_total` for
counters alone, `_info` for what is but a label.
"""

import contextlib
import time

import nova_state
import sql

GUESTS = (
    "SELECT COALESCE(host, '') AS host, vm_state, COUNT(*) AS number FROM {cell1}.instances"
    " WHERE deleted = 0 GROUP BY host, vm_state"
)
BUSY = (
    "SELECT COUNT(*) AS number, MIN(COALESCE(updated_at, created_at)) AS oldest"
    " FROM {cell1}.instances WHERE deleted = 0 AND task_state IS NOT NULL"
)
SERVICES = (
    "SELECT `binary`, host, COALESCE(last_seen_up, created_at) AS last_seen_up, disabled,"
    " forced_down, version FROM {cell1}.services"
    " WHERE deleted = 0 AND `binary` IN ('nova-compute', 'nova-conductor', 'nova-scheduler')"
)
NODES = (
    "SELECT host, vcpus, vcpus_used, memory_mb, memory_mb_used, local_gb, local_gb_used"
    " FROM {cell1}.compute_nodes WHERE deleted = 0"
)
BUILDS = "SELECT COUNT(*) AS number FROM {api}.build_requests"
DELETED = "SELECT COUNT(*) AS number FROM {cell1}.instances WHERE deleted <> 0"
JOBS = ("archive", "purge", "audit", "metrics", "backup")
MARK = "# Written by pyinfra-nova (files/care/cloud_metrics.py)."
"""By it a deploy that wants no metrics any more knows the page."""


class Page:
    """Families of metrics, each with its help and type before its samples."""

    def __init__(self):
        self.lines = [MARK]

    def family(self, name, text, samples, kind="gauge"):
        """SAMPLES are pairs of labels and a value."""
        self.lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
        for labels, value in samples:
            inner = ",".join(f'{key}="{escaped(label)}"' for key, label in labels.items())
            name_and_labels = f"{name}{{{inner}}}" if inner else name
            self.lines.append(f"{name_and_labels} {value!r}")

    def text(self):
        return "\n".join(self.lines) + "\n"


def escaped(text):
    return str(text).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def rows_of(config):
    """The rows of each query, all of one moment."""
    request = config["databases"]
    names = {key: sql.quoted(name) for key, name in request["names"].items()}
    found = {}
    with contextlib.closing(nova_state.connect(request)) as connection:
        sql.rows(connection, "a snapshot", "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
        for key, statement in {
            "services": SERVICES,
            "nodes": NODES,
            "guests": GUESTS,
            "busy": BUSY,
            "builds": BUILDS,
            "deleted": DELETED,
        }.items():
            found[key] = sql.rows(connection, key, statement.format(**names))
    return found


def exposition(config, left_by):
    """The page as node_exporter reads it; LEFT_BY gives what a job has left of its last run.

    Raises sql.NoAnswerError: then the last page stays, and its age tells.
    """
    return page_of(rows_of(config), [name for name in JOBS if name in config], left_by, time.time())


def page_of(rows, jobs, left_by, now):
    """The page of what was read at NOW."""
    page = Page()
    of_services(page, latest(rows["services"]), now)
    of_guests(page, rows, now)
    of_capacity(page, by_host(rows["nodes"]))
    of_audit(page, left_by("findings"))
    of_care(page, {name: left_by(name) for name in jobs})
    page.family("nova_metrics_timestamp_seconds", "When this page was written.", [({}, now)])
    return page.text()


def latest(services):
    """Of a service that Nova has twice the record that reports: node_exporter takes no page with
    two samples of the same labels."""
    found = {}
    for row in sorted(services, key=lambda row: nova_state.epoch(row["last_seen_up"])):
        found[row["binary"], row["host"]] = row
    return list(found.values())


def by_host(nodes):
    """The sum of each host's nodes; Nova may have several, one that is no more for one."""
    found = {}
    for row in nodes:
        sums = found.setdefault(row["host"], {"host": row["host"]})
        for key, value in row.items():
            if key != "host":
                sums[key] = sums.get(key, 0) + (value or 0)
    return list(found.values())


def of_services(page, services, now):
    labels = [{"binary": row["binary"], "host": row["host"]} for row in services]

    def family(name, text, value):
        samples = [(each, value(row)) for each, row in zip(labels, services)]  # noqa: B905
        page.family(name, text, samples)

    family(
        "nova_service_heartbeat_age_seconds",
        "Since a service has last reported that it is there.",
        lambda row: now - nova_state.epoch(row["last_seen_up"]),
    )
    family(
        "nova_service_enabled",
        "Whether a service takes new guests; 0 where it is disabled.",
        lambda row: 0 if row["disabled"] else 1,
    )
    family(
        "nova_service_forced_down",
        "Whether somebody has called a service down.",
        lambda row: 1 if row["forced_down"] else 0,
    )
    family(
        "nova_service_version",
        "The version of a service's objects, which tells releases apart.",
        lambda row: row["version"] or 0,
    )


def of_guests(page, rows, now):
    page.family(
        "nova_guests",
        "Guests by host and state.",
        [
            ({"host": row["host"], "state": row["vm_state"] or ""}, row["number"])
            for row in rows["guests"]
        ],
    )
    busy = rows["busy"][0]
    oldest = now - nova_state.epoch(busy["oldest"]) if busy["oldest"] else 0
    page.family("nova_guests_busy", "Guests with a task under way.", [({}, busy["number"])])
    page.family(
        "nova_guests_busy_oldest_seconds", "Since the oldest of them was written.", [({}, oldest)]
    )
    builds, deleted = rows["builds"][0]["number"], rows["deleted"][0]["number"]
    page.family("nova_build_requests", "Guests asked for, and not made yet.", [({}, builds)])
    page.family("nova_deleted_guests", "Deleted and not archived.", [({}, deleted)])


def of_capacity(page, nodes):
    """As nova-compute reports it, before Placement's ratios and reservations."""
    for thing, base, text, key, size in (
        ("cpus", "", "Processors that guests may have", "vcpus", 1),
        ("memory", "_bytes", "Memory for guests", "memory_mb", 1 << 20),
        ("disk", "_bytes", "Disk for guests", "local_gb", 1 << 30),
    ):
        for suffix, more, column in (("", "", key), ("_used", ", used", key + "_used")):
            samples = [({"host": row["host"]}, row[column] * size) for row in nodes]
            page.family(
                f"nova_compute_{thing}{suffix}{base}", f"{text} of a compute{more}.", samples
            )


def of_audit(page, found):
    if found is None:
        return
    counts = {}
    for each in found["findings"]:
        counts[each["kind"]] = counts.get(each["kind"], 0) + 1
    page.family(
        "nova_audit_findings",
        "What the last audit found, by kind.",
        [({"kind": kind}, number) for kind, number in sorted(counts.items())],
    )
    page.family("nova_audit_timestamp_seconds", "When it looked.", [({}, found["at"])])
    page.family(
        "nova_audit_silent_sources",
        "Sources that did not answer it.",
        [({}, len(set(found["silent"]) - {"hosts"}))],
    )


def of_care(page, states):
    there = {job: state for job, state in states.items() if state and "outcome" in state}
    page.family(
        "nova_care_timestamp_seconds",
        "When a job last ended.",
        [({"job": job}, state["ended"]) for job, state in there.items()],
    )
    page.family(
        "nova_care_done_timestamp_seconds",
        "When it last ended with what it is for done; not where it was put off, or failed.",
        [({"job": job}, state["done"]) for job, state in there.items() if state.get("done")],
    )
    page.family(
        "nova_care_duration_seconds",
        "How long it took.",
        [({"job": job}, state["ended"] - state["began"]) for job, state in there.items()],
    )
    page.family(
        "nova_care_rows",
        "Rows it moved or deleted, or findings of the audit.",
        [({"job": job}, state["rows"]) for job, state in there.items()],
    )
    page.family(
        "nova_care_failed",
        "Whether it failed.",
        [({"job": job}, int(state["outcome"] == "failed")) for job, state in there.items()],
    )
