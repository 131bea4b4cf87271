"""Hosts that only answer for themselves; nobody listens where compute2 should be."""

import json as _json
from typing import Any as _Any

_SEEN = {"compute_id": "c1", "os": {"id": "debian", "version": "12"}, "marker": None, "log": False}
_FAILS = {"success": False, "stderr": "cannot be stopped: nova-compute.service (active)"}


def _host(name: str, address: str) -> tuple[str, dict[str, _Any]]:
    said = {
        "restored_host read": _json.dumps(_SEEN),
        "restored_host hold": _json.dumps({**_SEEN, "log": True}),
        "restored_host stop": _FAILS,
    }
    data = {"my_ip": address, "fake_responses": said, "fake_delay": 0, "fake_delay_jitter": 0}
    return f"@fake/{name}", data


controllers = [_host("controller", "10.0.0.11")]
computes = [
    _host("compute1", "10.0.0.31"),
    ("compute2", {"my_ip": "10.0.0.32", "ssh_hostname": "127.0.0.1", "ssh_port": 9}),
]
