"""Converged hosts; an earlier site had huge pages and a key of Ceph on compute1."""

import json as _json

from tests.plan.fake_hosts import CONVERGED as _CONVERGED
from tests.plan.fake_hosts import host as _host
from tests.plan.fake_hosts import preflight as _preflight

_UUID = "457eb676-33da-42ec-9a8c-9293d545c337"
_ANSWERS = {
    **_CONVERGED,
    "hugepages read": {
        "error": None,
        "changes": ["set huge pages of 2M to 0 (was 4)"],
        "remarks": [],
    },
    "libvirt_secrets read": {"error": None, "changes": [f"remove libvirt secret {_UUID}"]},
    "config_files read": {
        "files": [{"path": "/etc/nova/migration_key", "change": "remove", "diff": ""}],
        "left": ["/etc/nova/known_hosts.old"],
    },
}
controllers = [_host("controller", "10.0.0.11", _CONVERGED, installed=True)]
computes = [
    _host("compute1", "10.0.0.31", _ANSWERS, installed=True),
    _host("compute2", "10.0.0.32", _CONVERGED, installed=True),
]
_report = _preflight("compute1", "10.0.0.31")
_report["written"] = {
    "hugepages": ["/etc/sysctl.d/60-pyinfra-nova-hugepages.conf"],
    "libvirt_secrets": [f"/etc/libvirt/secrets/{_UUID}.xml"],
}
computes[0][1]["fake_responses"]["host_report read"] = _json.dumps(_report)
