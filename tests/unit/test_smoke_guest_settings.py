"""`smoke_guest`: what may be said of it, what nova.conf has of it, and which computes it is for."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pyinfra_nova.proof import site_proof, stage
from pyinfra_nova.resources import compute_states, smoke_guests
from pyinfra_nova.run.host_plan import HostPlan
from pyinfra_nova.session import steps
from pyinfra_nova.site.run_scope import scope_of
from pyinfra_nova.site.settings import Site

from .rendered_conf import nova_conf
from .site_data import HOSTS, debian, faults, site
from .smoke_stand_in import NEW

GUEST: dict[str, Any] = {"image": "tiny", "network": "provider"}
OPTION = "enable_isolated_aggregate_filtering"


# --- settings -------------------------------------------------------------------------------------


def test_a_site_that_does_not_want_it_has_none() -> None:
    assert site().settings.smoke_guest is None
    assert site({"smoke_guest": None}).settings.smoke_guest is None


def test_image_and_network_are_all_that_has_to_be_said() -> None:
    wanted = site({"smoke_guest": GUEST}).settings.smoke_guest
    assert wanted is not None
    assert (wanted.ram, wanted.timeout, wanted.at_once) == (512, 600, 10)
    assert (wanted.expects, wanted.volume) == (None, True)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"image": None}, "smoke_guest.image: "),
        ({"picture": "tiny"}, "smoke_guest.picture: unknown key"),
        ({"expects": "("}, "smoke_guest.expects: is no regular expression: missing ), unterm"),
        ({"expects": ""}, "smoke_guest.expects: "),
        ({"timeout": "60"}, "smoke_guest.timeout: is text: write it without quotes"),
        ({"timeout": 29}, "smoke_guest.timeout: "),
        ({"ram": 8}, "smoke_guest.ram: "),
        ({"at_once": 0}, "smoke_guest.at_once: "),
        ({"volume": "no"}, "smoke_guest.volume: is text: write it without quotes"),
    ],
)
def test_what_is_no_such_setting_is_refused_by_name(data: dict[str, Any], said: str) -> None:
    (found,) = faults({"smoke_guest": {**GUEST, **data}})
    assert found.startswith(f"group_data/all.py: {said}")


def test_it_is_not_for_sites_whose_computes_are_open_before_they_are_proven() -> None:
    assert faults({"smoke_guest": GUEST, "enable_new_services": True}) == [
        "group_data/all.py: smoke_guest: has no use with enable_new_services, which opens computes "
        "before they are proven; leave out one of them"
    ]


@pytest.mark.parametrize("value", [False, "false", "no", 0, None])
def test_an_override_that_would_let_others_guests_in_is_refused(value: object) -> None:
    override = {"nova_conf": {"scheduler": {OPTION: value}}}
    said = (
        f"group_data/all.py: smoke_guest: needs {OPTION}, which nova_conf of controller does not "
        "leave on; leave that option out"
    )
    assert faults({"smoke_guest": GUEST}, group_data={"controllers": override}) == [said]
    # Without it, it is the site's own.
    site(group_data={"controllers": override})


@pytest.mark.parametrize("value", [True, "true", "on"])
def test_a_site_that_isolates_aggregates_itself_may_go_on_saying_so(
    value: object, tmp_path: Path
) -> None:
    override = {"nova_conf": {"scheduler": {OPTION: value}}}
    where = site({"smoke_guest": GUEST}, group_data={"controllers": override})
    assert nova_conf(tmp_path, where, "controller")["scheduler"][OPTION] == str(value).lower()


def test_the_scheduler_is_told_of_it_where_it_is_wanted_alone(tmp_path: Path) -> None:
    for name in ("without", "with"):
        (tmp_path / name).mkdir()
    assert OPTION not in nova_conf(tmp_path / "without", site(), "controller")["scheduler"]
    where = site({"smoke_guest": GUEST})
    assert nova_conf(tmp_path / "with", where, "controller")["scheduler"][OPTION] == "true"
    assert "scheduler" not in nova_conf(tmp_path / "with", where, "compute1")


# --- which computes it is for ---------------------------------------------------------------------


ANSWER: dict[str, Any] = {**site_proof.NOTHING, "error": None}


def plan_of(where: Site, *limit: str) -> HostPlan:
    scope = scope_of(where, limit or where.hosts)
    return HostPlan(where.primary_controller, scope.site, debian(), "qemu", scope)


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the primary controller has said last."""
    answer = dict(ANSWER)
    state: Any = SimpleNamespace(is_executing=True)
    monkeypatch.setattr(stage, "host", SimpleNamespace(state=state))
    monkeypatch.setattr(stage, "_planned", lambda _: answer)
    return answer


