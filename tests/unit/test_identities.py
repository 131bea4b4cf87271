"""A compute that comes back: what is right for it, on Zed and on a release that has compute_id.

What nova-compute itself does in each case is said where the case is decided
(pyinfra_nova/run/identities.py).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from pyinfra_nova.resources.compute_identity import NovaComputes, Outcome, Presence
from pyinfra_nova.run.known_computes import KnownComputes
from pyinfra_nova.site.run_scope import scope_of
from tests.plan.fake_hosts import presence

from .site_data import site

ZED, EPOXY = "zed", "2025.1"
ONE, TWO, OLD = (f"{i}{i}{i}{i}{i}{i}{i}{i}-0000-4000-8000-000000000000" for i in (1, 2, 9))
GUESTS = [f"457eb676-33da-42ec-9a8c-00000000000{i}" for i in range(8)]
FILE, BESIDE = "/var/lib/nova/compute_id", "/etc/nova/compute_id"
SERVICE = 68
both = pytest.mark.parametrize("release", [ZED, EPOXY])


def file(uuid: str | None, path: str = FILE, problem: str | None = None) -> dict[str, Any]:
    return {"path": path, "uuid": uuid, "problem": problem}


def node(uuid: str, host: str, name: str | None = None) -> dict[str, Any]:
    return {"uuid": uuid, "host": host, "name": name or host}


@dataclass
class Case:
    """A site of two computes, of which compute1 comes back; compute2 is as Nova has it."""

    release: str = EPOXY
    nodes: list[dict[str, Any]] = field(
        default_factory=lambda: [node(ONE, "compute1"), node(TWO, "compute2")]
    )
    services: dict[str, int] = field(
        default_factory=lambda: {"compute1": SERVICE, "compute2": SERVICE}
    )
    guests: dict[str, list[str]] = field(default_factory=dict)
    other: dict[str, Any] = field(default_factory=lambda: {"identities": [file(TWO)]})

    def known(self, **changes: Any) -> KnownComputes:
        where = site({"release": self.release})
        stopped = {"running": False, "domains": {}, "folders": [], "identities": [file(ONE)]}
        found = {
            "compute1": Presence.model_validate(presence("compute1", **{**stopped, **changes})),
            "compute2": Presence.model_validate(presence("compute2", **self.other)),
        }
        nova = {"nodes": self.nodes, "services": self.services, "guests": self.guests}
        said = NovaComputes.model_validate({**nova, "error": None})
        return KnownComputes(scope_of(where, where.hosts), found, said)

    def outcome(self, **changes: Any) -> Outcome:
        known = self.known(**changes)
        return known.outcome(known.scope.site.hosts["compute1"])

    def fault(self, **changes: Any) -> str:
        """What is wrong; a file is never written beside a fault."""
        found = self.outcome(**changes)
        assert found.lost is None
        return found.fault or ""


def new(release: str = EPOXY) -> Case:
    """Nova has nothing of compute1."""
    return Case(release, [node(TWO, "compute2")], {"compute2": SERVICE})


# --- what is right --------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("running", [False, True])
def test_a_compute_that_nova_has_as_it_is_goes_on(release: str, running: bool) -> None:
    """Also a disk in new hardware: name, file and guests are on it."""
    case = Case(release, guests={"compute1": GUESTS[:2]})
    there: dict[str, Any] = {"domains": {GUESTS[0]: True}, "folders": GUESTS[:2]}
    if running:
        there = {"domains": None, "folders": None}
    assert case.outcome(running=running, **there) == Outcome(said="as Nova has it")


@both
def test_a_new_host_joins(release: str) -> None:
    assert new(release).outcome(identities=[], host=None) == Outcome(said="new to Nova")


@both
def test_one_that_was_retired_before_joins_with_the_file_that_it_kept(release: str) -> None:
    """Its node is deleted: Nova revives it by the UUID."""
    assert new(release).outcome(identities=[file(ONE)]) == Outcome(said="new to Nova")


def test_a_reinstalled_host_without_guests_is_right_on_zed() -> None:
    """Nova 26 finds its node by host and name."""
    found = Case(ZED).outcome(identities=[], host=None)
    assert found == Outcome(said="as Nova has it")


# --- compute_id lost ------------------------------------------------------------------------------


@pytest.mark.parametrize("running", [False, True])
def test_a_lost_compute_id_is_put_back(running: bool) -> None:
    found = Case().outcome(identities=[], host=None, running=running)
    assert found == Outcome(lost=ONE, said="compute_id is put back")


def test_zed_gets_none() -> None:
    assert Case(ZED).outcome(identities=[]).lost is None


@pytest.mark.parametrize("version", [61, 64])
def test_what_an_older_service_never_had_nova_writes_itself(version: int) -> None:
    case = Case(services={"compute1": version})
    assert case.outcome(identities=[]) == Outcome(said="as Nova has it")


@pytest.mark.parametrize("version", [65, 66, 68])
def test_it_is_put_back_from_the_version_on_from_which_nova_wants_it(version: int) -> None:
    assert Case(services={"compute1": version}).outcome(identities=[]).lost == ONE


@pytest.mark.parametrize("version", [64, 68])
def test_which_of_two_nodes_it_was_nobody_can_tell(version: int) -> None:
    nodes = [node(ONE, "compute1"), node(OLD, "compute1", "compute1.example.org")]
    fault = Case(nodes=nodes, services={"compute1": version}).fault(identities=[])
    assert f"2 nodes ({ONE}, {OLD})" in fault
    assert "write the right UUID into /var/lib/nova/compute_id" in fault


def test_without_a_node_there_is_none_to_put_back() -> None:
    fault = Case(nodes=[]).fault(identities=[])
    assert "Nova has its service, but no node" in fault
    assert "`openstack compute service delete`" in fault


def test_a_node_without_a_service_is_for_a_person() -> None:
    fault = Case(services={}).fault(identities=[])
    assert f"Nova has its compute node ({ONE}), but no service" in fault


def test_it_is_not_put_back_under_another_name_of_the_node() -> None:
    fault = Case().fault(identities=[], name="compute1.example.org")
    assert "node as compute1, but libvirt calls the host compute1.example.org" in fault


# --- compute_id foreign ---------------------------------------------------------------------------


@pytest.mark.parametrize("running", [False, True])
def test_a_copied_disk_is_named_with_whose_it_is(running: bool) -> None:
    """Also where nova-compute runs: it would not start again."""
    fault = Case().fault(identities=[file(TWO)], running=running)
    assert fault == (
        f"{FILE} has the identity of compute2 ({TWO}), so its disk is a copy of that: remove the "
        f"file here, and the deploy puts {ONE} back"
    )


def test_a_copied_disk_of_a_new_host_gets_an_identity_of_its_own() -> None:
    fault = new().fault(identities=[file(TWO)], host="compute2")
    assert "has the identity of compute2" in fault
    assert fault.endswith("and nova-compute makes a node of its own")


def test_copies_that_nova_does_not_know_yet_are_found_among_each_other() -> None:
    case = Case(nodes=[], services={}, other={"identities": [file(OLD)]})
    fault = case.fault(identities=[file(OLD)])
    assert f"has the same identity as compute2 ({OLD})" in fault
    assert "remove the file on all but one" in fault


def test_an_unknown_identity_is_no_second_node() -> None:
    fault = Case().fault(identities=[file(OLD)])
    assert f"has {OLD}, which is no node that Nova has, but Nova has this host as {ONE}" in fault
    assert f"remove the file, and the deploy puts {ONE} back" in fault
    assert "or retire the compute first" in fault


def test_an_unknown_identity_beside_two_nodes_is_for_a_person() -> None:
    nodes = [node(ONE, "compute1"), node(TWO, "compute1", "other")]
    fault = Case(nodes=nodes).fault(identities=[file(OLD)])
    assert f"and write the right one of {ONE}, {TWO} there" in fault


def test_zed_reads_no_compute_id() -> None:
    for files in ([file(TWO)], [file(OLD)], [file(None, problem="holds no UUID")]):
        assert Case(ZED).outcome(identities=files) == Outcome(said="as Nova has it")


def test_files_that_do_not_agree_are_named() -> None:
    fault = Case().fault(identities=[file(OLD, BESIDE), file(ONE)])
    assert f"{BESIDE}: {OLD}, {FILE}: {ONE}" in fault
    assert fault.endswith(f"remove those that are wrong; Nova has this host as {ONE}")


def test_files_that_agree_are_one() -> None:
    assert Case().outcome(identities=[file(ONE, BESIDE), file(ONE)]).fault is None


@pytest.mark.parametrize("problem", ["holds no UUID", "cannot be read by nova"])
def test_a_file_that_nova_cannot_read_is_named(problem: str) -> None:
    fault = Case().fault(identities=[file(None, problem=problem)])
    assert fault == f"{FILE} {problem}: remove it, and the deploy puts {ONE} back"


# --- names ----------------------------------------------------------------------------------------


def renamed(release: str) -> Case:
    """Nova has compute9, which the inventory has not, and nothing of compute1."""
    return Case(release, [node(OLD, "compute9")], {"compute9": SERVICE})


@both
def test_a_renamed_host_is_known_by_its_own_nova_conf(release: str) -> None:
    fault = renamed(release).fault(host="compute9", identities=[])
    assert fault == (
        "Nova has this host as compute9, which the inventory has not (its nova.conf says so): it "
        "was renamed. Give it its name back (`hostnamectl set-hostname compute9`, and nova_host = "
        "'compute9'); or do that, retire compute9, and rename it then (docs/computes.md)"
    )


def test_a_renamed_host_is_known_by_its_compute_id() -> None:
    fault = renamed(EPOXY).fault(identities=[file(OLD)], host=None)
    assert (
        f"Nova has this host as compute9, which the inventory has not (by {FILE}, {OLD})" in fault
    )
    assert new().outcome(identities=[file(OLD)], host="compute9").fault is None  # retired before


@both
def test_a_host_is_renamed_in_nova_alone_by_its_nodes_name(release: str) -> None:
    case = Case(release, [node(OLD, "compute9", "compute1")], {})
    fault = case.fault(identities=[], host=None)
    assert "(its node is called compute1): it was renamed" in fault


@both
def test_two_hosts_of_one_name_are_none(release: str) -> None:
    """Placement has one provider of a name."""
    case = Case(release, [node(TWO, "compute2", "compute1")], {})
    fault = case.fault(identities=[], host=None)
    assert fault == (
        "libvirt calls the host compute1, as it does compute2, whose node has that name in Nova: "
        "give one of them another name"
    )


@both
def test_another_name_of_libvirt_is_no_second_node(release: str) -> None:
    fault = Case(release).fault(name="compute1.example.org")
    assert "node as compute1, but libvirt calls the host compute1.example.org" in fault
    assert "Give it that name back" in fault
    # What runs has libvirt's own word for it.
    assert Case(release).outcome(name="compute1.example.org", running=True).fault is None


@both
def test_a_stale_node_beside_the_right_one_is_the_audits(release: str) -> None:
    nodes = [node(OLD, "compute1", "compute1.example.org"), node(ONE, "compute1")]
    assert Case(release, nodes=nodes).outcome(running=True).fault is None


def test_names_are_compared_as_each_release_does() -> None:
    assert Case(ZED).outcome(name="Compute1").fault is None
    assert "libvirt calls the host Compute1" in Case(EPOXY).fault(name="Compute1")


@both
def test_a_new_host_of_a_copied_disk_may_have_another_ones_nova_conf(release: str) -> None:
    assert new(release).outcome(identities=[], host="compute2").fault is None


# --- guests ---------------------------------------------------------------------------------------


@both
def test_a_used_name_without_its_guests_is_refused_before_nova_compute_starts(
    release: str,
) -> None:
    case = Case(release, guests={"compute1": GUESTS})
    fault = case.fault(identities=[], host=None)
    assert fault == (
        f"Nova has 8 guests ({', '.join(GUESTS[:5])} and 3 more) here, and neither libvirt nor "
        "/var/lib/nova/instances has one of them, so it was reinstalled, or is other hardware "
        "under a used name: put the disk back, or mount /var/lib/nova/instances; or, as long as "
        "nova-compute is stopped, `openstack server evacuate` or `openstack server delete` them"
    )


@both
@pytest.mark.parametrize(
    "there",
    [
        {"domains": {GUESTS[0]: True}},
        {"domains": {GUESTS[0]: False}},  # Nova's by its UUID, whatever its definition says
        {"folders": [GUESTS[1]]},
        {"folders": [GUESTS[7]]},  # a guest of Nova's, though none that it has here
        {"domains": {GUESTS[7]: True}},
    ],
    ids=["domain", "domain of no mark", "folder", "folder of another", "domain of another"],
)
def test_where_any_guest_is_there_the_disk_is(release: str, there: dict[str, Any]) -> None:
    case = Case(release, guests={"compute1": GUESTS[:3]})
    assert case.outcome(**there).fault is None


@both
def test_a_domain_of_somebody_else_is_no_guest(release: str) -> None:
    case = Case(release, guests={"compute1": GUESTS[:1]})
    assert "Nova has 1 guest (" in case.fault(domains={OLD: False})


@both
def test_where_nova_compute_runs_its_guests_are_its_own(release: str) -> None:
    case = Case(release, guests={"compute1": GUESTS})
    assert case.outcome(running=True, domains=None, folders=None).fault is None


@both
def test_guests_that_nobody_could_look_for_are_not_gone(release: str) -> None:
    case = Case(release, guests={"compute1": GUESTS[:1]})
    fault = case.fault(domains={}, folders=None, unread="[Errno 5] instances")
    assert (
        fault
        == f"whether 1 guest ({GUESTS[0]}) of it are there nobody can say: [Errno 5] instances"
    )
    assert Case(release).outcome(domains={}, folders=None, unread="x").fault is None


def test_a_service_does_not_start_as_new_beside_domains() -> None:
    fault = new().fault(identities=[], domains={GUESTS[0]: True, OLD: False})
    assert f"libvirt has domains ({GUESTS[0]}, {OLD}), and Nova no nova-compute here" in fault
    assert new("2023.1").outcome(identities=[], domains={OLD: False}).fault is None
    assert new(ZED).outcome(identities=[], domains={GUESTS[0]: True}).fault is None
    assert Case().outcome(domains={GUESTS[0]: True}).fault is None


# --- answers that are none ------------------------------------------------------------------------


def test_without_an_answer_of_nova_nothing_is_concluded() -> None:
    known = Case().known(identities=[])
    compute = known.scope.site.hosts["compute1"]
    for said, ok in ((NovaComputes(error="2013: Lost connection"), False), (NovaComputes(), False)):
        known.nova = said
        assert known.outcome(compute) == Outcome()
        (only,) = known.findings()
        assert (only.host, only.what, only.ok) == ("controller", "identity", ok)
        assert said.error and said.error in only.detail


def test_what_the_run_itself_mends_is_looked_at_later() -> None:
    known = Case().known(identities=[])
    known.nova = NovaComputes(error="1045: Access denied", early=True)
    (only,) = known.findings()
    assert only.ok and only.detail.endswith(
        "1045: Access denied; looked at before nova-compute starts"
    )
    assert known.is_pending


def test_every_compute_has_a_verdict() -> None:
    known = Case().known(identities=[file(TWO)])
    assert [(v.host, v.ok) for v in known.findings()] == [("compute1", False), ("compute2", True)]
    known.presences = {"compute1": None, "compute2": known.presences["compute2"]}
    found = {v.host: v.detail for v in known.findings() if not v.ok}
    assert found == {"compute1": "it does not say who it is"}
