"""The plan that pyinfra itself makes of deploy.py, against hosts that only answer."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pyinfra_nova.commands.plan import pending
from pyinfra_nova.session.typed_pyinfra import clean_environment

from . import warm

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "s3cret+with@every:thing%$#\"' in it"
KEYS = (
    *("database_password", "messaging_password", "nova_password", "placement_password"),
    *("neutron_password", "metadata_secret", "admin_password"),
)


@pytest.fixture(scope="module")
def secrets_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("secrets") / "secrets.yml"
    path.write_text(json.dumps({key: f"{PASSWORD} {key}" for key in KEYS}))
    path.chmod(0o600)
    return path


def pyinfra(
    inventory: str, secrets_file: Path, *arguments: str
) -> subprocess.CompletedProcess[str]:
    environment = clean_environment(os.environ)
    environment |= {"PYINFRA_NOVA_SECRETS": str(secrets_file), "PYTHONPATH": str(ROOT)}
    return warm.pyinfra(f"tests/plan/{inventory}.py", "deploy.py", *arguments, env=environment)


@pytest.fixture(scope="module")
def fresh(secrets_file: Path) -> subprocess.CompletedProcess[str]:
    return pyinfra("fresh", secrets_file, "--dry", "--diff", "--json", "-vvv")


def operations(process: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    assert process.returncode == 0, process.stderr
    return list(json.loads(process.stdout)["plan"])


def position(names: list[str], part: str) -> int:
    (found,) = [index for index, name in enumerate(names) if part in name]
    return found


def test_the_stages_come_in_the_order_that_nova_needs(
    fresh: subprocess.CompletedProcess[str],
) -> None:
    names = [operation["name"] for operation in operations(fresh)]
    order = [
        "Install packages",
        "Write configuration files",
        "Packages, configuration and accounts are there",
        "Bring schemas and cells in line",
        "Enable and start the controller's units",
        "Wait for the APIs",
        "The controllers answer",
        "Enable and start the compute's units",
        "The computes are started",
        "Map the computes to cell1",
        "The hypervisors are mapped",
        "See what each unit is for",
        "The hosts are proven",
        "Ask for every service and hypervisor",
        "Open computes",
    ]
    positions = [position(names, part) for part in order]
    assert positions == sorted(positions)


@pytest.fixture(scope="module")
def changed_nothing(secrets_file: Path) -> str:
    """What is said of a deploy of converged hosts."""
    process = pyinfra("converged", secrets_file, "-y")
    assert process.returncode == 0
    return process.stderr


@pytest.mark.parametrize(
    "barrier",
    [
        "Packages, configuration and accounts are there",
        "The controllers answer",
        "The computes are started",
        "The hypervisors are mapped",
        "The hosts are proven",
        "The hypervisors are proven",
    ],
)
def test_every_barrier_is_passed_by_every_host(changed_nothing: str, barrier: str) -> None:
    assert re.search(rf"^ +{barrier} +3 +- +- +3 *$", changed_nothing, re.MULTILINE)


def test_a_proof_changes_nothing(changed_nothing: str) -> None:
    assert re.search(r"^ +Proof \| Ask .* 1 +- +- +1 *$", changed_nothing, re.MULTILINE)


def test_what_nova_has_and_the_inventory_has_not_is_named(changed_nothing: str) -> None:
    assert "service nova-compute on compute9 is in Nova, not in the inventory" in changed_nothing


def test_a_host_of_databases_alone_may_be_of_any_system(secrets_file: Path) -> None:
    planned = pyinfra("database_elsewhere", secrets_file, "--dry", "--json")
    changed = {op["name"]: op["hosts_with_change"] for op in operations(planned)}
    assert changed["Databases | Create databases, user and grants"] == ["@fake/sql"]
    assert changed["Packages | Install packages"] == ["@fake/compute1", "@fake/controller"]


def test_a_fresh_host_is_planned_from_packages_to_mapping(
    fresh: subprocess.CompletedProcess[str],
) -> None:
    changes = pending({"plan": operations(fresh)})
    names = list(changes)
    everywhere = ["@fake/compute1", "@fake/compute2", "@fake/controller"]
    assert changes[names[position(names, "Install packages")]] == everywhere
    assert changes[names[position(names, "Write configuration")]] == everywhere
    for part in (
        "Create databases",
        "Create broker user",
        "Create user, roles",
        "schemas and cells",
    ):
        assert changes[names[position(names, part)]] == ["@fake/controller"]


def test_a_converged_site_has_nothing_planned(
    secrets_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With an encrypted file, to see its program run under pyinfra's greenlets."""
    key, encrypted = tmp_path / "key", tmp_path / "secrets.yml.age"
    subprocess.run(["age-keygen", "-o", key], check=True, capture_output=True)
    command = ["age", "--encrypt", "-i", str(key), "-o", str(encrypted), str(secrets_file)]
    subprocess.run(command, check=True)
    monkeypatch.setenv("SOPS_AGE_KEY_FILE", str(key))
    process = pyinfra("converged", encrypted, "--dry", "--json")
    assert pending({"plan": operations(process)}) == {}


