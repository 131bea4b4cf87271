"""What explains much of the rest: it is said first, and what follows from it is held back."""

import broker_queues
from finding import finding, needs
from names import counted

UNDER_WAY, NOT_OVER, STOPPED = "restore-under-way", "restore-unfinished", "broker-down"
FIRST = (UNDER_WAY, NOT_OVER, STOPPED)
"""The kinds that are said before all others, in this order."""
SILENT = ("service-silent", "service-deaf", "agent-dead")
"""What is found of processes that run and cannot speak."""
FOLLOWING = {
    UNDER_WAY: (*SILENT, "service-down", "node-missing"),
    STOPPED: SILENT,
}
"""What a restore, which stops services, and a broker that does not run bring about."""


def hosts_with(evidence, left):
    """The hosts on which a restore has LEFT something, by the names that Nova has."""
    named = {name: host for host, name in evidence.expected["names"].items()}
    found = (name for name, each in evidence.hosts.items() if each.get("restore") == left)
    return sorted(named.get(name, name) for name in found)


@needs("hosts")
def restores_that_are_not_over(evidence):
    under_way, left = hosts_with(evidence, "under way"), hosts_with(evidence, "not over")
    if under_way:
        yield finding(
            UNDER_WAY,
            under_way[0],
            "a restore is under way, or was cut off: Nova may stand still, and its databases may "
            "be half replaced",
            "`./run restore FILE` with the same file goes on; where nothing was replaced yet, "
            "`./run restore --finish` gives it up",
            key="restore",
        )
    elif left:
        yield finding(
            NOT_OVER,
            left[0],
            f"a restore is not over: {counted(len(left), 'compute', 'remove')} no guest that Nova "
            "calls deleted",
            "see what differs still, and save what is to be saved; then `./run restore --finish`",
            key="restore",
        )


@needs()
def stopped_brokers(evidence):
    """By the word of epmd on the broker's own host, which knows whether its node runs."""
    match = broker_queues.STOPPED.fullmatch(evidence.silent.get("broker", ""))
    if match:
        yield finding(
            STOPPED,
            match["host"],
            match[0],
            f"`systemctl start rabbitmq-server` on {match['host']}; "
            "`journalctl -u rabbitmq-server` says why it ended",
            key="broker",
        )


DETECTORS = (restores_that_are_not_over, stopped_brokers)


def sorted_out(found, request, silent):
    """The findings FOUND, causes first, without those that follow from one of them.

    Of a broker of several nodes one that does not run explains nothing yet.
    """
    kinds = {each["kind"] for each in found}
    alone = len(request["broker"].get("hosts", ())) == 1
    causes = [kind for kind in FOLLOWING if kind in kinds and (kind != STOPPED or alone)]
    following = {kind for cause in causes for kind in FOLLOWING[cause]}
    kept = [dict(each) for each in found if each["kind"] not in following]
    for each in kept:
        if causes and each["kind"] == causes[0]:
            each["what"] += held_back([e for e in found if e["kind"] in following])
        elif UNDER_WAY in causes:
            each["repair"] = None  # of records that are about to be others
        if each["kind"] in SILENT and "broker" in silent:
            each["remedy"] = f"first see why the broker does not answer; then {each['remedy']}"
    return sorted(kept, key=place)


def place(each):
    is_first = each["kind"] in FIRST
    rank = FIRST.index(each["kind"]) if is_first else len(FIRST)
    return rank, each["where"], each["kind"], each["key"]


def held_back(found):
    if not found:
        return ""
    kinds = sorted({each["kind"] for each in found})
    numbers = [f"{sum(e['kind'] == kind for e in found)} {kind}" for kind in kinds]
    return f"; held back, because it follows from that: {', '.join(numbers)}"