def joining(plan: HostPlan) -> list[str]:
    return [compute.name for compute in stage.joining(plan)]


def test_new_computes_and_those_of_an_earlier_run_are_proven_and_the_others_opened(
    said: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Any] = []

    def noted(_: Any, computes: Any, __: Any) -> list[Any]:
        opened.append([compute.name for compute in computes])
        return []

    monkeypatch.setattr(compute_states, "steps", noted)
    plan = plan_of(site({"smoke_guest": GUEST}))
    said.update(closed={"compute1": NEW})
    assert joining(plan) == ["compute1"]
    said.update(closed={"compute1": "fan"}, joining=["compute2"])
    assert joining(plan) == ["compute2"]
    said.update(closed={}, unseen=["compute1"])
    assert joining(plan) == ["compute1", "compute2"]
    said.update(closed={"compute1": "fan"}, unseen=[], joining=["compute2"])
    assert list(stage.opened._inner(plan)) == []
    assert opened == [["compute1"]]


def test_a_site_without_it_proves_none_so(said: dict[str, Any]) -> None:
    said.update(closed={"compute1": NEW}, joining=["compute2"])
    plan = plan_of(site())
    assert joining(plan) == []
    assert list(stage.joined._inner(plan)) == []


def test_a_run_proves_its_own_computes_alone(said: dict[str, Any]) -> None:
    said.update(closed={"compute1": NEW, "compute2": NEW})
    assert joining(plan_of(site({"smoke_guest": GUEST}), "compute2")) == ["compute2"]


def question(where: Site, *limit: str) -> Any:
    plan = plan_of(where, *limit)
    assert plan.site.settings.smoke_guest is not None
    return stage._smoke_question(plan, plan.site.settings.smoke_guest)


def test_it_is_asked_at_the_controllers_own_proxy_and_of_its_own_scheduler(
    said: dict[str, Any],
) -> None:
    said.update(closed={"compute1": NEW})
    found = question(site({"smoke_guest": GUEST}))
    assert found.proxy == "http://10.0.0.11:6080/"
    assert (found.scheduler.name, found.scheduler.reads) == (
        "nova-scheduler",
        ("/etc/nova/nova.conf",),
    )
    assert [compute.name for compute in found.computes] == ["compute1"]
    assert found.clearing == []
    without = site({"smoke_guest": GUEST, "vnc": {"enabled": False}})
    assert question(without).proxy is None


def test_other_controllers_that_a_run_leaves_out_are_named(said: dict[str, Any]) -> None:
    groups = {"controllers": ["controller", "controller2"], "computes": ["compute1", "compute2"]}
    hosts = {**HOSTS, "controller2": {"my_ip": "10.0.0.12"}}
    where = site({"smoke_guest": GUEST}, groups=groups, hosts=hosts)

    def unsure(*limit: str) -> list[str]:
        return [host.name for host in question(where, *limit).unsure]

    assert unsure() == unsure("controller2", "compute1") == []
    assert unsure("controller", "compute1") == unsure("compute1") == ["controller2"]


@pytest.mark.parametrize("state", ["closed", "drained", "retired"])
def test_what_is_left_of_a_compute_that_is_not_to_be_open_is_cleared(
    said: dict[str, Any], state: str
) -> None:
    said.update(joining=["compute1"])
    data = {"my_ip": "10.0.0.31", "state": state, "state_reason": "new memory"}
    where = site({"smoke_guest": GUEST}, hosts={**HOSTS, "compute1": data})
    found = question(where)
    assert [compute.name for compute in found.clearing] == ["compute1"]
    assert found.computes == []
    said.update(unseen=["compute1"])
    assert question(where).clearing == []


def test_the_databases_are_asked_for_it_where_it_is_wanted() -> None:
    assert site_proof.question(plan_of(site()), {})["joining"] is False
    assert site_proof.question(plan_of(site({"smoke_guest": GUEST})), {})["joining"] is True


def test_what_was_not_proven_ends_the_run_once_all_else_is_done(
    said: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guests of a dead or a closed compute do not wait for a new one that does not work."""

    def fails(_: Any, failed: list[str]) -> Any:
        failed.append("compute1 is closed: not proven: it is cold")
        yield from ()

    class State:
        is_executing = True

    state: Any = State()
    for module in (stage, steps):
        monkeypatch.setattr(module, "host", SimpleNamespace(state=state, name="controller"))
    monkeypatch.setattr(smoke_guests, "proven", fails)
    assert list(stage.all_joined._inner()) == []
    plan = plan_of(site({"smoke_guest": GUEST}))
    assert list(stage.joined._inner(plan)) == []
    (error,) = stage.all_joined._inner()
    assert "compute1 is closed: not proven: it is cold\nmend it, then deploy again" in str(error)