def test_no_operation_shows_its_arguments_and_no_output_a_secret(
    fresh: subprocess.CompletedProcess[str],
) -> None:
    for operation in operations(fresh):
        assert not operation["args"], operation["name"]
    for text in (fresh.stdout, fresh.stderr):
        assert "s3cret" not in text


def test_one_unreachable_host_keeps_all_others_from_being_touched(secrets_file: Path) -> None:
    process = pyinfra("unreachable", secrets_file, "-y")
    assert process.returncode == 1
    assert re.search(r"compute2\]\s+Could not connect", process.stderr)
    assert "Starting operation" not in process.stderr
    assert "Traceback" not in process.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--limit", "compte1"), "--limit compte1: no host matches it; did you mean 'computes'?"),
        (("--limit", "computes", "--limit", "contrller"), "--limit contrller: no host matches"),
    ],
)
def test_a_limit_that_matches_no_host_ends_the_run(
    secrets_file: Path, arguments: tuple[str, ...], said: str
) -> None:
    process = pyinfra("converged", secrets_file, "-y", *arguments)
    assert process.returncode == 1
    assert said in process.stderr
    assert "Connecting" not in process.stderr
    assert "Traceback" not in process.stderr


def test_a_fault_of_the_settings_is_told_before_the_first_connection(secrets_file: Path) -> None:
    process = pyinfra("converged", secrets_file, "-y", "--data", "regoin=x")
    assert process.returncode == 1
    assert "--data: regoin: unknown key; did you mean 'region'?" in process.stderr
    assert "Connecting" not in process.stderr
    assert "Traceback" not in process.stderr


MANY = ("--dry", "--data", "management_network=10.0.0.0/16")


