"""From bare hosts to registered hypervisors, twice, and back to a machine without a trace."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from . import traces
from .conftest import BROKER_PORT, ROOT, SECRETS, Planned, on, run
from .leaks import Search

Deployed = subprocess.CompletedProcess[str]
PYINFRA = str(ROOT / ".venv" / "bin" / "pyinfra")
ASK_AFTER_NO_CONTENT = """
import openstack, requests
cloud = openstack.connect()
url = cloud.compute.get_endpoint() + "/os-keypairs"
headers = {"X-Auth-Token": cloud.session.get_token(), "OpenStack-API-Version": "compute 2.60"}
trusted = cloud.session.verify
kept = requests.Session()
kept.verify = trusted
body = {"keypair": {"name": "reset"}}
for number in range(60):
    requests.post(url, json=body, headers=headers, verify=trusted)
    assert kept.delete(url + "/reset", headers=headers).status_code == 204
    kept.get(url, headers=headers)
print("answered")
"""


WAITS = {
    "Controller services | Wait for the APIs",
}
"""Planned because nothing answers yet; often there is nothing left to wait for."""


@pytest.fixture
def bare(planned: Planned | None) -> Planned:
    if planned is None:
        pytest.skip("--keep-lab was given: the hosts are not bare")
    return planned


def test_a_plan_for_bare_hosts_writes_nothing_anywhere(bare: Planned) -> None:
    assert bare.differences == []


def test_a_plan_for_bare_hosts_tells_what_will_be_there(bare: Planned) -> None:
    for text in (
        "install: nova-",
        f"+transport_url = rabbit://openstack:********@controller:{BROKER_PORT}",
        "+connection = mysql+pymysql://nova:********@controller:3306/nova_api",
        "create database nova_cell0",
        "create database user nova",
        "set broker user openstack and its password",
        "create user nova",
        "give user nova role service in project service",
        "create the public endpoint of compute",
        "bring the schema of nova_api up to date",
        "map cell0",
        "create cell1",
        "nova-novncproxy (not installed)",
        "nova-compute (not installed)",
        "map compute1, compute2 to cell1",
    ):
        assert text in bare.said


def test_the_deploy_changes_what_was_planned_and_nothing_else(
    bare: Planned, deployed: Deployed
) -> None:
    rows = re.findall(r"^ {4}(\S.*?) {2,}\d+ +(\d+|-) +\S+ +\S+", deployed.stdout, re.MULTILINE)
    changed = {name for name, success in rows if success != "-"} - {"Grand total"}
    assert changed <= set(bare.pending)
    assert set(bare.pending) - changed <= WAITS


def test_one_command_deploys_and_proves(deployed: Deployed) -> None:
    assert deployed.returncode == 0
    assert "nova-compute" in deployed.stdout
    assert "compute1" in deployed.stdout and "compute2" in deployed.stdout


def test_both_hypervisors_are_listed_and_up(deployed: Deployed) -> None:
    result = on("controller", "openstack hypervisor list -f json")
    rows = json.loads(result.stdout[result.stdout.index("[") :])
    assert {row["Hypervisor Hostname"]: row["State"] for row in rows} == {
        "compute1": "up",
        "compute2": "up",
    }


def test_the_upgrade_check_finds_nothing(deployed: Deployed) -> None:
    """But for Cinder, where there is none: Nova would ask it, now that it can log in."""
    said = on("controller", "nova-status upgrade check").stdout
    results = re.findall(r"^\| Check: (.*?) *\|\n\| Result: (\w+)", said, re.MULTILINE)
    assert len(results) > 3
    assert {check for check, result in results if result != "Success"} <= {"Cinder API"}
    assert "Failure" not in said


def test_the_compute_api_resets_no_connection(deployed: Deployed) -> None:
    result = on("controller", f"python3 - <<'END'\n{ASK_AFTER_NO_CONTENT}END")
    assert (result.returncode, result.stdout.split()[-1]) == (0, "answered")


def test_a_second_deploy_changes_nothing(deployed: Deployed) -> None:
    """No operation says so, no file, process, row or account is another one afterwards."""
    before = traces.when_settled()
    process = subprocess.run(
        [PYINFRA, "inventory.py", "deploy.py", "-y", "--json"],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    results = json.loads(process.stdout)["results"]
    changed = {op["name"]: op["success"] for op in results["operations"] if op["success"]}
    assert changed == {}
    assert traces.differences(before, traces.everything()) == []


def test_the_plan_is_then_empty_and_touches_nothing(deployed: Deployed) -> None:
    before = traces.everything()
    assert run("./run", "plan").returncode == 0
    assert traces.differences(before, traces.everything()) == []


def test_a_changed_file_restarts_the_units_that_read_it_and_touches_nothing_else(
    deployed: Deployed,
) -> None:
    on("controller", "touch /etc/nova/nova-api-uwsgi.ini /etc/default/nova-consoleproxy")
    on("compute1", "touch /etc/nova/nova.conf")
    before = traces.everything()
    assert run(PYINFRA, "inventory.py", "deploy.py", "-y").returncode == 0
    assert traces.differences(before, traces.everything()) == [
        "compute1:unit nova-compute",
        "controller:unit nova-api",
        "controller:unit nova-novncproxy",
    ]


def test_an_edited_file_and_a_unit_older_than_its_file_are_put_right_without_showing_a_secret(
    deployed: Deployed,
) -> None:
    on("controller", "touch /etc/nova/nova.conf")
    on("compute1", "sed -i 's/^password = .*/password = Wr0ngSecret/' /etc/nova/nova.conf")
    planned = run("./run", "plan")
    assert planned.returncode == 2
    assert "nova-conductor" in planned.stdout and "/etc/nova/nova.conf" in planned.stdout
    assert "Wr0ngSecret" not in planned.stdout
    assert run(PYINFRA, "inventory.py", "deploy.py", "-y").returncode == 0
    assert on("compute1", "grep -c Wr0ngSecret /etc/nova/nova.conf").returncode == 1
    assert run("./run", "plan").returncode == 0


def test_no_secret_is_in_any_argument_or_readable_file(deployed: Deployed, tmp_path: Path) -> None:
    search = Search(yaml.safe_load(SECRETS.read_text()), tmp_path)
    for host in ("controller", "compute1", "compute2"):
        seen = on(host, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '; cat /etc/nova/*.ini").stdout
        readable = on(host, "find /etc/nova /var/lib/nova -type f -perm -o=r").stdout
        assert "nova.conf" not in readable
        assert search.in_text(seen) == []


def test_verify_holds(deployed: Deployed) -> None:
    # Guests were booted by the deploy, and will be by the exercise.
    assert run("./run", "verify", "--deselect", "tests/verify/test_guests.py").returncode == 0


def test_a_missing_secrets_file_is_one_clear_message(deployed: Deployed, tmp_path: Path) -> None:
    secrets = SECRETS
    kept = Path(shutil.move(secrets, tmp_path / "secrets.yml"))
    try:
        result = run(PYINFRA, "inventory.py", "deploy.py", "-y")
    finally:
        shutil.move(kept, secrets)
    assert result.returncode == 1
    assert "secrets.yml" in result.stdout
    assert "Traceback" not in result.stdout


def test_refused_credentials_are_named_before_anything_changes(deployed: Deployed) -> None:
    secrets = SECRETS
    right = secrets.read_text()
    wrong = {**yaml.safe_load(right), "neutron_password": "not the one"}
    try:
        secrets.write_text(yaml.safe_dump(wrong))
        result = run(PYINFRA, "inventory.py", "deploy.py", "-y")
    finally:
        secrets.write_text(right)
    assert result.returncode == 1
    assert "refuses user neutron" in result.stdout
    assert "Traceback" not in result.stdout
    assert run("./run", "plan").returncode == 0


def test_an_unreachable_host_is_named(deployed: Deployed) -> None:
    result = run(PYINFRA, "inventory.py", "deploy.py", "-y", "--data", "ssh_port=9", timeout=120)
    assert result.returncode == 1
    assert "controller" in result.stdout
    assert "Traceback" not in result.stdout
