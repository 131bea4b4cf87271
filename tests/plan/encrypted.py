"""An inventory of fakes of the system that FAKE_SYSTEM names, of a site that speaks TLS.

What is written on them stays, in FAKE_DISKS. With FAKE_STATE=deployed all but the files is as it is
to be; before that the catalogue says http of the compute service, as somebody has made it by hand.
"""

import json as _json
import os as _os
from pathlib import Path as _Path
from typing import Any as _Any

from tests.plan.disks import Disk as _Disk
from tests.plan.fake_hosts import CONVERGED as _CONVERGED
from tests.plan.fake_hosts import FRESH as _FRESH
from tests.plan.systems import ENCRYPTED as _ENCRYPTED
from tests.plan.systems import host as _host

_system = _ENCRYPTED[_os.environ["FAKE_SYSTEM"]]
_is_deployed = _os.environ["FAKE_STATE"] == "deployed"
_scheme = "https" if _is_deployed else "http"
_published = {
    "name": "Keystone, as the administrator",
    "ok": True,
    "detail": "lets admin in",
    "published": {
        key: [f"{_scheme}://controller:8774/v2.1"] for key in ("public", "internal", "admin")
    },
}
_users = [{**_CONVERGED["databases read"]["users"][0], "requires_tls": "ANY"}]
_databases = {**_CONVERGED["databases read"], "users": _users}


def _libvirt(request: dict[str, _Any]) -> dict[str, _Any]:
    """Nothing to do, or all of it, as where nothing of it was ever there."""
    first = {"name": request["services"][0]["name"], "reason": "its socket is not there"}
    return {
        "daemon_reload": not _is_deployed,
        "enable": not _is_deployed,
        "disable": False,
        "stop": False,
        "restart": [] if _is_deployed else [{**first, "running": False}],
        "reread": [],
        "plain": [],
    }


def _unread(request: dict[str, _Any]) -> dict[str, _Any]:
    """What is started reads what is there, and shows that until it is told of another one."""
    wanted = {server["unit"]: server["wanted"] for server in request["servers"]}
    kept = _Path(_os.environ["FAKE_DISKS"]) / "shown.json"
    if not _is_deployed:
        kept.write_text(_json.dumps(wanted))
        return {"behind": []}
    shown = _json.loads(kept.read_text())
    return {"behind": [unit for unit in wanted if wanted[unit] != shown[unit]]}


def _endpoints(request: dict[str, _Any]) -> dict[str, _Any]:
    """Of what Keystone is asked about it has nothing, or endpoints with another URL."""
    changes = [f"create user {user['name']}" for user in request["users"]]
    changes += [f"move the {each['interface']} endpoint" for each in request["endpoints"]]
    return {"answers": True, "error": None, "changes": [] if _is_deployed else changes}


def _made(name: str, address: str) -> tuple[str, dict[str, _Any]]:
    disk = _Disk(_Path(_os.environ["FAKE_DISKS"]) / f"{name}.json")
    made, data = _host(_system, name, address, installed=_is_deployed)
    said = data["fake_responses"]
    report = said["host_report read"]

    def found(request: dict[str, _Any]) -> dict[str, _Any]:
        checks = [_published] if name == "controller" else []
        return {**report(request), "checks": checks, "certificates": disk.texts(request)}

    said |= {
        "host_report read": found,
        "config_files read": disk.compare,
        "config_files write": disk.write,
        "libvirt_tls read": _libvirt,
        "renewed_certificates read": _unread,
        "keystone read": _endpoints,
        "databases read": lambda _: _databases if _is_deployed else _FRESH["databases read"],
    }
    return made, data


controllers = [_made("controller", "10.0.0.11")]
computes = [_made("compute1", "10.0.0.31"), _made("compute2", "10.0.0.32")]
