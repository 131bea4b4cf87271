"""An inventory of hosts that only answer; what they answer is in the file AUDIT_ANSWERS.

`audits` are the answers of the primary controller, one for each time that it is asked, the last one
from then on. `silent` are computes on whose port nobody listens. With `apart` the broker and the
databases are on hosts of their own.
"""

import json as _json
import os as _os
from pathlib import Path as _Path
from typing import Any as _Any

from tests.unit.in_turn import InTurn as _InTurn

_TOLD = _json.loads(_Path(_os.environ["AUDIT_ANSWERS"]).read_text())


def _host(name: str, address: str) -> tuple[str, dict[str, _Any]]:
    said = {
        "host_evidence read": _json.dumps(_TOLD.get("evidence", {"time": 1})),
        "cloud_audit read": _InTurn(list(_TOLD["audits"])),
        "repairs repair": _InTurn([_TOLD.get("repairs", {})]),
        "broker_queues read": _json.dumps(_TOLD.get("queues", {"queues": {}})),
        "placement_records read": _json.dumps({"placement": None}),
    }
    if _TOLD.get("fails"):
        said["repairs repair"] = {"success": False, "stderr": _TOLD["fails"]}  # type: ignore[assignment]
    data = {"my_ip": address, "fake_responses": said, "fake_delay": 0, "fake_delay_jitter": 0}
    return f"@fake/{name}", data


controllers = [_host("controller", "10.0.0.11")]
computes: list[tuple[str, dict[str, _Any]]] = [
    _host(f"compute{number}", f"10.0.0.{30 + number}")
    for number in range(1, 1 + _TOLD.get("computes", 2))
]
for _number, _name in enumerate(_TOLD.get("silent", ()), 200):
    _data = {"my_ip": f"10.0.0.{_number}", "ssh_hostname": "127.0.0.1", "ssh_port": 9}
    computes.append((_name, _data))
if _TOLD.get("apart"):
    messaging = [_host("rmq", "10.0.0.12")]
    database = [_host("db", "10.0.0.13")]
