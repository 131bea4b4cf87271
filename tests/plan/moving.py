"""An inventory of converged hosts with guests, whose site is about to speak TLS, or to stop it.

FAKE_MOVE says from what: ``plain`` or ``tls``; with FAKE_GUESTS=0 there are no guests. What is left
of TLS on the controller of a plain site, as a deploy that was cut off leaves it, is in FAKE_LEFT.
"""

import json as _json
import os as _os

from tests.plan.fake_hosts import CONVERGED as _CONVERGED
from tests.plan.fake_hosts import Looks as _Looks
from tests.plan.fake_hosts import host as _host
from tests.plan.fake_hosts import preflight as _preflight

_from = _os.environ["FAKE_MOVE"]
_guests = {"count": 7, "few": [f"instance-{n}" for n in range(5)]}
_none = {"count": 0, "few": []}
_has_guests = _os.environ.get("FAKE_GUESTS") != "0"
_scheme = "https" if _from == "tls" else "http"
_published = {
    "name": "Keystone, as the administrator",
    "ok": True,
    "detail": "lets admin in",
    "published": {
        key: [f"{_scheme}://controller:8774/v2.1"] for key in ("public", "internal", "admin")
    },
}
_plugin = "/usr/lib/python3/dist-packages/pyinfra_nova_tls"
_certificates = {
    "controller": [
        "/etc/pyinfra-nova/tls/ca.pem",
        "/etc/pyinfra-nova/tls/screens/client.key",
        f"{_plugin}.py",
        f"{_plugin}-1.dist-info/METADATA",
        f"{_plugin}-1.dist-info/entry_points.txt",
    ],
    "compute1": ["/etc/pki/qemu/server-key.pem", "/etc/pki/libvirt-vnc/server-key.pem"],
    "compute2": ["/etc/pki/qemu/server-key.pem", "/etc/pki/libvirt-vnc/server-key.pem"],
}
_mark = "/etc/systemd/system/libvirtd-tls.socket.d/pyinfra-nova.conf"
_asked = {"daemon_reload": False, "enable": False, "disable": False, "stop": False}


def _proxy() -> dict[str, object]:
    if _from == "tls":
        certificate = "/etc/pyinfra-nova/tls/screens/client.crt"
        return {"schemes": ["vencrypt"], "certificate": certificate, "encrypted_only": True}
    return {"schemes": ["none"], "certificate": None, "encrypted_only": False}


def _made(name: str, address: str) -> tuple[str, dict[str, object]]:
    answers = {**_CONVERGED, "libvirt_tls read": {**_asked, "restart": [], "reread": []}}
    answers["libvirt_tls read"]["plain"] = []
    users = [
        {
            **_CONVERGED["databases read"]["users"][0],
            "requires_tls": "ANY" if _from == "tls" else "",
        }
    ]
    answers["databases read"] = {**_CONVERGED["databases read"], "users": users}
    made, data = _host(name, address, answers, installed=True)
    report = _preflight(name, address, [_published] if name == "controller" else [])
    kind = "tls" if _from == "tls" else "plain"
    screens = {"plain": _none, "tls": _none}
    if name == "compute1" and _has_guests:
        screens[kind] = _guests
    report |= {"proxy": _proxy()} if name == "controller" else {"screens": screens}
    if _from == "tls":
        report["written"] = {"certificates": _certificates[name]}
        report["written"]["hypervisor_tls"] = [_mark] if name != "controller" else []
    elif name == "controller" and (left := _os.environ.get("FAKE_LEFT")):
        report["written"] = {"certificates": [left]}
    responses = data["fake_responses"]
    responses["host_report read"] = _json.dumps(report)
    # At first without the endpoints, then these alone.
    moved = {"answers": True, "error": None, "changes": ["move the public endpoint of compute"]}
    responses["keystone read"] = _Looks([_CONVERGED["keystone read"], moved])
    return made, data


controllers = [_made("controller", "10.0.0.11")]
computes = [_made("compute1", "10.0.0.31"), _made("compute2", "10.0.0.32")]
