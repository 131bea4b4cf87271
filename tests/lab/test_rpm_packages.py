"""What is sent to dnf and rpm, run by the real dnf and rpm, on a host that is no EL9.

Real are dnf, rpm, rpmbuild and createrepo_c (Debian's, of other versions than EL9's), systemd, and
what the deploy sends: facts, operations and scripts with the row of platforms.yaml for Rocky 9.
Stand-ins are the packages: stubs without programs, whose names, units and dependencies are written
down in tests/lab/rpm/stubs.py after RDO's spec file, in repositories on the host itself. So this
shows that the commands work, and find by name what is asked for; that RDO's packages themselves
hold what is expected of them it does not show.

The host is a controller: it has none of libvirt's units, whose names the stubs use.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from pyinfra_nova.knowledge.platforms import platform_for

from .conftest import on, run
from .test_main_job import PYINFRA

pytestmark = pytest.mark.rotated("long", whole=True)
Done = subprocess.CompletedProcess[str]
HOST = "controller"
ROCKY = platform_for("rocky", "9", "2023.1")
PACKAGES = ROCKY.packages_for(["controller", "compute"])


def pyinfra(file: str, *arguments: str) -> Done:
    words = ("inventory.py", f"tests/lab/rpm/{file}.py", "--limit", HOST)
    return run(PYINFRA, *words, *arguments)


@pytest.fixture(scope="module")
def stubs(deployed: Done) -> Iterator[None]:
    assert pyinfra("prepare", "-y").returncode == 0
    # Older than what RDO's packages depend on.
    assert on(HOST, "dnf -q -y install libvirt-libs-9.0.0").returncode == 0
    yield
    pyinfra("prepare", "-y", "--data", "remove=1")
    on(HOST, "systemctl daemon-reload")


@pytest.fixture(scope="module")
def planned_rpms(stubs: None) -> Done:
    return pyinfra("deploy", "--dry")


@pytest.fixture(scope="module")
def installed(planned_rpms: Done) -> Done:
    return pyinfra("deploy", "-y")


def test_a_plan_installs_nothing(planned_rpms: Done) -> None:
    assert planned_rpms.returncode == 0
    wanted = "enable crb, centos-openstack-antelope, of package centos-release-openstack-antelope"
    assert wanted in planned_rpms.stdout
    assert on(HOST, f"rpm -q {' '.join(PACKAGES)}").stdout.count("is not installed") == len(
        PACKAGES
    )


def test_everything_is_found_by_its_name_and_installed(installed: Done) -> None:
    assert installed.returncode == 0
    assert on(HOST, f"rpm -q {' '.join(PACKAGES)}").returncode == 0


def test_dependencies_and_upgrades_are_told_before_they_come(installed: Done) -> None:
    assert ", and 3 that they need; upgrade: libvirt-libs (to 10.10.0-1.el9)" in installed.stdout


def test_both_repositories_are_enabled_for_good(installed: Done) -> None:
    listed = on(HOST, "dnf --quiet repolist --enabled").stdout
    assert "centos-openstack-antelope" in listed
    assert "\ncrb " in listed


def test_systemd_knows_every_unit_of_the_row(installed: Done) -> None:
    names = " ".join(unit.name for unit in ROCKY.units)
    assert on(HOST, f"systemctl daemon-reload && systemctl cat {names}").returncode == 0


def test_nothing_was_started(installed: Done) -> None:
    assert on(HOST, "systemctl is-active 'openstack-nova-*' virtqemud.socket").returncode != 0


def test_a_second_time_nothing_is_changed(installed: Done) -> None:
    again = pyinfra("deploy", "-y")
    assert again.returncode == 0
    assert "Success" not in again.stdout.partition("Results")[0]


def test_the_hosts_own_packages_are_left_alone(installed: Done) -> None:
    assert run("./run", "plan").returncode == 0
