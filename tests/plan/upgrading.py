"""An inventory of Ubuntu 22.04 with Zed on it, of which FAKE_FACTS says what the cloud answers.

FAKE_AHEAD names the hosts that have 2023.1 already.
"""

import json as _json
import os as _os
import time as _time
from dataclasses import replace as _replace

from tests.plan.fake_hosts import Answers as _Answers
from tests.plan.systems import SYSTEMS as _SYSTEMS
from tests.plan.systems import host as _host

_ZED = _replace(_SYSTEMS["ubuntu-22.04"], nova=("nova-common", "26.2.1"))
_AHEAD = _os.environ.get("FAKE_AHEAD", "").split()
_PATHS = ("/usr", "/var/cache", "/var/backups/pyinfra-nova")
_NONE = {"count": 0, "few": []}
_NOW = _time.time()
_FACTS = {
    "findings": [],
    "silent": {},
    "guests": {"ERROR": _NONE, "MIGRATING": _NONE, "VERIFY_RESIZE": _NONE},
    "computes": {"compute1": 64, "compute2": 64},
    "linux_bridges": [],
    "room": {path: {"disk": 1, "free": 50_000_000_000} for path in _PATHS},
    "rows": {"matched": 1200, "left": 0, "few": []},
    "bytes": 80_000_000,
    "backup": {"outcome": "done", "said": "", "done": _NOW - 7200},
    "at": _NOW,
    **_json.loads(_os.environ.get("FAKE_FACTS", "{}")),
}
_ROOM = {"room": {path: {"disk": 1, "free": 50_000_000_000} for path in _PATHS[:2]}}


def _upgraded(name: str, address: str) -> tuple[str, _Answers]:
    system = _SYSTEMS["ubuntu-22.04"] if name in _AHEAD else _ZED
    entry, data = _host(system, name, address, installed=True)
    data["fake_responses"]["upgrade_facts read"] = lambda _: _FACTS
    data["fake_responses"]["disk_room read"] = lambda _: _ROOM
    return entry, data


controllers = [_upgraded("controller", "10.0.0.11")]
computes = [_upgraded("compute1", "10.0.0.31"), _upgraded("compute2", "10.0.0.32")]
