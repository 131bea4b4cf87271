"""What the database server was told that Nova does not get on with."""

from finding import finding, needs

ISOLATION = "innodb_snapshot_isolation"
LEVELS = ("transaction_isolation", "tx_isolation")
"""The newer name and the older one; `READ-...` reads no snapshot that a row could differ from."""


@needs("databases")
def snapshot_isolation(evidence):
    """ON is the default from MariaDB 11.6.2 on; https://bugs.launchpad.net/nova/+bug/2116186."""
    said = {row["Variable_name"]: row["Value"] for row in evidence.databases["settings"]}
    if said.get(ISOLATION) != "ON" or any(said.get(n, "").startswith("READ-") for n in LEVELS):
        return
    server = said.get("hostname") or "the database's host"
    yield finding(
        "snapshot-isolation",
        server,
        f"the database server on {server}, version {said.get('version')}, has {ISOLATION} = ON",
        f"`{ISOLATION} = OFF` under [mariadbd] in the configuration of each database server, and "
        f"`SET GLOBAL {ISOLATION} = OFF` on it for connections that begin after that",
        key="settings",
    )


DETECTORS = (snapshot_isolation,)
