"""Runs that prove new computes, against a cloud in which guests come up as time passes."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from copy import deepcopy
from types import SimpleNamespace
from typing import Any

import pytest
import smoke_guests as script
import smoke_servers

from pyinfra_nova.resources import smoke_guests
from pyinfra_nova.resources.compute_states import Closed
from pyinfra_nova.resources.units import Unit
from pyinfra_nova.session import steps
from pyinfra_nova.site.settings import HostSettings

from .serving import Json
from .site_data import HOSTS, site
from .smoke_stand_in import Cloud

DONE = {"refused": None}
RFB = ("HTTP/1.1 101 Switching Protocols", "RFB 003.008\n", "")
NAMES = ("guests", "volumes", "services", "aggregates", "flavors", "traits", "members")


class Killed(Exception):  # noqa: N818 - what is done to a run
    """The run ends here."""


class Run:
    """Runs of the operation against a cloud.

    Attributes:
        did: the steps, each with its host.
        said: what was said.
        at: the request of a step or look, counted over all, at which the run is killed; 0 is never.
        looks: how often it was asked what there is.
    """

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.did: list[str] = []
        self.said: list[str] = []
        self.at, self.count, self.looks, self.now = 0, 0, 0, 0.0
        self.site: Any = None
        self.host = SimpleNamespace(name="controller", state=None)

    def asked(self, request: Json) -> Json:
        """What the script answers; the cloud is elsewhere than the site says."""
        self.count += 1
        if self.count == self.at:
            raise Killed
        place = {"auth_url": f"{self.cloud.url}/v3", "region": "R", "interface": "internal"}
        wanted = {**request, **place, "places": {}}
        try:
            found: Json = script.answer(wanted)
        except SystemExit as error:
            return {"failed": str(error)}
        return found

    def ask(self, _: Any, __: type, request: Json) -> Json:
        self.looks += 1
        return self.asked(request)

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.cloud.pass_time()
        assert self.now < 2000

    def question(self, *names: str, **more: Any) -> smoke_guests.Question:
        wanted = {"image": "tiny", "network": "provider", "timeout": 60, **more.pop("wanted", {})}
        found = site({"smoke_guest": wanted}, hosts={**HOSTS, **more.pop("hosts", {})})
        unit = Unit("nova-scheduler", ("/etc/nova/nova.conf",))
        computes = [found.hosts[name] for name in names]
        clearing = [found.hosts[name] for name in more.pop("clearing", ())]
        proxy = more.pop("proxy", "http://10.0.0.11:6080/")
        guest = found.settings.smoke_guest
        assert guest is not None
        return smoke_guests.Question(found, guest, computes, clearing, unit, proxy, **more)

    def run(
        self, names: Sequence[str] = ("compute1",), *, executing: bool = True, **more: Any
    ) -> list[str]:
        """Have it prove NAMES; what it ends with, if that is an error."""
        self.host.state = SimpleNamespace(is_executing=executing)
        self.did.clear()
        self.said.clear()
        self.count, self.now, self.looks, errors = 0, 0.0, 0, []
        failed: list[str] = []
        for command in smoke_guests.proven(self.question(*names, **more), failed):
            if not isinstance(command, steps.Heard):
                words = shlex.split(str(command))  # of `printf '%s\n' TEXT`, or `true`
                errors.append(words[2] if words[2:] else words[0])
                continue
            text = "".join(command.connector_arguments["_stdin"])
            request = json.loads(text)["request"]
            self.did.append("{kind} {host}".format(**request["step"]))
            answer = self.asked(request)
            if "failed" in answer:  # pyinfra ends an operation whose command fails
                return [answer["failed"]]
            command.lines = [json.dumps(answer)]
        return [*errors, "\n".join(failed)] if failed else errors


def prepared(found: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    for module in (smoke_guests, steps):
        monkeypatch.setattr(module, "host", found.host)
    monkeypatch.setattr(smoke_guests, "gevent", SimpleNamespace(sleep=found.sleep))
    monkeypatch.setattr(smoke_guests, "time", SimpleNamespace(monotonic=lambda: found.now))
    monkeypatch.setattr(smoke_guests, "ask", found.ask)
    monkeypatch.setattr(smoke_guests, "say", found.said.append)
    rfb = ("HTTP/1.1 101", "RFB 003.008\n", "")
    monkeypatch.setattr(smoke_servers.websocket, "screen", lambda *_, **__: rfb)
    monkeypatch.setattr(script, "scheduler_fault", lambda _: None)
    return found


def is_open(cloud: Cloud, host: str = "compute1") -> bool:
    """Whether others' guests may go there, and nothing of its proof is left."""
    if cloud.disturbed:
        # That it takes others now is what is wanted, once nothing of it is left.
        last = cloud.acted[-1]
        cloud.disturbed = "allowed" if last.startswith("POST compute os-aggregates") else last
    return cloud.left() == [] and cloud.services[host]["status"] == "enabled"


def host(name: str, **data: Any) -> HostSettings:
    found = site(hosts={**HOSTS, name: {**HOSTS[name], **data}})
    return found.hosts[name]


def kept(cloud: Cloud) -> dict[str, Json]:
    return {name: deepcopy(getattr(cloud, name)) for name in NAMES}


def at_work(run: Run) -> bool:
    """Whether the next run would prove compute1, by what Nova's database then holds."""
    row = run.cloud.services["compute1"]
    reasons = {} if row["status"] == "enabled" else {"compute1": row["disabled_reason"] or ""}
    hosts = [name for found in run.cloud.aggregates for name in found["hosts"]]
    return smoke_guests.joins(host("compute1"), Closed(reasons), hosts)


def killed_at(run: Run, at: int) -> bool:
    """Whether a run was killed at that request."""
    run.at = at
    try:
        run.run()
    except Killed:
        return True
    finally:
        run.at = 0
    return False


def step(cloud: Cloud, kind: str, host: str = "compute1", **more: Any) -> Json:
    wanted = {"kind": kind, "host": host, "reason": more.pop("reason", "not proven: x")}
    found: Json = script.answer(cloud.request(host, step=wanted, **more))
    return found


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the console proxy is asked, and what it answers last."""
    asked: list[Any] = [RFB]

    def shown(*words: str, at: str) -> Any:
        asked.insert(0, (*words, at))
        if isinstance(asked[-1], OSError):
            raise asked[-1]
        return asked[-1]

    monkeypatch.setattr(smoke_servers.websocket, "screen", shown)
    return asked
