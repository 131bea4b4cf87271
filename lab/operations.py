"""Operations that only the lab's prerequisites need, each with its fact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pyinfra import host
from pyinfra.api import FactBase, StringCommand, operation
from pyinfra.api.command import QuoteString
from typing_extensions import override

from pyinfra_nova.resources.keystone import KeystoneAdmin, KeystoneState
from pyinfra_nova.session.host_script import ScriptFact, ask, script_command
from pyinfra_nova.session.redaction import SecretInput
from pyinfra_nova.session.steps import Commands, refused, say

FILES = Path(__file__).resolve().parent / "files"


class Schemas(ScriptFact):
    """The services whose database schemas are not as their packages want them."""

    script = "schemas"
    uses = ("trust", "sql")
    folder = FILES


class GuestImage(ScriptFact):
    """Whether the guest image is built."""

    script = "guest_image"
    folder = FILES


class CloudObjects(ScriptFact):
    """What is missing of the provider network and the guest image."""

    script = "network_and_image"
    uses = ("trust", "rest", "keystone")
    folder = FILES


def _apply(fact: type[ScriptFact], request: Mapping[str, Any]) -> StringCommand:
    request = {**request, "apply": True}
    return script_command(fact.script, "apply", request, fact.uses, fact.folder)


class ServiceType(ScriptFact):
    """Whether a service is in the catalogue under a type of former times."""

    script = "service_type"
    uses = ("trust", "rest", "keystone")
    folder = FILES


class Certificates(ScriptFact):
    """Which certificates are there."""

    script = "certificates"
    folder = FILES


def certificates_found(paths: Sequence[str]) -> dict[str, str]:
    """The texts of the certificates at PATHS; their keys stay where they are."""
    found: dict[str, str] = ask(host, Certificates, {"paths": list(paths)})["certificates"]
    return found


class UnitState(FactBase[str]):
    """Whether a unit runs: systemd's word."""

    default = str

    @override
    def command(self, unit: str) -> StringCommand:
        return StringCommand("systemctl show --value --property=ActiveState", QuoteString(unit))

    @override
    def process(self, output: Any) -> str:
        return "".join(output).strip()


@operation()
def unit_gone(unit: str) -> Commands:
    """Have UNIT stopped and disabled, as long as systemd has its file."""
    if host.get_fact(UnitState, unit=unit) not in ("", "inactive"):
        say(f"stop {unit}")
        yield StringCommand("systemctl disable --now", QuoteString(unit))


class Ceph(ScriptFact):
    """What is missing of a Ceph of one host."""

    script = "ceph"
    folder = FILES


class ProviderBridge(FactBase[bool]):
    """Whether the provider bridge stands: userspace datapath, its port, its address."""

    default = bool

    @override
    def command(self, bridge: str, nic: str, address: str) -> str:
        return (
            f'test "$(ovs-vsctl get bridge {bridge} datapath_type 2>/dev/null)" = netdev'
            f' && test "$(ovs-vsctl port-to-br {nic} 2>/dev/null)" = {bridge}'
            f" && ip -4 -o addr show dev {bridge} | grep -qF ' {address} '"
            f" && ! ip -4 -o addr show dev {nic} | grep -q inet && echo yes || echo no"
        )

    @override
    def process(self, output: Any) -> bool:
        return list(output)[-1:] == ["yes"]


@operation()
def provider_bridge(bridge: str, nic: str, address: str) -> Commands:
    """Have NIC as a port of the Open vSwitch bridge BRIDGE, and NIC's ADDRESS on the bridge.

    systemd-networkd gives the bridge its address, from the files written before.
    """
    if host.get_fact(ProviderBridge, bridge=bridge, nic=nic, address=address):
        return
    say(f"put {nic} on bridge {bridge}")
    yield StringCommand(
        "ovs-vsctl --may-exist add-br", bridge, "-- set bridge", bridge, "datapath_type=netdev",
        "-- --may-exist add-port", bridge, nic,
    )  # fmt: skip
    yield StringCommand("networkctl reload && networkctl reconfigure", nic)
    yield StringCommand(
        "ip link set", bridge, "up && for n in $(seq 50); do",
        f"ip -4 -o addr show dev {bridge} | grep -qF ' {address} ' && exit 0;",
        "sleep 0.1; done; exit 1",
    )  # fmt: skip


@operation()
def schemas(services: Sequence[Mapping[str, Any]]) -> Commands:
    """Have the services' database schemas as their packages want them."""
    request = {"services": list(services)}
    stale = ask(host, Schemas, {**request, "apply": False})["stale"]
    if stale:
        say(f"bring up the schemas of {', '.join(stale)}")
        yield _apply(Schemas, request)


@operation()
def keystone_bootstrapped(admin: KeystoneAdmin, command: Sequence[str]) -> Commands:
    """Have the administrator of Keystone, with this password; COMMAND makes or changes it.

    A plan is also made for a host whose Keystone an earlier operation of the run starts.
    """
    state = KeystoneState.of(host, admin)
    if state.answers:
        return
    if host.state.is_executing and not state.refuses:
        yield from refused(str(state.error))
        return
    say(f"bootstrap Keystone: user {admin.username}")
    script = (
        "IFS= read -r OS_BOOTSTRAP_PASSWORD; export OS_BOOTSTRAP_PASSWORD; "
        # Another password revokes all tokens of that second, and of those to come in it, too.
        'runuser -u keystone -- "$@" && sleep 2'
    )
    yield StringCommand(
        "sh -c", QuoteString(script), "sh", *(QuoteString(word) for word in command),
        _stdin=SecretInput(admin.password.get_secret_value() + "\n"),
    )  # fmt: skip


