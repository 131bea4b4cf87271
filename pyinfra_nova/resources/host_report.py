"""What a host is, and whether it reaches what the services will use: read before any change."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, Field, ValidationError
from pyinfra.api import FactBase
from pyinfra.api.exceptions import FactProcessError
from typing_extensions import override

from pyinfra_nova.resources.compute_identity import NovaComputes, Presence
from pyinfra_nova.session.host_script import Answer, ScriptFact
from pyinfra_nova.session.steps import LOCK
from pyinfra_nova.site.faults import describe

UNREADABLE = "unreadable"
"""The key of an answer that is no answer: why."""


class HostReport(ScriptFact):
    """OS, addresses, clock, KVM, and the result of every check that was asked for.

    What is no JSON, such as an answer that was cut, does not end the run here: it is a finding of
    the preflight like any other.
    """

    script = "host_report"
    uses: ClassVar[tuple[str, ...]] = (
        "trust",
        "rest",
        "keystone",
        "streams",
        "messaging",
        "mysql_login",
        "compute_presence",
        "guest_screens",
    )

    @override
    def process(self, output: Any) -> Answer:
        try:
            return super().process(output)
        except FactProcessError as error:
            return {UNREADABLE: str(error)}


class PrimaryReport(HostReport):
    """That of the primary controller, which is also asked what Nova has of computes."""

    uses = (*HostReport.uses, "sql", "nova_state", "nova_computes")


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


def questions(
    checks: Sequence[Mapping[str, Any]] = (), *, patience: float = 0, **more: Any
) -> dict[str, Any]:
    """What HostReport takes: the checks to make, and how long to wait for an earlier run, in s.

    MORE is what only some hosts are asked, see ``files/host_report.py``.
    """
    return {"checks": list(checks), "lock": LOCK, "patience": patience, **more}


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


Version = Annotated[str, Field(pattern=r"^[0-9]{1,9}(\.[0-9]{1,9}){0,9}$")]


class HypervisorVersions(BaseModel):
    """The versions of libvirt and QEMU; None where they are not installed yet."""

    libvirt: Version | None = None
    qemu: Version | None = None


class Check(BaseModel):
    """One prerequisite, tried from the host with the credentials that will be written.

    Attributes:
        published: where the catalogue has the service that was asked about, by interface.
    """

    name: str
    ok: bool
    detail: str
    published: dict[str, list[Annotated[str, Field(max_length=2048)]]] = {}


class Guests(BaseModel):
    """How many guests have something in common, and what a few of them are called."""

    count: Annotated[int, Field(ge=0)]
    few: Annotated[list[Annotated[str, Field(max_length=200)]], Field(max_length=5)]


class Screens(BaseModel):
    """The guests of a host that have a screen, by what it speaks."""

    plain: Guests
    tls: Guests


class Proxy(BaseModel):
    """What the console's proxy of a host is told by the nova.conf that is there.

    Attributes:
        schemes: what it speaks to screens.
        certificate: the file of what it shows to them.
        encrypted_only: whether it takes nobody's plain text.
    """

    schemes: list[str]
    certificate: str | None = None
    encrypted_only: bool = False


def _host_key(text: str) -> str:
    # A host's word ends up in the known_hosts of others.
    if text and not re.fullmatch(r"[a-z0-9@.-]+ [A-Za-z0-9+/]+=*", text):
        raise ValueError("is not a type and a key")
    return text


CertificateText = Annotated[str, Field(max_length=64 * 1024)]
HostKey = Annotated[str, AfterValidator(_host_key)]


@dataclass(frozen=True)
class NoReport:
    """A host that gave no report, or none that can be used; WHY goes on after its name."""

    why: str


class Report(BaseModel):
    """The answer of one host.

    Attributes:
        time: its clock, in seconds since 1970.
        busy: whether a command of an earlier run still changes the host.
        holders: the processes that do so.
        nova: the versions of Nova's packages, of those that are installed; None where the host's
            package manager does not say so.
        host_keys: its SSH server's public keys, type and base64, by their files; "" for a file that
            holds none.
        written: files of this project, by what they are for, that are only looked at more closely
            where that is wanted or they are there.
        certificates: the texts of those that were asked for and are there, by path; no keys.
        screens: what the screens of its guests speak; None where nobody asked.
        proxy: what its console's proxy does; None without a nova.conf.
        compute: what a compute has of that by which Nova knows it; None where none was asked.
        nova_computes: what Nova has of computes, as the primary controller says.
    """

    time: Annotated[float, Field(ge=0, lt=2**40, allow_inf_nan=False)]
    os: OperatingSystem
    hostname: str
    root: bool
    busy: bool
    holders: list[str] = []
    systemd: bool
    addresses: list[Address]
    kvm: Kvm
    hypervisor: HypervisorVersions = HypervisorVersions()
    nova: dict[str, Version] | None = {}
    host_keys: dict[str, HostKey] = {}
    written: dict[str, list[str]] = {}
    certificates: dict[str, CertificateText] = {}
    screens: Screens | None = None
    proxy: Proxy | None = None
    checks: list[Check]
    compute: Presence | None = None
    nova_computes: NovaComputes | None = None

    @property
    def published(self) -> dict[str, list[str]]:
        """Where the catalogue has Nova's API, by interface."""
        return {key: urls for check in self.checks for key, urls in check.published.items()}

    @property
    def public_keys(self) -> list[str]:
        """The keys of its SSH server."""
        return [key for key in self.host_keys.values() if key]

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Report | NoReport:
        """The report that ANSWER is, or why it is none."""
        if not answer:
            return NoReport("gave no report; is python3 installed there?")
        if why := answer.get(UNREADABLE):
            return NoReport(f"gave a report that cannot be read: {why}")
        try:
            return cls.model_validate(answer)
        except ValidationError as error:
            faults = error.errors(include_url=False, include_input=False)
            said = "; ".join(
                f"{'.'.join(map(str, fault['loc']))}: {describe(fault)}" for fault in faults[:3]
            )
            return NoReport(f"gave a report that cannot be read: {said}")
