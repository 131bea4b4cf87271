"""Converged hosts; compute2 is dead. What Nova has of it is as FAKE_DEAD says, at each look.

Whoever connected to compute2, or asked it anything, would end the run: it answers nothing.
"""

import json as _json
import os as _os

from tests.plan.fake_hosts import CONVERGED as _CONVERGED
from tests.plan.fake_hosts import Looks as _Looks
from tests.plan.fake_hosts import host as _host

_MORE = _json.loads(_os.environ.get("FAKE_MORE", '{"state": "drained", "dead": true}'))
_SIGNS = {"signs": {}, "asked": {"@fake/compute2": ["ping", "connection"]}, "unasked": []}
_SIGNS = _json.loads(_os.environ.get("FAKE_SIGNS", _json.dumps([_SIGNS])))
_SEEN = {"closed": {"compute2": "dead in the inventory"}, "unseen": [], "forced": {"compute2": 0}}
_SEEN = _json.loads(_os.environ.get("FAKE_SEEN", _json.dumps(_SEEN)))
_PROOF = {**_CONVERGED["site_proof read"], "strangers": [], **_SEEN}
_DONE = {"refused": None, "late": None}
_RECORDS = _json.loads(_os.environ.get("FAKE_RECORDS", "[]"))
controllers = [
    _host(
        "controller",
        "10.0.0.11",
        {
            **_CONVERGED,
            "site_proof read": _PROOF,
            "cloud_objects read": {"error": None},
            "evacuations force": _DONE,
            "evacuations evacuate": _DONE,
        },
        installed=True,
    )
]
controllers[0][1]["fake_responses"] |= {
    "signs_of_life read": _Looks(_SIGNS),
    "evacuations read": _Looks(_json.loads(_os.environ["FAKE_DEAD"])),
    "retirements read": _Looks(_RECORDS),
    # What an error ends with is a command that fails; these hosts run none.
    "not drained of all guests": {"success": False},
    "is not dead": {"success": False},
}
computes = [
    _host(
        "compute1",
        "10.0.0.31",
        {**_CONVERGED, "signs_of_life read": _SIGNS[0]},
        installed=True,
    ),
    ("@fake/compute2", {"my_ip": "10.0.0.32", **_MORE}),
]