@operation()
def service_type(request: Mapping[str, Any]) -> Commands:
    """Have a service under its type in the catalogue where it is there under a former one."""
    state = ask(host, ServiceType, {**request, "apply": False})
    if state.get("error") is None and not state.get("changes"):
        return
    for change in state.get("changes", []):
        say(change)
    yield _apply(ServiceType, request)


class DropIns(FactBase[list[str]]):
    """The drop-in files of a unit that systemd has read."""

    default = list

    @override
    def command(self, unit: str) -> StringCommand:
        return StringCommand("systemctl show --value --property=DropInPaths", QuoteString(unit))

    @override
    def process(self, output: Any) -> list[str]:
        return " ".join(output).split()


@operation()
def drop_in_read(unit: str, path: str) -> Commands:
    """Have systemd know of the drop-in PATH of UNIT: it does not look for new ones by itself."""
    if path not in host.get_fact(DropIns, unit=unit):
        yield StringCommand("systemctl daemon-reload")


class NeutronServerAge(FactBase[float]):
    """Seconds since UNIT, Neutron's server, was started; -1 while it does not run."""

    default = float

    @override
    def command(self, unit: str) -> str:
        return (
            "echo $(cut -d ' ' -f 1 /proc/uptime)"
            " $(systemctl show --value --property=ActiveState,ActiveEnterTimestampMonotonic"
            f" {unit})"
        )

    @override
    def process(self, output: Any) -> float:
        uptime, state, since = (*" ".join(output).split(), "", "")[:3]
        return float(uptime) - int(since) / 1e6 if state == "active" else -1.0


SURELY_SERVING = 120.0
"""Seconds after which Neutron's server has its queues."""


@operation()
def neutron_serves(unit: str) -> Commands:
    """Wait until UNIT, Neutron's server, takes what agents send.

    An agent that calls before the queues exist waits for a minute or more for the lost answer.
    """
    if host.get_fact(NeutronServerAge, unit=unit) > SURELY_SERVING:
        return
    queues = "q-plugin q-reports-plugin q-l3-plugin q-server-resource-versions"
    yield StringCommand(
        "sh -c",
        QuoteString(
            "for n in $(seq 60); do"
            " consumed=$(rabbitmqctl -q list_queues name consumers --no-table-headers"
            " | awk '$2 > 0 { print $1 }'); missing=;"
            f" for queue in {queues}; do"
            ' echo "$consumed" | grep -Fxq $queue || missing="$missing $queue"; done;'
            ' [ -z "$missing" ] && exit 0; sleep 0.3; done;'
            ' echo "neutron-server does not serve$missing" >&2; exit 1'
        ),
    )


@operation()
def ceph(request: Mapping[str, Any]) -> Commands:
    """Have Ceph's monitor, manager, disk, users and pool."""
    changes = ask(host, Ceph, {**request, "apply": False})["changes"]
    for change in changes:
        say(change)
    if changes:
        yield _apply(Ceph, request)


HAS_ROOM = (
    "ceph --connect-timeout 10 df --format json 2>/dev/null"
    " | grep -Eq '\"max_avail\": *[0-9]*[1-9]'"
)
"""Whether a pool could take anything: none can until its disk has told the manager."""


class CephHasRoom(FactBase[bool]):
    """Whether Ceph knows that its disk has room."""

    default = bool

    @override
    def command(self) -> str:
        return f"command -v ceph >/dev/null && {HAS_ROOM} && echo yes || echo no"

    @override
    def process(self, output: Any) -> bool:
        return list(output)[-1:] == ["yes"]


@operation()
def ceph_has_room() -> Commands:
    """Wait until Ceph knows of room: Cinder asks when it starts, and then once a minute."""
    if host.get_fact(CephHasRoom):
        return
    yield StringCommand(
        "sh -c",
        QuoteString(
            f"for n in $(seq 120); do {HAS_ROOM} && exit 0; sleep 0.5; done;"
            ' echo "Ceph has no room: see ceph status, journalctl -u ceph-osd@0" >&2; exit 1'
        ),
    )


class VolumePools(ScriptFact):
    """What keeps Cinder from making a volume."""

    script = "volume_pools"
    uses = ("trust", "rest", "keystone")
    folder = FILES


@operation()
def cinder_serves(request: Mapping[str, Any]) -> Commands:
    """Wait until Cinder's scheduler has somewhere to make volumes.

    Args:
        request: what `files/volume_pools.py` takes.
    """
    if ask(host, VolumePools, {**request, "apply": False}).get("missing") != "":
        yield _apply(VolumePools, request)


@operation()
def guest_image(request: Mapping[str, Any], do: str) -> Commands:
    """Have the guest image that `files/guest_image.py` builds from REQUEST.

    Args:
        do: "start" begins to build it beside what follows, "wait" waits until it is there.
    """
    if ask(host, GuestImage, {**request, "files": {}, "do": "ask"}).get("built"):
        return
    if do == "start":
        say("build the guest image")
    yield _apply(GuestImage, {**request, "do": do})


@operation()
def network_and_image(request: Mapping[str, Any]) -> Commands:
    """Have the provider network and the guest image."""
    state = ask(host, CloudObjects, {**request, "apply": False})
    if host.state.is_executing and state.get("error"):
        yield from refused(state["error"])
        return
    if state.get("error") is None and not state.get("changes"):
        return
    for change in state.get("changes", []):
        say(change)
    yield _apply(CloudObjects, request)
