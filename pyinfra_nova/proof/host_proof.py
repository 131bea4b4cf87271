"""What shows that a host's own part works: its processes, what they serve, and what they need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, get_args

from pyinfra.api.host import Host

from pyinfra_nova.knowledge.platforms import NovaRole
from pyinfra_nova.nova_conf.ini import expanded, option_values
from pyinfra_nova.resources.http_answers import Answering
from pyinfra_nova.resources.units import Process, Unit
from pyinfra_nova.run.host_plan import HostPlan
from pyinfra_nova.run.served import served
from pyinfra_nova.session.host_script import Answer, ScriptFact, ask

LIBVIRT_URI = "qemu:///system"
"""Nova's own default with KVM and QEMU (nova/virt/libvirt/driver.py)."""

AUDIT_INTERVAL = 60
"""Seconds; what Nova makes of 0, its default of update_resources_interval (compute/manager.py)."""
NOT_UP = "does not stay up"


class HostProof(ScriptFact):
    """The processes of the host's units, and what they do not do."""

    script = "host_proof"
    uses = (
        "trust",
        "rest",
        "http_answers",
        "unit_logs",
        "units",
        "websocket",
        "guest_screens",
        "streams",
        "served_certificates",
        "certificate_holders",
    )


def asked(host: Host, request: Mapping[str, Any]) -> Answer:
    """What HOST answers."""
    silence = {"what": "the host", "problem": "answered nothing", "remedy": "", "passing": False}
    return ask(host, HostProof, request) or {"processes": {}, "faults": [silence]}


def units_of(plan: HostPlan) -> list[Unit]:
    """The units of all the host's roles."""
    roles: tuple[NovaRole, ...] = get_args(NovaRole)
    return [unit for role in roles if role in plan.host.roles for unit in plan.units(role)]


def _options(plan: HostPlan) -> dict[str, list[str]]:
    """What Nova reads on the host, of all its files; the later ones win."""
    found: dict[str, list[str]] = {}
    for file in plan.files:
        if file.oslo:
            found.update(option_values(file.content))
    return found


def _folders(plan: HostPlan, options: Mapping[str, Sequence[str]]) -> list[str]:
    """Where Nova writes here, as far as its files say it."""
    defaults = {
        "DEFAULT/state_path": [plan.platform.paths.state],
        "DEFAULT/instances_path": ["$state_path/instances"],
    }
    names = ["DEFAULT/state_path", "oslo_concurrency/lock_path"]
    names += ["DEFAULT/instances_path"] if plan.host.is_compute else []
    found = (expanded(name, {**defaults, **options}) for name in names)
    return list(dict.fromkeys(folder for folder in found if folder))


def _audit_interval(options: Mapping[str, Sequence[str]]) -> int:
    """Seconds between two audits of a compute's resources."""
    given = options.get("DEFAULT/update_resources_interval", ["0"])[-1]
    return max(AUDIT_INTERVAL, int(given) if given.isdigit() else 0)


def libvirt_uri(plan: HostPlan, options: Mapping[str, Sequence[str]] | None = None) -> str:
    """Where Nova asks the libvirt of the compute of PLAN; OPTIONS are what Nova reads there."""
    known = _options(plan) if options is None else options
    return known.get("libvirt/connection_uri", [LIBVIRT_URI])[-1]


def _served(plan: HostPlan) -> dict[str, Any] | None:
    """Where the processes of the host speak TLS, and the certificates that they show."""
    answering = plan.endpoints.values()
    return served(plan.site, plan.host, [plan.platform], answering, libvirt=plan.host.is_compute)


def question(plan: HostPlan, urls: Sequence[Answering]) -> dict[str, Any]:
    """What HostProof is asked about the host of PLAN, which answers at URLS."""
    options = _options(plan)
    units = units_of(plan)
    proxy = plan.endpoints.get("novncproxy")
    compute = plan.host.is_compute
    return {
        "units": [unit.as_request() for unit in units],
        "urls": [asdict(url) for url in urls],
        "websocket": proxy.url if proxy else None,
        "libvirt": libvirt_uri(plan, options) if compute else None,
        "served": _served(plan),
        "folders": _folders(plan, options),
        "user": plan.platform.user,
        "audited": [unit.name for unit in units if unit.broker] if compute else [],
        "audit_interval": _audit_interval(options),
    }


def process_question(plan: HostPlan) -> dict[str, Any]:
    """What HostProof is asked for the processes of a host's units, and nothing else."""
    return {
        "units": [unit.as_request() for unit in units_of(plan)],
        "urls": [],
        "websocket": None,
        "libvirt": None,
        "served": None,
        "folders": [],
        "user": plan.platform.user,
        "audited": [],
        "audit_interval": AUDIT_INTERVAL,
    }


def restarted(answer: Answer, seen: Mapping[str, Process]) -> list[str]:
    """The units whose process is not the one that was SEEN when the host's units were started."""
    found = []
    for name, process in seen.items():
        now = answer["processes"].get(name)
        if now is None or now["pid"] == process.pid:
            continue
        end = "systemd has restarted it since" if now["pid"] else "its process has ended"
        found.append(f"{name}: {NOT_UP}: {end}")
    return found


def faults(answer: Answer, seen: Mapping[str, Process] | None = None) -> list[str]:
    """What keeps a host's ANSWER from proving it: what, why and the remedy, a line each."""
    found = restarted(answer, seen or {})
    for fault in answer["faults"]:
        found.append(f"{fault['what']}: {fault['problem']}; {fault['remedy']}")
    return found


def may_pass(answer: Answer, seen: Mapping[str, Process]) -> bool:
    """Whether all that is wrong may be over by itself; a process that has ended is not."""
    return not restarted(answer, seen) and all(fault["passing"] for fault in answer["faults"])
