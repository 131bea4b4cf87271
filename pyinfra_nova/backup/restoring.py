"""Put a backup in the place of what is there: each step looks first, so a second call goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict
from functools import cached_property
from typing import Any

from pyinfra_nova.audit.cloud import AuditedCloud
from pyinfra_nova.audit.report import Audit, times
from pyinfra_nova.backup import differences, question, refusals
from pyinfra_nova.backup.cloud import Hosts
from pyinfra_nova.backup.host_stream import given
from pyinfra_nova.backup.seal import BackupError, Contents
from pyinfra_nova.knowledge.platforms import platform_for
from pyinfra_nova.nova_conf.urls import cell_urls
from pyinfra_nova.session.answering import NoAnswerError
from pyinfra_nova.session.host_script import Answer
from pyinfra_nova.site.settings import HostSettings, Site

Pieces = AbstractContextManager[Iterator[bytes]]
SUFFIX = "_restoring"
MARKER = (
    "# Written by pyinfra-nova: a restore is under way; `./run restore FILE` goes on with it.\n"
)
COMING = frozenset({"service-down", "service-silent", "service-deaf", "node-missing"})
"""Kinds of findings of services that have just been started."""
SETTLING, PAUSE = 150, 10
"""Seconds for them to come up, and between two looks."""
HEALED = (0, 4)
"""Exit codes of heal_allocations: made, and nothing to be made (nova/cmd/manage.py)."""


class Restoration:
    """One backup and the site that it goes to.

    Args:
        opened: begins the text of the backup anew.
        say: takes what is done, in words.
    """

    def __init__(
        self,
        hosts: Hosts,
        contents: Contents,
        opened: Callable[[], Pieces],
        say: Callable[[str], None],
    ) -> None:
        self.hosts, self.site, self.say = hosts, hosts.site, say
        self.contents, self._opened = contents, opened

    @property
    def sha256(self) -> str:
        return self.contents.end.sha256

    @cached_property
    def server(self) -> str:
        """The host of the databases."""
        host = self.site.database_host
        if host is None:
            raise BackupError("the group database is empty")
        return host.name

    @cached_property
    def seen(self) -> dict[str, Answer]:
        """What all hosts say of themselves before anything is changed.

        Raises:
            BackupError: one does not: it would go on with guests that Nova forgets.
        """
        return self.hosts.look()

    def databases(self) -> Answer:
        """What is on the server now."""
        request = {"verb": "look", "databases": self.contents.header.databases}
        return self.hosts.ask(self.server, question.RestoredDatabases, request)

    def refusals(self, answer: Answer) -> list[str]:
        primary = self.site.primary_controller.name
        known = self.hosts.ask(primary, question.KnownRevisions, {})
        return [
            *refusals.of_schemas(self.contents, known),
            *refusals.of_databases(self.contents, answer),
        ]

    # --- units ------------------------------------------------------------------------------------

    def units(self, host: HostSettings) -> list[str]:
        """The units of HOST that stand still meanwhile: Nova's, and those of other databases."""
        return units_of(self.site, host, self.seen[host.name], self.contents.header.databases)

    def _all_units(self, *, computes: bool) -> dict[str, dict[str, Any]]:
        return {
            host.name: {"units": found}
            for host in self.site.hosts.values()
            if (host.is_controller or (computes and host.is_compute))
            and (found := self.units(host))
        }

    # --- steps ------------------------------------------------------------------------------------

    def run(self) -> None:
        """Do all of it.

        Raises:
            BackupError, NoAnswerError: a step failed; the next call goes on with it.
        """
        record = self.databases()["progress"] or {}
        mine = record.get("sha256") == self.sha256
        self.say("no guest is removed by a compute from now on")
        self.hosts.tell("hold", hold(self.site))
        if not (mine and record.get("loaded") == "yes"):
            self.load()
        if not (mine and record.get("swapped") == "yes"):
            self.say("stopping Nova on all hosts; guests run on")
            self.hosts.tell("stop", self._all_units(computes=True))
            self.say(f"replacing the databases on {self.server}")
            request = {"verb": "swap", "databases": self.contents.header.databases}
            request["sha256"] = self.sha256
            self.hosts.order(self.server, question.RestoredDatabases, "swap", request)
        self.identify()
        self.say("starting Nova")
        self.hosts.tell("start", self._all_units(computes=False))
        self.hosts.tell("start", self._all_units(computes=True))
        if "placement" not in self.contents.header.databases:
            self.heal()
        self.hosts.tell("release", {h.name: {"log": False} for h in self.site.controllers})

    def load(self) -> None:
        header = self.contents.header
        self.say(
            f"loading {times(self.contents.rows, 'row')} on {self.server}, beside what is there"
        )
        cells = {name: asdict(urls) for name, urls in cell_urls(self.site).items()}
        request = {
            **{"suffix": SUFFIX, "sha256": self.sha256, "databases": header.databases},
            "cells": cells,
        }
        data = self.hosts.data(self.server)
        with self._opened() as pieces:
            found = given(self.server, data, question.Load, request, pieces)
        if count := found.get("evacuations"):
            self.say(
                f"evacuations that are called completed: {count}; their old hosts remove nothing "
                "when they come back, and the audit says what is left there"
            )

    def identify(self) -> None:
        """Give computes that know themselves otherwise, or not at all, their identity back."""
        told = {name: {"compute_id": uuid} for name, uuid in self.changed_identities() if uuid}
        for name in told:
            self.say(f"giving {name} its compute_id back")
        self.hosts.tell("identify", told)

    def changed_identities(self) -> Iterator[tuple[str, str]]:
        known = {host.name for host in self.site.computes}
        for name, uuid in self.contents.header.compute_ids.items():
            if uuid and name in known and self.seen[name]["compute_id"] != uuid:
                yield name, uuid

    def heal(self) -> None:
        """Have Placement, which was not restored, know the guests that Nova knows."""
        primary = self.site.primary_controller.name
        self.say("having Placement know the guests")
        found = self.hosts.tell("heal", {primary: {}})[primary]["healed"]
        if found["code"] not in HEALED:
            self.say(
                f"`nova-manage placement heal_allocations` ended with {found['code']}: "
                f"{found['said']}; the audit says for whom"
            )

    def audit(self) -> Audit:
        """What differs, once the services have had time to come up."""
        cloud = AuditedCloud(self.hosts.state, self.site, self.say)
        deadline = time.monotonic() + SETTLING
        while True:
            audit = cloud.audit()
            coming = [each for each in audit.findings if each.kind in COMING]
            if not coming or time.monotonic() > deadline:
                return audit
            late = times(len(coming), "service or compute", "services or computes")
            self.say(f"not reported yet: {late}")
            time.sleep(PAUSE)

    def differences(self, audit: Audit) -> dict[differences.Heading, list[str]]:
        """What AUDIT has found that differs, told apart by what was replaced."""
        cell = self.site.settings.database.nova
        uuids = differences.unclear(audit)
        request = {"verb": "replaced", "databases": [], "cell": cell, "uuids": uuids}
        replaced: differences.Replaced | None = None
        if uuids:
            try:
                replaced = self.hosts.ask(self.server, question.RestoredDatabases, request)[
                    "guests"
                ]
            except NoAnswerError as error:
                self.say(f"what was replaced could not be asked: {error}")
        return differences.of(audit, replaced, f"{cell}_before_restore")

    def finish(self) -> None:
        finish(self.hosts, self.server, self.sha256)


