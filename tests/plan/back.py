"""Converged hosts; those that Nova has as forced down are as FAKE_FORCED says."""

import json as _json
import os as _os

from tests.plan.fake_hosts import CONVERGED as _CONVERGED
from tests.plan.fake_hosts import host as _host

_FORCED = _json.loads(_os.environ["FAKE_FORCED"])
_ANSWERS = {
    **_CONVERGED,
    "site_proof read": {**_CONVERGED["site_proof read"], "forced": _FORCED},
    "cloud_objects read": {"error": None},
    "forced_down lift": {},
}
controllers = [_host("controller", "10.0.0.11", _ANSWERS, installed=True)]
computes = [
    _host("compute1", "10.0.0.31", _CONVERGED, installed=True),
    _host("compute2", "10.0.0.32", _CONVERGED, installed=True),
]
