"""Converged hosts; compute1 is to be drained. What it has at each look is as FAKE_GUESTS says."""

import json as _json
import os as _os

from tests.plan.fake_hosts import CONVERGED as _CONVERGED
from tests.plan.fake_hosts import Looks as _Looks
from tests.plan.fake_hosts import host as _host

_CLOSED = {**_CONVERGED["site_proof read"], "closed": {"compute1": "drained in the inventory"}}
_DONE = {"refused": None, "late": None}
_ANSWERS = {
    **_CONVERGED,
    "site_proof read": _CLOSED,
    "cloud_objects read": {"error": None},
    "drains live": _DONE,
    "drains set_active": _DONE,
    "drains free": _DONE,
}
_DOMAINS = _json.loads(_os.environ.get("FAKE_DOMAINS", '{"uuids": [], "error": null}'))
_ARRIVED = {"uuids": ["g3"], "running": ["g3"], "awake": ["g3"], "error": None}
controllers = [_host("controller", "10.0.0.11", _ANSWERS, installed=True)]
controllers[0][1]["fake_responses"] |= {
    "drains read": _Looks(_json.loads(_os.environ["FAKE_GUESTS"])),
    # What an error ends with is a command that fails; these hosts run none.
    "not drained of all guests": {"success": False},
}
computes = [
    _host(
        "compute1",
        "10.0.0.31",
        {**_CONVERGED, "domain_uuids read": _DOMAINS},
        installed=True,
        state="drained",
    ),
    _host(
        *("compute2", "10.0.0.32", {**_CONVERGED, "domain_uuids read": _ARRIVED}),
        installed=True,
    ),
]
