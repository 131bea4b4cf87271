"""Services that are down, deaf, forced down, or have disabled themselves.

Systemd's word is none on this: a daemon that has lost the broker stays active. What tells is the
age of the heartbeat against that of the process, and who listens on its queue.
"""

from finding import GRACE, finding, needs
from names import age
from standing import Processes, Standing, queue_of, seen

BY_ITSELF = "AUTO:"
"""How Nova begins the reason for which it disables a compute itself (virt/libvirt/driver.py)."""


def expected_rows(evidence):
    """Those of the inventory; of a host that it calls dead nothing is expected."""
    known = {binary: set(hosts) for binary, hosts in evidence.expected["services"].items()}
    dead = evidence.expected["dead"]
    for row in evidence.databases["services"]:
        if row["host"] in known.get(row["binary"], ()) and row["host"] not in dead:
            yield row


def reporting_rows(evidence):
    """Of each service of the inventory the one record that the last heartbeat went to.

    The others of a doubled one are old whatever its process does (records.py names them).
    """
    newest = {}
    for row in expected_rows(evidence):
        place = (row["binary"], row["host"])
        newest[place] = max(newest.get(place, row), row, key=seen)
    return list(newest.values())


@needs("databases")
def flagged_services(evidence):
    """What a person, or Nova itself, has taken out of service and not put back."""
    for row in expected_rows(evidence):
        binary, host = row["binary"], row["host"]
        if row["forced_down"]:
            yield finding(
                "service-forced-down",
                host,
                f"{binary} on {host} is forced down",
                f"where that is over, `openstack compute service set --up {host} {binary}`",
                key=binary,
            )
        reason = row["disabled_reason"] or ""
        if row["disabled"] and reason.startswith(BY_ITSELF):
            yield finding(
                "service-disabled-itself",
                host,
                f"{binary} on {host} has disabled itself: {reason}",
                f"mend what it says; if it stays disabled, `openstack compute service set "
                f"--enable {host} {binary}`",
                key=binary,
            )


@needs("databases")
def silent_services(evidence):
    """Services whose heartbeat is older than Nova waits for it."""
    standing, processes = Standing(evidence), Processes(evidence)
    rows = reporting_rows(evidence)
    told = any(standing.is_up(row) for row in rows if row["binary"] == "nova-conductor")
    for row in rows:
        if row["forced_down"] or standing.is_up(row):
            continue
        # A compute reports by way of a conductor: without one its silence is not its own.
        is_its_own = told or row["binary"] != "nova-compute"
        found = judged(row, standing, processes, is_its_own)
        if found:
            yield found


def judged(row, standing, processes, is_its_own):
    binary, host = row["binary"], row["host"]
    last = f"its last heartbeat is {age(standing.silence(row))} old"
    if not is_its_own:
        kind, what = "service-silent", f"{last}; no nova-conductor is up to write one down"
        remedy = "see to nova-conductor first"
    elif not processes.looked(host):
        kind, what = "service-silent", f"{last}; {host} has not said whether its process runs"
        remedy = f"`systemctl status {binary}` on {host}"
    else:
        process, born = processes.of(row), processes.age(row)
        unit = process["unit"]
        if born is None:
            kind, what = "service-down", f"{last}, and its process does not run"
            remedy = f"`systemctl start {unit}` on {host}; `journalctl -u {unit}` says why it ended"
        elif born < GRACE:
            return None  # it has just been started
        else:
            kind = "service-deaf"
            what = f"process {process['pid']} has run for {age(born)}, but {last}"
            remedy = f"`systemctl restart {unit}` on {host}"
    if standing.at_queue(row):
        what += "; " + standing.at_queue(row)
    return finding(
        kind,
        host,
        f"{binary} on {host}: {what}",
        remedy,
        since=seen(row) or None,
        key=binary,
    )


@needs("databases", "broker", "hosts")
def deaf_services(evidence):
    """Services that report, and to which no call gets through."""
    standing, processes = Standing(evidence), Processes(evidence)
    for row in reporting_rows(evidence):
        binary, host = row["binary"], row["host"]
        if not standing.is_up(row) or standing.consumers(row) or not processes.looked(host):
            continue
        if evidence.listened is not None and seen(row) <= evidence.listened:
            continue  # it has not reported since nobody listened: it may have ended
        born = processes.age(row)
        # One that ends or begins at this moment listens no more, or not yet.
        if born is not None and born >= GRACE:
            unit = processes.of(row)["unit"]
            yield finding(
                "service-deaf",
                host,
                f"{binary} on {host} has run for {age(born)} and reports, but nobody listens on "
                f"queue {queue_of(row)}",
                f"`systemctl restart {unit}` on {host}",
                key=binary,
            )


DETECTORS = (flagged_services, silent_services, deaf_services)