def test_what_is_said_of_200_converged_computes_can_be_read(
    secrets_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_COMPUTES", "200")
    process = pyinfra("many", secrets_file, *MANY)
    assert process.returncode == 0, process.stderr
    lines = process.stderr.splitlines()
    assert len(lines) < 60
    assert max(map(len, lines)) < 400
    assert "    Connected: 201 hosts" in lines
    assert "    Ready: deploy.py: 201 hosts" in lines
    assert re.search(r"^ +rights +ok +201 hosts +root$", process.stderr, re.MULTILINE)
    assert "compute77" not in process.stderr


def test_with_v_each_of_200_computes_is_named(
    secrets_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_COMPUTES", "200")
    process = pyinfra("many", secrets_file, *MANY, "-v")
    assert re.search(r"compute77\]\s+Connected$", process.stderr, re.MULTILINE)
    assert re.search(r"compute77 +rights +ok +root$", process.stderr, re.MULTILINE)


def test_a_preflight_that_fails_for_200_computes_says_so_once(
    secrets_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_COMPUTES", "200")
    monkeypatch.setenv("FAKE_STATE", "unprivileged")
    process = pyinfra("many", secrets_file, *MANY)
    assert process.returncode == 1
    assert "Traceback" not in process.stderr
    assert process.stderr.count("the preflight failed") == 1
    assert process.stderr.count("not root; set _sudo = True") == 2  # in the table, and as the error
    assert "compute4, @fake/compute5 and 195 more: rights: not root" in process.stderr
    assert re.search(r"^ +rights +ok +1 host +root$", process.stderr, re.MULTILINE)
    assert len(process.stderr.splitlines()) < 40


def test_a_limit_to_one_compute_plans_that_one_and_its_discovery(secrets_file: Path) -> None:
    process = pyinfra("fresh", secrets_file, "--dry", "--json", "--limit", "@fake/compute1")
    changed = {op["name"]: op["hosts_with_change"] for op in operations(process)}
    assert changed["Packages | Install packages"] == ["@fake/compute1"]
    assert changed["Hypervisors | Map the computes to cell1"] == ["@fake/controller"]
    assert "@fake/controller is left out" in process.stderr
    assert "map compute1 to cell1" in process.stderr
    order = list(changed)
    assert order.index("The computes are started") < order.index(
        "Hypervisors | Map the computes to cell1"
    )


def test_a_fault_in_the_settings_touches_no_host(secrets_file: Path) -> None:
    process = pyinfra("fresh", secrets_file, "-y", "--data", "regoin=x")
    assert process.returncode == 1
    assert "regoin" in process.stderr and "region" in process.stderr
    assert "Traceback" not in process.stderr


def test_the_plan_program_says_pending_by_its_exit_code(secrets_file: Path) -> None:
    environment = {
        **os.environ,
        "PYINFRA_NOVA_SECRETS": str(secrets_file),
        "PYINFRA_YES": "true",
        "PYTHONPATH": str(ROOT),
    }
    codes = {}
    for inventory in ("fresh", "converged", "missing"):
        process = subprocess.run(
            [sys.executable, "-m", "pyinfra_nova.plan", f"tests/plan/{inventory}.py"],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        codes[inventory] = process.returncode
    assert codes == {"fresh": 2, "converged": 0, "missing": 1}


def test_huge_pages_are_asked_about_where_a_host_is_said_to_have_some(secrets_file: Path) -> None:
    process = pyinfra("drifted", secrets_file, "--dry", "--json")
    name = "Huge pages | Set huge pages aside"
    assert pending({"plan": operations(process)}) == {name: ["@fake/compute1"]}
    assert "set huge pages of 2M to 4 (was 0)" in process.stderr and "reboot" in process.stderr


def test_what_an_earlier_site_had_is_taken_away_where_it_is(secrets_file: Path) -> None:
    process = pyinfra("left_over", secrets_file, "--dry", "--json")
    assert pending({"plan": operations(process)}) == {
        "Configuration | Write configuration files": ["@fake/compute1"],
        "Huge pages | Set huge pages aside": ["@fake/compute1"],
        "Block storage | Have the key of Ceph in libvirt": ["@fake/compute1"],
    }
    assert "/etc/nova/migration_key: remove" in process.stderr
    assert "/etc/nova/known_hosts.old: is not wanted, but not as this" in process.stderr
    assert "set huge pages of 2M to 0 (was 4)" in process.stderr


# --- declared resources ---------------------------------------------------------------------------

DECLARED = "Declared resources | Bring declared resources in line"


@pytest.fixture
def resources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "resources.yml"
    path.write_text("flavors: {m1.large: {vcpus: 1, ram: 512, disk: 1}}")
    monkeypatch.setenv("PYINFRA_NOVA_RESOURCES", str(path))
    return path


def test_without_declared_resources_nothing_is_asked_about_them(
    fresh: subprocess.CompletedProcess[str],
) -> None:
    assert DECLARED not in [operation["name"] for operation in operations(fresh)]
    assert "cloud_objects read" not in fresh.stderr


def test_declared_resources_are_planned_on_the_primary_controller_and_named(
    secrets_file: Path, resources: Path
) -> None:
    process = pyinfra("converged", secrets_file, "--dry", "--json")
    assert pending({"plan": operations(process)}) == {DECLARED: ["@fake/controller"]}
    assert operations(process)[-1]["name"] == DECLARED
    assert "flavor m1.large: extra spec hw:cpu_policy dedicated (was shared)" in process.stderr
    assert "no host has the trait CUSTOM_X" in process.stderr
    assert "compute2 of an aggregate" not in process.stderr  # it may come to be in this run


def test_a_cloud_that_is_not_there_yet_is_compared_later(
    secrets_file: Path, resources: Path
) -> None:
    process = pyinfra("fresh", secrets_file, "--dry", "--json")
    assert pending({"plan": operations(process)})[DECLARED] == ["@fake/controller"]
    assert "compare what is declared once the APIs answer" in process.stderr


def test_drift_that_may_not_be_mended_is_an_error_of_the_plan(
    secrets_file: Path, resources: Path
) -> None:
    process = pyinfra("drifted", secrets_file, "--dry", "--json")
    assert process.returncode == 1
    assert "flavor m1 differs: vcpus 2 (was 1)" in process.stderr
    assert "Traceback" not in process.stderr


def test_a_fault_in_declared_resources_touches_no_host(secrets_file: Path, resources: Path) -> None:
    resources.write_text("flavors: {m1.large: {vcpu: 1, ram: 512, disk: 1}}")
    process = pyinfra("converged", secrets_file, "-y")
    assert process.returncode == 1
    assert "flavors.m1.large.vcpu: unknown key; did you mean 'vcpus'?" in process.stderr
    assert "Starting operation" not in process.stderr
    assert "Traceback" not in process.stderr
