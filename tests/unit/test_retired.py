"""A retired compute: what the inventory may say of it, and what it is no more in a site."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pyinfra_nova.nova_conf import migration_ssh
from pyinfra_nova.nova_conf.render import files_for
from pyinfra_nova.proof import site_proof
from pyinfra_nova.proof.drained_computes import question
from pyinfra_nova.resources import retirements
from pyinfra_nova.resources.compute_states import Closed, steps
from pyinfra_nova.resources.packages import SimulatedRemoval, SimulatedRpmRemoval
from pyinfra_nova.resources.retirements import Left, Records, faults
from pyinfra_nova.run.host_plan import HostPlan
from pyinfra_nova.run.preflight import judge
from pyinfra_nova.run.retired import question_of
from pyinfra_nova.session.host_script import SCRIPTS
from pyinfra_nova.site.faults import SettingsError
from pyinfra_nova.site.run_scope import scope_of
from pyinfra_nova.site.settings import Site
from tasks import retirement

from .site_data import GROUPS, HOSTS, debian, secrets, site
from .test_preflight import report

SECRET = "a secret of which a key is made"
LEFT: dict[str, Any] = {
    **{"guests": [], "moves": [], "service": None, "nodes": [], "cell": None, "aggregates": []},
    **{"providers": [], "agents": [], "queues": []},
}


def where(**compute2: Any) -> Site:
    more = {"state": "retired", **compute2}
    hosts = {**HOSTS, "compute2": {**HOSTS["compute2"], **more}}
    return site(hosts=hosts, passwords=secrets(migration_secret=SECRET))


def plan(of: Site, name: str, *active: str, leaving: bool = True) -> HostPlan:
    scope = scope_of(of, active or of.hosts)
    keys = {host: [f"ssh-ed25519 {host}"] for host in active or of.hosts}
    left = of.retired if leaving else ()
    return HostPlan(of.hosts[name], of, debian(), "qemu", scope, host_keys=keys, leaving=left)


# --- what is said of it ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("compute2", "message"),
    [
        (
            {"state": "retierd"},
            r"compute2\.state: must be 'open', 'closed', 'drained' or 'retired'",
        ),
        ({"state": ["retired"]}, r"compute2\.state: must be"),
        ({"purge": "yes"}, r"compute2\.purge: "),
        ({"purge": True, "state": "drained"}, r"compute2\.purge: is said of a compute whose state"),
        ({"purged": True}, r"compute2\.purged: unknown key; did you mean 'purge'"),
        ({"my_ip": None}, r"compute2\.my_ip: is missing"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(compute2: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        where(**compute2)


def test_purge_is_said_of_computes_alone() -> None:
    hosts = {**HOSTS, "controller": {**HOSTS["controller"], "purge": True}}
    with pytest.raises(SettingsError, match=r"controller\.purge: is said of a compute alone"):
        site(hosts=hosts)


def test_a_controller_is_no_compute_that_can_be_retired() -> None:
    groups = {"controllers": ["aio"], "computes": ["aio"]}
    with pytest.raises(SettingsError, match="the host is a controller, too; set 'drained'"):
        site(groups=groups, hosts={"aio": {"my_ip": "10.0.0.5", "state": "retired"}})


def test_the_only_compute_may_be_retired() -> None:
    groups = {**GROUPS, "computes": ["compute2"]}
    hosts = {"controller": HOSTS["controller"], "compute2": {"my_ip": "1", "state": "retired"}}
    hosts["compute2"]["my_ip"] = "10.0.0.32"
    found = site(groups=groups, hosts=hosts)
    assert (found.computes, [host.name for host in found.retired]) == ((), ["compute2"])


# --- what it is no more ---------------------------------------------------------------------------


def test_nothing_is_deployed_to_it() -> None:
    of = where(hugepages=[{"size": "2M", "count": 8}])
    (host,) = of.retired
    assert [compute.name for compute in of.computes] == ["compute1"]
    mine = replace(
        plan(of, "compute2"),
        written={"hugepages": ["/etc/x"], "libvirt_secrets": ["/etc/libvirt/secrets/u.xml"]},
    )
    assert files_for(of, host, debian(), "qemu") == []
    assert (mine.files, mine.absent, mine.packages, mine.booleans) == ((), (), (), ())
    assert (mine.concerns_hugepages, mine.hugepages, mine.ceph_secret) == (False, [], None)
    assert mine.units("compute") and not (host.is_compute or host.is_controller)


def test_it_is_no_hypervisor_that_anybody_waits_for_and_no_stranger() -> None:
    asked = site_proof.question(plan(where(), "controller"), {})
    assert asked["computes"] == {"compute1": "10.0.0.31"}
    assert asked["known"]["nova-compute"] == ["compute1", "compute2"]
    assert asked["retired"] == ["compute2"]
    assert "compute.compute2" not in asked["queues"]
    assert site_proof.known(where())["nova-compute"] == ["compute1"]


def test_as_long_as_nova_has_it_it_is_closed_and_drained() -> None:
    of = where()
    found = question(plan(of, "controller"), lambda host: plan(of, host.name))
    assert found and [compute.host for compute in found.computes] == ["compute2"]
    assert question(plan(of, "controller", leaving=False), lambda host: plan(of, host.name)) is None
    said = [step.text for step in steps(of, of.retired, Closed({}))]
    assert said == ["close compute2 to new guests, retired in the inventory (was open)"]
    mine = where(state_reason="sold", nova_conf={"libvirt": {"connection_uri": "qemu:///session"}})
    found = question(plan(mine, "controller"), lambda host: plan(mine, host.name))
    assert found and found.computes[0].libvirt == "qemu:///session"
    assert "compute2 to new guests, sold" in steps(mine, mine.retired, Closed({}))[0].text


def test_a_run_on_it_alone_needs_the_primary_controller() -> None:
    scope = scope_of(where(), ["compute2"])
    assert scope.delegate and scope.delegate.name == "controller"
    assert ([host.name for host in scope.retired], scope.computes) == (["compute2"], ())
    assert scope_of(where(), ["controller"]).delegate is None


def test_one_that_has_another_name_is_refused_before_what_has_its_name_goes() -> None:
    """What is closed, drained and deleted is found by the name; it may be another host's."""
    of = where(nova_host="compute3")
    reports = {"compute2": report("compute2", "10.0.0.32")}
    (fault,) = [one for one in judge(scope_of(of, of.hosts), reports, {}) if not one.ok]
    assert (fault.host, fault.what) == ("compute2", "host name")
    assert "the host calls itself 'compute2' but Nova would call it 'compute3'" in fault.detail
    assert "and what has that name would go; set nova_host" in fault.detail
    assert all(one.ok for one in judge(scope_of(where(), where().hosts), reports, {}))


