"""What a restore has left on a host, which no deploy takes away.

The files are those of ``files/backup/restored_host.py``.
"""

from __future__ import annotations

from collections.abc import Iterator

from pyinfra_nova.resources.host_report import NoReport, Report
from pyinfra_nova.run.verdicts import Verdict
from pyinfra_nova.site.settings import HostSettings

RESTORE = "restore"
CUT_OFF = (
    "was cut off, and the databases may be half replaced: go on with `./run restore FILE`, "
    "or see docs/backup.md"
)
KEPT = (
    "nova-compute has running_deleted_instance_action = log of a restore until "
    "`./run restore --finish`"
)


def is_under_way(report: Report | NoReport) -> bool:
    """Whether a host says that a restore is under way, or was cut off."""
    if isinstance(report, NoReport):
        return False
    return any(path.endswith("restore-under-way") for path in report.written.get("restore", []))


def findings(host: HostSettings, report: Report) -> Iterator[Verdict]:
    if is_under_way(report):
        yield Verdict(host.name, RESTORE, False, CUT_OFF)
    elif report.written.get("restore"):
        yield Verdict(host.name, RESTORE, True, KEPT)
