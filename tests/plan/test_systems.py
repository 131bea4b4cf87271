"""What a deploy does on systems that no test has at hand, on fakes of their hosts.

The hosts are fakes (tests/plan/systems.py): these tests show which commands would be sent, to whom
and in which order, and that a converged host gets none. They show nothing of what a command does.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyinfra_nova.commands.plan import pending

from . import warm
from .systems import RELEASES, SYSTEMS
from .test_plan import ROOT, operations, secrets_file  # noqa: F401
from .test_plan import pyinfra as on_debian

SHOWN = ("Packages", "Configuration", "Security", "Controller services", "Compute services")
"""The tasks that differ between systems."""
BUDGET = 15
"""Remote commands that a host may cost when nothing is to be changed."""
COMPUTE_BUDGET = 5
"""Of a compute on Debian, which has neither repositories nor SELinux to look at, without Ceph 4."""
CHANGING = re.compile(r".*flock --shared --timeout \d+ \S+ sh -c (.*)", re.DOTALL)
SCRIPT = re.compile(r"python3 -c .* (\w+ \w+)'?$", re.DOTALL)

Sent = dict[str, list[str]]
"""Each host's commands, in order."""

ROCKY_PORTS = "--add-port=8774/tcp --add-port=8775/tcp --add-port=6080/tcp"
MODULAR = (
    "virtlogd.socket virtsecretd.socket virtnodedevd.socket virtstoraged.socket "
    "virtqemud.socket virtproxyd.socket openstack-nova-compute"
)
UBUNTU_COMPUTE = [
    "sh -s -- genisoimage libvirt-clients nova-compute nova-compute-kvm",
    "config_files write",
    "systemctl enable libvirtd nova-compute",
    "systemctl start --no-block libvirtd nova-compute",
]
CONTROLLER = {
    "ubuntu-22.04": [
        "sh -s -- ubuntu-cloud-keyring jammy-updates/antelope",
        "sh -s -- nova-api nova-conductor nova-novncproxy nova-scheduler python3-pymysql",
        "config_files write",
        "systemctl enable nova-conductor nova-scheduler nova-api nova-novncproxy",
        "systemctl start --no-block nova-conductor nova-scheduler nova-api nova-novncproxy",
    ],
    "ubuntu-24.04": [
        "sh -s -- ubuntu-cloud-keyring noble-updates/gazpacho",
        "sh -s -- nova-api nova-api-metadata nova-conductor nova-novncproxy nova-scheduler "
        "python3-pymysql",
        "config_files write",
        "systemctl enable nova-conductor nova-scheduler apache2 nova-novncproxy",
        "systemctl start --no-block nova-conductor nova-scheduler apache2 nova-novncproxy",
    ],
    "rocky-9": [
        "sh -s -- centos-release-openstack-antelope crb centos-openstack-antelope",
        "sh -s -- openstack-nova-api openstack-nova-conductor openstack-nova-novncproxy "
        "openstack-nova-scheduler openstack-selinux python3-PyMySQL",
        "config_files write",
        "setsebool -P os_nova_use_execmem=on",
        f"firewall-cmd --zone=public {ROCKY_PORTS}",
        f"firewall-cmd --permanent --zone=public {ROCKY_PORTS}",
        "systemctl enable openstack-nova-conductor openstack-nova-scheduler openstack-nova-api "
        "openstack-nova-novncproxy",
        "systemctl start --no-block openstack-nova-conductor openstack-nova-scheduler "
        "openstack-nova-api openstack-nova-novncproxy",
    ],
}
COMPUTE = {
    "ubuntu-22.04": ["sh -s -- ubuntu-cloud-keyring jammy-updates/antelope", *UBUNTU_COMPUTE],
    "ubuntu-24.04": ["sh -s -- ubuntu-cloud-keyring noble-updates/gazpacho", *UBUNTU_COMPUTE],
    "rocky-9": [
        "sh -s -- centos-release-openstack-antelope crb centos-openstack-antelope",
        "sh -s -- libvirt-client libvirt-daemon-kvm openstack-nova-compute openstack-selinux "
        "xorriso",
        "config_files write",
        "setsebool -P os_nova_use_execmem=on virt_use_execmem=on",
        "firewall-cmd --zone=public --add-port=5900-5999/tcp",
        "firewall-cmd --permanent --zone=public --add-port=5900-5999/tcp",
        f"systemctl enable {MODULAR}",
        f"systemctl start --no-block {MODULAR}",
    ],
}
FILES = {
    ("ubuntu-22.04", "controller"): {"/etc/nova/nova.conf"},
    ("ubuntu-22.04", "compute1"): {"/etc/nova/nova.conf", "/etc/nova/nova-compute.conf"},
    ("ubuntu-24.04", "controller"): {
        "/etc/nova/nova.conf",
        "/etc/apache2/sites-available/nova-api.conf",
        "/etc/apache2/sites-available/nova-api-metadata.conf",
    },
    ("ubuntu-24.04", "compute1"): {"/etc/nova/nova.conf", "/etc/nova/nova-compute.conf"},
    ("rocky-9", "controller"): {"/etc/nova/nova.conf"},
    ("rocky-9", "compute1"): {"/etc/nova/nova.conf"},
}


def pyinfra(
    system: str, state: str, secrets: Path, *arguments: str, all_in_one: bool = False
) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYINFRA")}
    environment |= {
        "PYINFRA_NOVA_SECRETS": str(secrets),
        "PYTHONPATH": str(ROOT),
        "FAKE_SYSTEM": system,
        "FAKE_STATE": state,
        "FAKE_ALL_IN_ONE": "1" if all_in_one else "",
    }
    # Quoted, or pyinfra would take it for a number.
    release = ("--data", f'release="{RELEASES[system]}"')
    return warm.pyinfra("tests/plan/system.py", "deploy.py", *release, *arguments, env=environment)


