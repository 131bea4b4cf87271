"""The timers, and the program and settings that they run with."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, get_args

from pyinfra_nova.audit.question import CloudAudit, of_cloud
from pyinfra_nova.backup.question import Dump, of_dump
from pyinfra_nova.nova_conf.config_file import AbsentFile, ConfigFile
from pyinfra_nova.nova_conf.render import environment
from pyinfra_nova.resources.databases import as_nova
from pyinfra_nova.resources.nova_state import NovaDatabases
from pyinfra_nova.session.host_script import SCRIPTS, source_path
from pyinfra_nova.site.care import Metrics
from pyinfra_nova.site.settings import Site
from pyinfra_nova.site.tls import TRUST

PROGRAM = "/usr/local/lib/pyinfra-nova"
CONFIG = "/etc/pyinfra-nova/care.json"
UNITS = "/etc/systemd/system"
PREFIX = "nova-care-"
"""How the names of all units begin."""
STATE = "/var/lib/pyinfra-nova/care"
PAGE = "nova.prom"
MARKER = "Written by pyinfra-nova"
LEFT = r'\{"written by": "pyinfra-nova",'
"""How the first line of what a job leaves is told (``files/care/jobs.py``)."""
BACKUP = (*Dump.uses, Dump.script)
OWN = ("cloud_metrics", "daily_backup", "jobs")
JobName = Literal["archive", "purge", "audit", "metrics", "backup"]


@dataclass(frozen=True)
class Job:
    """What a timer does.

    Attributes:
        name: as ``files/care/jobs.py`` knows it.
        title: for ``systemctl list-timers``.
        at: a time of day, for what is done daily.
        every: minutes, for what is done more often.
    """

    name: JobName
    title: str
    at: str | None = None
    every: int | None = None

    @property
    def timer(self) -> str:
        return f"{PREFIX}{self.name}.timer"

    @property
    def interval(self) -> float:
        """Seconds between two runs."""
        return 60.0 * self.every if self.every else 86400.0


def jobs_of(site: Site) -> list[Job]:
    """What the settings want done, in no order."""
    care, found = site.settings.care, list[Job]()
    if care.archive:
        found.append(Job("archive", "Archive Nova's deleted rows", at=care.archive.at))
    if care.purge:
        found.append(Job("purge", "Purge Nova's archived rows", at=care.purge.at))
    if care.audit:
        found.append(Job("audit", "Audit the cloud", every=care.audit.every))
    if care.metrics:
        found.append(Job("metrics", "Write Nova's metrics", every=care.metrics.every))
    if care.backup:
        found.append(Job("backup", "Back up Nova's databases", at=care.backup.at))
    return found


def _config(site: Site, databases: NovaDatabases) -> str:
    care = site.settings.care
    value: dict[str, Any] = {"written by": "pyinfra-nova", "databases": databases.as_request()}
    for name in ("archive", "purge", "metrics"):
        if part := getattr(care, name):
            value[name] = part.model_dump()
    if care.audit:
        value["audit"] = of_cloud(site, None)
    if care.backup:
        # No compute is asked from there: what each knows itself by is in the databases, too.
        request = {**of_dump(site, {}), "login": as_nova(site)}
        value["backup"] = {**care.backup.model_dump(), "request": request}
    if site.settings.tls.is_on:
        value["trusted"] = TRUST
    return json.dumps(value) + "\n"


@cache
def _sources() -> tuple[tuple[str, str], ...]:
    """Names and texts of the modules; those of the audit are what an audit from here uses, too."""
    names = dict.fromkeys((*CloudAudit.uses, CloudAudit.script, *BACKUP, *OWN))
    paths = map(source_path, names)
    return tuple(
        (path.name, f"# {MARKER} (files/{path.relative_to(SCRIPTS)}).\n{path.read_text()}")
        for path in paths
    )


def _units(jobs: list[Job]) -> Iterator[ConfigFile]:
    for job in jobs:
        for kind in ("service", "timer"):
            template = environment().get_template(f"care.{kind}.j2")
            content = template.render(job=job, folder=PROGRAM)
            yield ConfigFile(f"{UNITS}/{PREFIX}{job.name}.{kind}", content, "root", "root", "0644")


def files_for(site: Site, databases: NovaDatabases) -> list[ConfigFile]:
    """Everything that the timers need, on the primary controller."""
    jobs = jobs_of(site)
    if not jobs:
        return []
    found = [
        ConfigFile(f"{PROGRAM}/{name}", text, "root", "root", "0644", by_digest=True)
        for name, text in _sources()
    ]
    config = _config(site, databases)
    found.append(ConfigFile(CONFIG, config, "root", "root", "0600", hidden=True))
    return [*found, *_units(jobs)]


def unwanted(site: Site, jobs: list[Job]) -> list[AbsentFile]:
    """What an earlier run has written, and these JOBS do not need.

    Timers go last: as long as one is there, the next run goes on with what a killed one has left.
    """
    wanted = {job.name for job in jobs}
    names: tuple[JobName, ...] = get_args(JobName)
    gone = [name for name in names if name not in wanted]
    found = [AbsentFile(f"{PROGRAM}/*.py", f"# {MARKER} .*", "marker")]
    if not jobs:
        found.append(AbsentFile(CONFIG, r'\{"written by": "pyinfra-nova", .*\}', hidden=True))
    # Figures of a job that is done no more would be taken for those of today.
    left = [*gone, *(["findings"] if "audit" in gone else ())]
    found += [AbsentFile(f"{STATE}/{name}.json", LEFT, "marker") for name in left]
    here = site.settings.care.metrics if "metrics" in wanted else None
    if here is None or here.folder != Metrics().folder:
        found.append(AbsentFile(f"{Metrics().folder}/{PAGE}", f"# {MARKER} .*", "marker"))
    found += [
        AbsentFile(f"{UNITS}/{PREFIX}{name}.{kind}", f"# {MARKER} .*", "marker")
        for name in gone
        for kind in ("service", "timer")
    ]
    return found
