"""Converged hosts; FAKE_PRESENCE says what compute1 has, FAKE_NOVA what Nova has of computes.

With FAKE_EPOXY they are Debian 13.
"""

import json as _json
import os as _os

from tests.plan.fake_hosts import CONVERGED as _CONVERGED
from tests.plan.fake_hosts import host as _host

controllers = [_host("controller", "10.0.0.11", _CONVERGED, installed=True)]
computes = [
    _host("compute1", "10.0.0.31", _CONVERGED, installed=True),
    _host("compute2", "10.0.0.32", _CONVERGED, installed=True),
]
_controller, _compute1, _compute2 = (
    data["fake_responses"]["host_report read"].report for _, data in (*controllers, *computes)
)
for _, _data in (*controllers, *computes):
    if _os.environ.get("FAKE_EPOXY"):
        _data["fake_responses"]["host_report read"].report["os"]["version"] = "13"
_identity = {"path": "/var/lib/nova/compute_id", "problem": None}
_compute2["compute"]["identities"] = [
    {**_identity, "uuid": "22222222-0000-4000-8000-000000000000"},
]
_compute1["compute"] |= _json.loads(_os.environ["FAKE_PRESENCE"])
_controller["nova_computes"] = {
    **_controller["nova_computes"],
    **_json.loads(_os.environ["FAKE_NOVA"]),
}
controllers[0][1]["fake_responses"]["nova_computes read"] = _os.environ.get("FAKE_LATE", "{}")
