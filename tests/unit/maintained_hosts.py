"""An inventory of hosts that only answer; what they answer is in the file MAINTAINED_ANSWERS.

`drains` are the looks at Nova, one after the other, and `hosts` what the computes say of the
maintenance; the last one of each goes on being said. compute3 is retired; `states` are what the
inventory says of others.
"""

import json as _json
import os as _os
from pathlib import Path as _Path
from typing import Any as _Any

from tests.plan.fake_hosts import Report as _Report
from tests.plan.fake_hosts import preflight as _preflight
from tests.unit.in_turn import InTurn as _InTurn

_TOLD = _json.loads(_Path(_os.environ["MAINTAINED_ANSWERS"]).read_text())


def _host(name: str, address: str, **data: _Any) -> tuple[str, dict[str, _Any]]:
    said: dict[str, _Any] = {
        "host_report read": _Report(_preflight(name, address)),
        "drains read": _InTurn(list(_TOLD.get("drains", [{}]))),
        **dict.fromkeys(
            ("drains live", "drains set_active", "drains free"),
            _json.dumps({"refused": None, "late": None}),
        ),
        "guest_returns read": _json.dumps(_TOLD.get("away", {"guests": [], "error": None})),
        "domain_uuids read": _json.dumps(
            {
                **{"uuids": _TOLD.get("domains", []), "running": _TOLD.get("running", [])},
                **_TOLD.get("libvirts", {}).get(name, {}),
                "error": None,
            }
        ),
        "maintenance read": _InTurn(list(_TOLD.get("hosts", [{}]))),
        "maintenance command": _TOLD.get("command", {"stdout": "done"}),
        "maintenance reboot": _json.dumps({"boot": "boot-1"}),
    }
    fake = {"fake_responses": said, "fake_delay": 0, "fake_delay_jitter": 0}
    return f"@fake/{name}", {"my_ip": address, **fake, **data}


controllers = [_host("controller", "10.0.0.11")]
computes = [
    _host("compute1", "10.0.0.31", **_TOLD.get("states", {}).get("compute1", {})),
    _host("compute2", "10.0.0.32"),
    _host("compute3", "10.0.0.33", state="retired"),
]
east = [computes[0]]