# --- what others know of it -----------------------------------------------------------------------


def contents(files: Any) -> dict[str, str]:
    return {file.path: file.content for file in files}


AUTHORIZED = "/var/lib/nova/.ssh/authorized_keys"


def test_as_long_as_nova_has_it_others_take_its_guests() -> None:
    of = where()
    before, after = plan(of, "compute1"), plan(of, "compute1", leaving=False)
    assert 'from="10.0.0.31,10.0.0.32"' in contents(before.files)[AUTHORIZED]
    assert "compute2" in contents(before.files)[migration_ssh.KNOWN_HOSTS]
    assert 'from="10.0.0.31"' in contents(after.files)[AUTHORIZED]
    assert "compute2" not in contents(after.files)[migration_ssh.KNOWN_HOSTS]
    # What the end of the run writes is what the beginning of the next one wants.
    late = contents(before.files_at_the_end)
    assert set(late) == {AUTHORIZED, migration_ssh.KNOWN_HOSTS}
    assert late.items() <= contents(after.files).items()
    assert after.files_at_the_end == ()


def test_as_long_as_nova_has_it_it_knows_where_its_guests_may_go() -> None:
    """As to a compute that joins in the same run; nothing else is written there."""
    mine = plan(where(), "compute2")
    assert mine.files == ()
    mine = replace(mine, has_nova=True)
    assert set(contents(mine.files)) == {
        *(migration_ssh.KEY, migration_ssh.SSH_CONFIG, AUTHORIZED, migration_ssh.KNOWN_HOSTS)
    }
    others = plan(where(), "compute1")
    assert contents(mine.files).items() <= contents(others.files).items()
    assert (mine.absent, mine.files_at_the_end) == ((), ())
    assert replace(plan(where(), "compute2", leaving=False), has_nova=True).files == ()


def test_a_run_without_it_leaves_what_they_know() -> None:
    mine = plan(where(), "compute1", "controller", "compute1")
    known = next(file for file in mine.files if file.path == migration_ssh.KNOWN_HOSTS)
    assert known.keeps_about == ("compute2",)
    assert mine.files_at_the_end == ()


# --- what is said of what is left -----------------------------------------------------------------


