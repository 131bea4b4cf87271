"""A compute that has no power: what the inventory may say of it, and what a run has of it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from pyinfra.connectors.ssh import SSHConnector

from pyinfra_nova.audit import question as audit
from pyinfra_nova.nova_conf import migration_ssh
from pyinfra_nova.proof import dead_computes, drained_computes, site_proof
from pyinfra_nova.resources import forced_down
from pyinfra_nova.resources.compute_states import Closed, steps
from pyinfra_nova.resources.drains.state import Drained, Seen
from pyinfra_nova.resources.evacuations import EvacuationState
from pyinfra_nova.resources.evacuations.decision import Dead
from pyinfra_nova.resources.evacuations.signs import Looks, Sought
from pyinfra_nova.run.host_plan import HostPlan
from pyinfra_nova.session.settings_first import OnlyDeadHosts, dead_in, leave_out_dead
from pyinfra_nova.site.faults import SettingsError
from pyinfra_nova.site.run_scope import scope_of
from pyinfra_nova.site.settings import Site

from .site_data import GROUPS, HOSTS, debian, secrets, site

DRAINED = {"state": "drained", "dead": True}
RETIRED = {"state": "retired", "dead": True}
RBD = {"libvirt": {"images_type": "rbd"}}


def where(**compute2: Any) -> Site:
    hosts = {**HOSTS, "compute2": {**HOSTS["compute2"], **(compute2 or DRAINED)}}
    return site(hosts=hosts, passwords=secrets(migration_secret="a secret of which a key is made"))


def plan(of: Site, name: str = "controller", *, active: set[str] | None = None) -> HostPlan:
    scope = scope_of(of, set(of.hosts) if active is None else active)
    keys = {host.name: [f"ssh-ed25519 {host.name}"] for host in scope.hosts}
    return HostPlan(of.hosts[name], of, debian(), "qemu", scope, host_keys=keys, leaving=of.retired)


# --- what is said of it ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("compute2", "message"),
    [
        ({"dead": True}, r"compute2\.dead: is said of a compute whose state is 'drained' or"),
        ({"dead": True, "state": "closed"}, r"compute2\.dead: is said of a compute whose state"),
        ({**DRAINED, "dead": "yes"}, r"compute2\.dead: "),
        ({**RETIRED, "purge": True}, r"compute2\.purge: cannot be done on a host that is dead"),
        ({"state": "drained", "disks_lost": True}, r"compute2\.disks_lost: is said of a compute t"),
        ({**DRAINED, "disk_lost": True}, r"disk_lost: unknown key; did you mean 'disks_lost'"),
        ({**DRAINED, "my_ip": None}, r"compute2\.my_ip: is missing"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(compute2: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        where(**compute2)


@pytest.mark.parametrize("group", ["controllers", "database", "messaging"])
def test_a_host_that_is_more_than_a_compute_is_not_dead(group: str) -> None:
    groups = {**GROUPS, "controllers": ["controller"]}
    groups[group] = [*groups.get(group, []), "compute2"]
    hosts = {**HOSTS, "compute2": {**HOSTS["compute2"], **DRAINED}}
    with pytest.raises(SettingsError, match=r"compute2\.dead: cannot be True, because the host is"):
        site(groups=groups, hosts=hosts)


@pytest.mark.parametrize(
    "more",
    [
        {"all_data": {"dead": True}},
        {"group_data": {"computes": {"dead": True}}},
        {"override_data": {"dead": True}, "limit": ["compute2"]},
    ],
)
def test_dead_is_not_said_of_many_hosts_at_once(more: dict[str, Any]) -> None:
    hosts = {**HOSTS, "compute2": {**HOSTS["compute2"], "state": "drained"}}
    with pytest.raises(SettingsError, match=r"dead: is said of one host, in its own entry of the"):
        site(hosts=hosts, **more)


def test_a_reason_to_be_closed_belongs_to_a_compute_that_is() -> None:
    with pytest.raises(SettingsError, match=r"compute2\.state_reason: says why a compute takes no"):
        where(state_reason="a fan is broken")
    assert where(state="closed", state_reason="a fan").hosts["compute2"].state == "closed"


def test_dead_is_said_of_computes_alone() -> None:
    hosts = {**HOSTS, "controller": {**HOSTS["controller"], "dead": True}}
    with pytest.raises(SettingsError, match=r"controller\.dead: is said of a compute alone"):
        site(hosts=hosts)


# --- what a site has of it ------------------------------------------------------------------------


def test_it_is_in_the_site_and_no_compute_that_anything_is_waited_for() -> None:
    of = where()
    assert [host.name for host in of.computes] == ["compute1"]
    assert [host.name for host in of.dead] == ["compute2"]
    assert [host.name for host in of.all_computes] == ["compute1", "compute2"]
    assert [host.name for host in where(**RETIRED).all_computes] == ["compute1"]
    asked = site_proof.question(plan(of), {})
    assert list(asked["computes"]) == list(asked["services"]["nova-compute"]) == ["compute1"]
    assert asked["known"]["nova-compute"] == ["compute1", "compute2"]
    assert asked["retired"] == ["compute2"]


def test_the_others_go_on_knowing_it() -> None:
    of = where()
    alive = plan(of, "compute1", active={"controller", "compute1"})
    files = {file.path: file for file in alive.files}
    assert files[migration_ssh.KNOWN_HOSTS].keeps_about == ("compute2",)
    assert "10.0.0.32" in files["/var/lib/nova/.ssh/authorized_keys"].content


def test_an_audit_expects_nothing_of_it() -> None:
    expected = audit.expected(where())
    assert expected["dead"] == ["compute2"]
    assert list(expected["computes"]) == ["compute1", "compute2"]
    assert expected["ssh"]["names"] == ["10.0.0.31", "10.0.0.32", "compute1", "compute2"]


def test_it_is_closed_with_its_reason() -> None:
    of = where()
    (step,) = steps(of, of.dead, Closed({}))
    assert step.text == "close compute2 to new guests, dead in the inventory (was open)"
    assert steps(of, of.dead, Closed({"compute2": "dead in the inventory"})) == []


# --- what a run has of it -------------------------------------------------------------------------


class State:
    """Of a run of pyinfra, which remembers what belongs to it as long as it is there."""

    def __init__(self, *names: str) -> None:
        self.inventory = [SimpleNamespace(name=name) for name in HOSTS]
        known = {host.name: host for host in self.inventory}
        self.limit_hosts: list[Any] | None = [known[name] for name in names] if names else None


def left(state: State, of: Site) -> list[str]:
    leave_out_dead(state, of)  # type: ignore[arg-type]
    return [host.name for host in state.limit_hosts or state.inventory]


def test_nobody_connects_to_it() -> None:
    state: Any = State()
    assert left(state, where()) == ["controller", "compute1"]
    assert dead_in(state) == {"compute2"}
    state = State("controller", "compute2")
    assert left(state, where()) == ["controller"]
    assert dead_in(state) == {"compute2"}


def test_a_run_that_leaves_it_out_does_nothing_about_it() -> None:
    state: Any = State("controller", "compute1")
    assert left(state, where()) == ["controller", "compute1"]
    assert dead_in(state) == frozenset()
    assert scope_of(where(), {"controller", "compute1"}).dead == ()


def test_without_one_a_run_stays_as_it_is() -> None:
    state: Any = State()
    leave_out_dead(state, site())
    assert state.limit_hosts is None and dead_in(state) == frozenset()


def test_a_run_of_none_but_dead_hosts_says_where_to_work() -> None:
    with pytest.raises(
        OnlyDeadHosts, match=r"compute2 is dead in the inventory, .* controller, too"
    ):
        left(State("compute2"), where())


def test_it_brings_the_primary_controller_into_a_run() -> None:
    scope = scope_of(where(), {"compute2"})
    assert scope.hosts == () and scope.delegate is not None
    assert scope.delegate.name == "controller"


# --- how Nova is asked about it -------------------------------------------------------------------


@pytest.mark.parametrize("compute2", [DRAINED, RETIRED])
def test_its_guests_are_evacuated_and_not_moved(compute2: dict[str, Any]) -> None:
    of = where(**compute2)
    asked = dead_computes.question(plan(of))
    assert asked is not None
    assert asked.computes == [Dead("compute2", "compute2", "")]
    assert (asked.closing, asked.opening) == (["compute2"], ["compute1"])
    assert asked.near == [Drained("compute1", "compute1", "qemu:///system")]
    assert drained_computes.question(plan(of), lambda compute: plan(of, compute.name)) is None


def test_nothing_is_asked_about_one_that_nova_has_no_more_or_that_the_run_leaves_out() -> None:
    of = where(**RETIRED)
    gone = plan(of)
    gone = HostPlan(*(gone.host, of, gone.platform, "qemu", gone.scope))
    assert dead_computes.question(gone) is None
    assert dead_computes.question(plan(where(), active={"controller"})) is None


def test_its_disks_are_elsewhere_if_all_computes_make_them_on_ceph() -> None:
    def on_ceph(one: dict[str, Any], two: dict[str, Any]) -> bool:
        hosts = {
            "controller": HOSTS["controller"],
            "compute1": {**HOSTS["compute1"], "nova_conf": one},
            "compute2": {**HOSTS["compute2"], **DRAINED, "nova_conf": two, "disks_lost": True},
        }
        asked = dead_computes.question(plan(site(hosts=hosts)))
        assert asked is not None
        (dead,) = asked.computes
        assert isinstance(dead, Dead) and dead.lost
        return dead.elsewhere

    def pool(name: str) -> dict[str, Any]:
        return {"libvirt": {"images_type": "rbd", "images_rbd_pool": name}}

    assert on_ceph(RBD, RBD) and on_ceph(pool("vms"), pool("vms")) and on_ceph(RBD, pool("rbd"))
    assert not on_ceph(pool("vms"), pool("rack2"))
    assert not on_ceph(RBD, pool("vms"))
    assert not on_ceph({}, RBD)
    assert not on_ceph(RBD, {})


# --- when it is back ------------------------------------------------------------------------------


def test_one_that_lives_again_is_to_count_again() -> None:
    of, databases = site(), plan(site()).databases
    found = forced_down.steps(of, databases, of.computes, {"compute1": 0, "compute2": 2, "x": 1})
    assert [step.text for step in found] == [
        "compute1 was forced down: let it count again",
        "compute2 was forced down: let it count again, once its nova-compute has taken away what "
        "is left there of 2 guests evacuated",
    ]
    assert [len(step.commands) for step in found] == [0, 1]
    assert forced_down.steps(of, databases, of.computes, {}) == []


# --- who is asked whether it lives ----------------------------------------------------------------


def test_at_an_address_of_the_site_no_guest_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A project may have chosen the same for its network; the controller would answer there."""
    of = where()
    plans = {"controller": plan(of)}
    host = SimpleNamespace(data={}, connector_cls=SSHConnector, print_prefix="")
    state: Any = SimpleNamespace(inventory=SimpleNamespace(get_host=lambda _: host))
    addresses = [
        {"address": address, "network": "n1", "direct": True}
        for address in ("203.0.113.9", str(of.hosts["controller"].my_ip))
    ]
    guest: dict[str, Any] = {
        "uuid": "g1",
        "name": "web",
        "host": "compute2",
        "state": "active",
        "task": None,
    }
    guest |= {"power": 1, "fault": None, "addresses": addresses}
    told: dict[str, Any] = {"error": None, "guests": [guest]}
    seen = Seen([Dead("compute2", "compute2", "")], EvacuationState.model_validate(told))
    asked: list[Any] = []

    def looked(_: Any, sought: Any, guests: Any, *who: Any, here: bool) -> Looks:
        asked.extend(guests)
        return Looks()

    monkeypatch.setattr(dead_computes, "looked", looked)
    dead_computes._looks(state, plans, seen)
    assert [place.direct for place in asked[0].addresses] == [True, False]


