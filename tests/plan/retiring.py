"""Converged hosts; compute2 is retired. What is left of it at each look is as FAKE_RECORDS says."""

import json as _json
import os as _os

from tests.plan.fake_hosts import CONVERGED as _CONVERGED
from tests.plan.fake_hosts import Looks as _Looks
from tests.plan.fake_hosts import host as _host

_RECORDS = _json.loads(_os.environ["FAKE_RECORDS"])
_UNITS = {"units": _json.loads(_os.environ.get("FAKE_UNITS", "[]"))}
_FILES = _json.loads(_os.environ.get("FAKE_FILES", '{"files": []}'))
_TLS = _json.loads(_os.environ.get("FAKE_TLS", "{}"))
_MINE = _json.loads(_os.environ.get("FAKE_MINE", '{"files": []}'))
_GOING = ["nova-compute", "nova-compute-kvm", "nova-common", "python3-nova"]
_GOING = _json.loads(_os.environ.get("FAKE_GOING", _json.dumps(_GOING)))
_MORE = _json.loads(_os.environ.get("FAKE_MORE", "{}"))
_DRAINED = {"error": None, "computes": {"compute2": "up"}}
_CLOSED = {
    **_CONVERGED["site_proof read"],
    "strangers": [],
    **_json.loads(_os.environ.get("FAKE_SEEN", "{}")),
}
controllers = [
    _host(
        "controller",
        "10.0.0.11",
        {**_CONVERGED, "site_proof read": _CLOSED, "cloud_objects read": {"error": None}},
        installed=True,
    )
]
controllers[0][1]["fake_responses"] |= {
    "drains read": _Looks(_json.loads(_os.environ.get("FAKE_GUESTS", "[]")) or [_DRAINED]),
    "retirements read": _Looks(_RECORDS),
    # What an error ends with is a command that fails; these hosts run none.
    "not drained of all guests": {"success": False},
    "is not retired": {"success": False},
    "does not answer": {"success": False},
}
computes = [
    _host(
        "compute1",
        "10.0.0.31",
        {**_CONVERGED, "config_files read": _FILES, "libvirt_tls read": _TLS},
        installed=True,
    ),
    _host(
        "compute2",
        "10.0.0.32",
        {
            **_CONVERGED,
            "config_files read": _MINE,
            "domain_uuids read": {"uuids": [], "error": None},
            "unit_stops read": _UNITS,
        },
        installed=not _MORE.pop("uninstalled", False),
        state="retired",
        **_MORE,
    ),
]
computes[1][1]["fake_responses"] |= {
    "would be removed": {"success": False},
    "is not retired": {"success": False},
    "does not answer": {"success": False},
    "apt-get --simulate": [f"Remv {name} [2:26.2.2]" for name in _GOING],
}
if computes[1][1]["fake_responses"]["dpkg-query"]:
    computes[1][1]["fake_responses"]["host_report read"].report["nova"] = {"nova-compute": "26.2.2"}