def units_of(
    site: Site, host: HostSettings, seen: Mapping[str, Any], databases: list[str]
) -> list[str]:
    """The units of HOST that use one of DATABASES, or take part in Nova."""
    platform = platform_for(seen["os"]["id"], seen["os"]["version"], site.settings.release)
    found = []
    if host.is_controller:
        found += [unit.name for unit in platform.units_for(["controller"])]
        for name, units in site.settings.backup.others.items():
            found += units if name in databases else []
    if host.is_compute:
        # libvirt goes on, and the guests with it.
        found += [unit.name for unit in platform.units_for(["compute"]) if unit.broker]
    return [name if "." in name else f"{name}.service" for name in dict.fromkeys(found)]


def hold(site: Site) -> dict[str, dict[str, Any]]:
    """What each host is told when a restore begins."""
    return {
        host.name: {"marker": MARKER if host.is_controller else None, "log": host.is_compute}
        for host in site.hosts.values()
        if host.is_controller or host.is_compute
    }


def finish(hosts: Hosts, server: str, sha256: str) -> None:
    """Take away what a restore keeps for the case that it is not the end of it."""
    request = {"verb": "finish", "databases": [], "sha256": sha256}
    hosts.order(server, question.RestoredDatabases, "finish", request)
    hosts.tell("release", {name: {"log": True} for name in hold(hosts.site)})