def test_only_an_answer_says_that_it_has_gone() -> None:
    (host,) = where().retired
    assert not Records().is_gone(host)
    assert not Records(error=None).is_gone(host)
    assert Records(error=None, left={"compute2": Left(**LEFT)}).is_gone(host)
    for more in ({"cell": ""}, {"guests": ["g"]}, {"moves": ["g"]}, {"queues": ["q"]}):
        assert not Records(error=None, left={"compute2": Left(**{**LEFT, **more})}).is_gone(host)
    for kind, remedy in (
        ("unconfirmed", "resize confirm g`"),
        ("unconfirmable", "audit --repair`"),
    ):
        left = Left(**{**LEFT, kind: ["g"]})
        assert "a move of guest g waits to be confirmed" in left.uses[0] and remedy in left.uses[0]
        assert not Records(error=None, left={"compute2": left}).is_gone(host)
    agents = [{"id": "a", "kind": "DHCP agent", "alive": True}]
    left = Left(**{**LEFT, "agents": agents})
    assert Records(error=None, left={"compute2": left}).is_gone(host)
    assert left.staying == ["Neutron's DHCP agent there lives, and stays"]
    agents = [{"id": "a", "kind": "L3 agent", "alive": False, "bound": 3}]
    left = Left(**{**LEFT, "agents": agents})
    assert Records(error=None, left={"compute2": left}).is_gone(host)
    assert left.staying == [
        "Neutron's dead L3 agent (a) stays, for it has 3 routers: start it, or move them to "
        "another agent and deploy again"
    ]


@pytest.mark.parametrize("executing", [False, True])
def test_tables_are_missed_by_a_deploy_and_not_by_a_plan(
    executing: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    of = where()
    asked: list[dict[str, Any]] = []

    def ask(_host: Any, _fact: Any, request: dict[str, Any]) -> dict[str, Any]:
        asked.append(request)
        return {}

    monkeypatch.setattr(retirements, "ask", ask)
    controller: Any = SimpleNamespace(state=SimpleNamespace(is_executing=executing))
    found = question_of(plan(of, "controller"), of.retired).asked(controller)
    assert [request["there"] for request in asked] == [executing]
    assert found.error == "nothing was answered"


def test_what_is_left_is_a_fault_by_name() -> None:
    computes = where().retired
    left = Left(**{**LEFT, "guests": ["g1"], "service": "s2"})
    assert faults(Records(error=None, left={"compute2": left}), computes) == [
        "compute2: guest g1 is on it",
        "compute2: there still is service nova-compute (s2)",
    ]
    assert faults(Records(error="2013: lost"), computes) == ["2013: lost"]


def test_all_that_was_written_there_goes_with_a_purge_and_by_its_form() -> None:
    of = where()
    compute = of.hosts["compute2"].model_copy(update={"roles": frozenset({"compute"})})
    going = {entry.path: entry for entry in retirement._written(plan(of, "compute2"))}
    files = files_for(of, compute, debian(), "qemu")
    assert {file.path for file in files} <= going.keys()
    for file in files:
        assert re.fullmatch(going[file.path].form, file.content.splitlines()[0]), file.path
        assert going[file.path].how == "marker"
    mine = plan(site(passwords=secrets(migration_secret=SECRET)), "compute2", leaving=False)
    assert {file.path for file in mine.files} <= going.keys()


COMMANDS = """#!/bin/sh
echo "${0##*/} $*" >>"$LOG"
case $0 in *debconf*) cat >>"$LOG" ;; esac
"""


def test_packages_are_removed_and_no_database_with_them(tmp_path: Path) -> None:
    """nova-common's postrm deletes /var/lib/nova for a purge; its prerm drops a database."""
    for name in ("apt-get", "debconf-set-selections"):
        (tmp_path / name).write_text(COMMANDS)
        (tmp_path / name).chmod(0o755)
    script = (SCRIPTS / "remove_packages_apt.sh").read_text()
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "LOG": str(tmp_path / "log")}
    subprocess.run(
        ["sh", "-s", "--", "nova-common"], input=script, text=True, env=environment, check=True
    )
    assert (tmp_path / "log").read_text().splitlines() == [
        "debconf-set-selections ",
        "nova-common nova/configure_db boolean false",
        "apt-get -q -y -o DPkg::Lock::Timeout=300 remove nova-common",
    ]


def test_what_a_removal_takes_along_is_read_of_both_package_managers() -> None:
    apt = ["Reading package lists...", "Remv nova-compute [2:26.2.2-1]", "Remv x [1] [y:amd64 ]"]
    assert SimulatedRemoval().process(apt) == ["nova-compute", "x"]
    dnf = [
        "Removing:",
        " openstack-nova-common noarch 1:31 @rdo 10 M",
        "Removing dependent packages:",
        " openstack-nova-compute noarch 1:31 @rdo 10 M",
        "Transaction Summary",
    ]
    assert SimulatedRpmRemoval().process(dnf) == [
        "openstack-nova-common",
        "openstack-nova-compute",
    ]