def commands(text: str) -> Iterator[tuple[str, str, str]]:
    """The task, host and text of each command that pyinfra shows it sends."""
    task, host, lines = "", "", list[str]()
    for line in [*text.splitlines(), "-->"]:
        begins = re.match(r"\[@fake/(\w+)\]\s+(>>> )?|-->|    \[", line)
        if begins and lines:
            yield task, host, "\n".join(lines)
            lines = []
        if match := re.match(r"--> Starting operation: (.*)", line):
            task = match[1].partition(" | ")[0]
        if begins and begins[2]:
            host, lines = begins[1], [line[begins.end() :]]
        elif lines:
            lines.append(line)


def changes(text: str) -> Sent:
    """The commands that change a host, of the tasks that differ between systems."""
    sent: Sent = {}
    for task, host, command in commands(text):
        match = CHANGING.match(command)
        if match and task in SHOWN:
            words = match[1].strip().strip("'")
            script = SCRIPT.match(words)
            sent.setdefault(host, []).append(script[1] if script else words)
    return sent


@pytest.fixture(scope="module", params=SYSTEMS)
def system(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def fresh(system: str, secrets_file: Path) -> subprocess.CompletedProcess[str]:  # noqa: F811
    return pyinfra(system, "fresh", secrets_file, "-y", "-vvv")


def test_a_new_host_gets_its_systems_own_repository_packages_files_and_units(
    system: str, fresh: subprocess.CompletedProcess[str]
) -> None:
    sent = changes(fresh.stderr)
    assert sent["controller"] == CONTROLLER[system]
    assert sent["compute1"] == sent["compute2"] == COMPUTE[system]


@pytest.mark.parametrize("host", ["controller", "compute1"])
def test_the_files_are_those_that_its_daemons_read(
    system: str, host: str, fresh: subprocess.CompletedProcess[str]
) -> None:
    written = set(re.findall(rf"\[@fake/{host}\]\s+(/\S+): create", fresh.stderr))
    assert {path for path in written if "care" not in path and "pyinfra" not in path} == FILES[
        system, host
    ]


def test_the_plan_of_a_new_host_says_it_in_words(
    system: str,
    secrets_file: Path,  # noqa: F811
) -> None:
    process = pyinfra(system, "fresh", secrets_file, "--dry", "--json")
    planned = pending({"plan": operations(process)})
    assert len(planned["Packages | Enable the repository of the release"]) == 3
    (name,) = (
        set(SYSTEMS[system].enabled) - set(SYSTEMS[system].own) - {"crb"}
        if (system != "rocky-9")
        else ("centos-openstack-antelope",)
    )
    assert f"{name}, of package" in process.stderr
    assert "install: " in process.stderr
    assert "Traceback" not in process.stderr


@pytest.mark.parametrize("all_in_one", [False, True], ids=["three hosts", "all in one"])
def test_a_converged_host_gets_no_command_but_those_that_read(
    system: str,
    secrets_file: Path,  # noqa: F811
    all_in_one: bool,
) -> None:
    process = pyinfra(
        *(system, "converged", secrets_file, "--dry", "--json", "-vvv"), all_in_one=all_in_one
    )
    assert process.returncode == 0, process.stderr
    plan = json.loads(process.stdout)["plan"]
    if all_in_one:  # the answers about computes are of others
        plan = [row for row in plan if row["name"].partition(" | ")[0] in SHOWN]
    assert pending({"plan": plan}) == {}
    asked = [host for _, host, _ in commands(process.stderr)]
    for host in set(asked):
        assert asked.count(host) <= BUDGET


def test_what_a_compute_might_have_had_once_costs_no_command(
    secrets_file: Path,  # noqa: F811
) -> None:
    """Without Ceph and huge pages: the preflight, packages, files and units."""
    process = on_debian("converged", secrets_file, "--dry", "--json", "-vvv")
    asked = [host for _, host, _ in commands(process.stderr)]
    assert asked.count("compute1") == COMPUTE_BUDGET - 1


def test_a_repository_of_a_later_release_is_refused(secrets_file: Path) -> None:  # noqa: F811
    process = pyinfra("ubuntu-22.04", "enabled", secrets_file, "--dry", "--data", 'release="zed"')
    assert process.returncode == 1
    assert "jammy-updates/antelope is enabled, so packages would come from there" in process.stderr
    assert "Traceback" not in process.stderr


@pytest.mark.parametrize(
    ("name", "release", "installed"),
    [
        ("ubuntu-22.04", "2024.1", "nova-common 27.5.0 (2023.1)"),
        ("ubuntu-22.04", "zed", "nova-common 27.5.0 (2023.1)"),
        ("rocky-9", "2025.1", "openstack-nova-common 27.5.0 (2023.1)"),
    ],
    ids=["upgrade", "downgrade", "rpm"],
)
@pytest.mark.parametrize("state", ["converged", "half"])
def test_another_release_on_an_installed_site_is_refused_before_anything_is_changed(
    secrets_file: Path,  # noqa: F811
    name: str,
    release: str,
    installed: str,
    state: str,
) -> None:
    process = pyinfra(name, state, secrets_file, "-y", "--data", f'release="{release}"')
    assert process.returncode == 1
    assert "nothing was changed" in process.stderr
    said = f": Nova: {installed} is installed, but release in group_data/all.py is {release}"
    (line,) = {line for line in process.stderr.splitlines() if said in line and "  - " in line}
    hosts = line.partition("  - ")[2].partition(":")[0]
    one, *others = hosts.split(", ")
    assert "@fake/controller" in (one, *others)
    assert bool(others) == (state == "converged")
    assert "Starting operation" not in process.stderr
    assert "Traceback" not in process.stderr
