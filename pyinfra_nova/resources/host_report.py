"""What a host is, and whether it reaches what the services will use: read before any change."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel
from pyinfra.api import FactBase
from typing_extensions import override

from pyinfra_nova.session.host_script import ScriptFact
from pyinfra_nova.session.steps import LOCK


class HostReport(ScriptFact):
    """OS, addresses, clock, KVM, and the result of every check that was asked for."""

    script = "host_report"
    uses = ("keystone", "messaging", "mysql_login")


class Clock(FactBase[float | None]):
    """The host's clock alone, in seconds since 1970; None where it cannot be told."""

    @override
    def command(self) -> str:
        return "date +%s.%N"

    @override
    def process(self, output: Iterable[str]) -> float | None:
        try:
            return float("".join(output))
        except ValueError:
            return None


def questions(checks: Sequence[Mapping[str, Any]] = (), *, patience: float = 0) -> dict[str, Any]:
    """What HostReport takes: the checks to make, and how long to wait for an earlier run, in s."""
    return {"checks": list(checks), "lock": LOCK, "patience": patience}


class Address(BaseModel):
    """An IPv4 address and the interface that has it."""

    interface: str
    address: str


class OperatingSystem(BaseModel):
    """``ID`` and ``VERSION_ID`` of os-release(5)."""

    id: str
    version: str


class Kvm(BaseModel):
    """The two signs of hardware virtualisation: the CPU's flag, and a VM that could be made."""

    flag: bool
    usable: bool


class HypervisorVersions(BaseModel):
    """The versions of libvirt and QEMU; None where they are not installed yet."""

    libvirt: str | None = None
    qemu: str | None = None


class Check(BaseModel):
    """One prerequisite, tried from the host with the credentials that will be written."""

    name: str
    ok: bool
    detail: str


def _host_key(text: str) -> str:
    # A host's word ends up in the known_hosts of others.
    if not re.fullmatch(r"[a-z0-9@.-]+ [A-Za-z0-9+/]+=*", text):
        raise ValueError("is not a type and a key")
    return text


HostKey = Annotated[str, AfterValidator(_host_key)]


class Report(BaseModel):
    """The answer of one host.

    Attributes:
        time: its clock, in seconds since 1970.
        busy: whether a command of an earlier run still changes the host.
        host_keys: its SSH server's public keys, type and base64.
    """

    time: float
    os: OperatingSystem
    hostname: str
    root: bool
    busy: bool
    systemd: bool
    addresses: list[Address]
    kvm: Kvm
    hypervisor: HypervisorVersions = HypervisorVersions()
    host_keys: list[HostKey] = []
    checks: list[Check]

    @classmethod
    def of(cls, answer: dict[str, Any]) -> Report | None:
        """The report, or None where the host gave none."""
        return cls.model_validate(answer) if answer else None