def test_a_few_are_asked_however_many_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"c{number}" for number in range(40)]
    hosts = {"controller": HOSTS["controller"], "compute2": {**HOSTS["compute2"], **DRAINED}}
    hosts |= {name: {"my_ip": f"10.0.0.{100 + n}"} for n, name in enumerate(names)}
    groups = {"controllers": ["controller"], "computes": [*names, "compute2"]}
    of = site(groups=groups, hosts=hosts)
    plans = {name: plan(of, name) for name in ("controller", *names)}
    data = {"ssh_hostname": "192.0.2.2", "ssh_port": 2222}
    host = SimpleNamespace(data=data, connector_cls=SSHConnector, print_prefix="")
    state: Any = SimpleNamespace(inventory=SimpleNamespace(get_host=lambda _: host))
    asked: list[Any] = []

    def looked(_: Any, sought: Any, guests: Any, *who: Any, here: bool) -> Looks:
        asked.append((sought, list(guests), who, here))
        return Looks({}, {"compute2": {"ping"}}, [])

    monkeypatch.setattr(dead_computes, "looked", looked)
    monkeypatch.setattr(dead_computes, "question", lambda _: None)
    (verdict,) = dead_computes.verdicts(state, plans)
    assert (verdict.host, verdict.ok, verdict.detail) == ("compute2", True, "no sign of life")
    ((sought, guests, who, here),) = asked
    assert sought == [Sought("compute2", "compute2", ["10.0.0.32", "192.0.2.2"], 2222, "192.0.2.2")]
    assert guests == [] and here
    assert who == (["controller"], ["c0", "c1", "c2"])
    del data["ssh_hostname"]
    dead_computes.verdicts(state, plans)
    (again,) = asked.pop()[0]
    assert (again.addresses, again.reached) == (["10.0.0.32"], "compute2")
    host.connector_cls = object  # not reached by SSH
    dead_computes.verdicts(state, plans)
    assert asked[1][3] is False
