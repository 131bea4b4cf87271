"""Converged hosts; compute2 has just registered. How its proof goes is as FAKE_LOOKS says."""

import json as _json
import os as _os

from tests.plan.fake_hosts import CONVERGED as _CONVERGED
from tests.plan.fake_hosts import Looks as _Looks
from tests.plan.fake_hosts import host as _host

_KINDS = (
    *("isolate", "enable", "boot", "greet", "delete_guest", "release", "close"),
    *("make_volume", "attach", "delete_volume"),
)
_NEW = "New compute service disabled due to config option."
_ANSWERS = {
    **_CONVERGED,
    "site_proof read": {**_CONVERGED["site_proof read"], "closed": {"compute2": _NEW}},
    "cloud_objects read": {"error": None},
    **{f"smoke_guests {kind}": {"refused": None} for kind in _KINDS},
}
controllers = [_host("controller", "10.0.0.11", _ANSWERS, installed=True)]
controllers[0][1]["fake_responses"] |= {
    "smoke_guests read": _Looks(_json.loads(_os.environ["FAKE_LOOKS"])),
    # What an error ends with is a command that fails; these hosts run none.
    "compute2 is closed: not proven": {"success": False},
}
computes = [
    _host("compute1", "10.0.0.31", _CONVERGED, installed=True),
    _host("compute2", "10.0.0.32", _CONVERGED, installed=True),
]
