"""What sites do differently: no root login, accounts made elsewhere; and Nova's own judgement."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import BROKER_PORT, ROOT, SECRETS, on, run
from .test_main_job import PYINFRA

Deployed = subprocess.CompletedProcess[str]
HOSTS = ("controller", "compute1", "compute2")
SUDOER = """
useradd --create-home --shell /bin/bash deployer
install -d -m 700 -o deployer /home/deployer/.ssh
install -m 600 -o deployer /root/.ssh/authorized_keys /home/deployer/.ssh/
echo 'deployer ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/deployer
"""
NAMESPACES = (
    *("nova.conf", "keystonemiddleware.auth_token", "oslo.log", "oslo.messaging", "oslo.db"),
    *("oslo.concurrency", "oslo.policy", "oslo.middleware", "oslo.cache", "oslo.privsep"),
    *("oslo.service.service", "oslo.reports", "osprofiler", "os_vif"),
)
ELSEWHERE = ("database", "messaging", "identity")


@pytest.fixture
def by_sudo(deployed: Deployed, tmp_path: Path) -> Iterator[Path]:
    """An inventory whose hosts are reached by a user who has to use sudo."""
    for host in HOSTS:
        assert on(host, SUDOER).returncode == 0
    path = tmp_path / "by_sudo.py"
    text = (ROOT / "inventory.py").read_text()
    loop = "for _host, _data in lab:\n    _data.update(ssh_user='deployer', _sudo=True)\n"
    path.write_text(f"{text}\n{loop}")
    yield path
    for host in HOSTS:
        on(host, "rm /etc/sudoers.d/deployer; userdel --remove deployer")


@pytest.mark.rotated("sites")
def test_a_user_with_sudo_deploys_verifies_and_gets_a_root_shell(by_sudo: Path) -> None:
    on("compute1", "touch /etc/nova/nova.conf")
    inventory = str(by_sudo)
    assert run("./run", "-i", inventory, "plan").returncode == 2
    assert run(PYINFRA, inventory, "deploy.py", "-y").returncode == 0
    assert run("./run", "-i", inventory, "plan").returncode == 0
    assert run("./run", "-i", inventory, "ssh", "compute1", "id -un").stdout.startswith("root")
    without_guests = ("--deselect", "tests/verify/test_guests.py")
    assert run("./run", "-i", inventory, "verify", *without_guests).returncode == 0


def deploy_with_accounts_made_elsewhere() -> subprocess.CompletedProcess[str]:
    switches = (word for what in ELSEWHERE for word in ("--data", f"manage_{what}=false"))
    return run(PYINFRA, "inventory.py", "deploy.py", "-y", *switches)


def test_accounts_made_elsewhere_are_only_checked(deployed: Deployed) -> None:
    result = deploy_with_accounts_made_elsewhere()
    assert result.returncode == 0
    for operation in ("Create databases", "Create broker user", "Create user, roles"):
        assert operation not in result.stdout


@pytest.mark.rotated("sites")
def test_accounts_made_elsewhere_that_do_not_fit_are_refused_by_name(deployed: Deployed) -> None:
    on("controller", "mysql -e \"ALTER USER nova@'%' IDENTIFIED BY 'another one'\"")
    on("controller", "rabbitmqctl --quiet change_password openstack 'another one'")
    result = deploy_with_accounts_made_elsewhere()
    assert result.returncode == 1
    assert "MariaDB at controller:3306" in result.stdout
    assert f"RabbitMQ at controller:{BROKER_PORT}" in result.stdout
    assert "Traceback" not in result.stdout
    # The same site, were it to make them itself, would put them right.
    assert run("./run", "plan").returncode == 2
    assert run(PYINFRA, "inventory.py", "deploy.py", "-y").returncode == 0
    assert run("./run", "plan").returncode == 0
    assert deploy_with_accounts_made_elsewhere().returncode == 0


@pytest.fixture
def encrypted(deployed: Deployed, tmp_path: Path) -> Iterator[Path]:
    """The secrets file encrypted with age in place of the plain one; the file of its key."""
    key, plain, hidden = tmp_path / "keys.txt", tmp_path / "secrets.yml", ROOT / "secrets.yml.age"
    assert run("age-keygen", "-o", str(key)).returncode == 0
    reader = run("age-keygen", "-y", str(key)).stdout.splitlines()[-1]
    encrypt = ("age", "--encrypt", "-r", reader, "-o", str(hidden), str(SECRETS))
    assert run(*encrypt).returncode == 0
    shutil.move(SECRETS, plain)
    yield key
    hidden.unlink()
    shutil.move(plain, SECRETS)


@pytest.mark.rotated("sites")
def test_an_encrypted_secrets_file_is_as_good_as_the_plain_one(encrypted: Path) -> None:
    on("compute1", "sed -i 's/^password = .*/password = other/' /etc/nova/nova.conf")
    key = str(encrypted)
    assert run("./run", "plan", SOPS_AGE_KEY_FILE=key).returncode == 2
    assert run(PYINFRA, "inventory.py", "deploy.py", "-y", SOPS_AGE_KEY_FILE=key).returncode == 0
    assert run("./run", "plan", SOPS_AGE_KEY_FILE=key).returncode == 0


def test_a_missing_key_is_named_and_no_host_is_touched(encrypted: Path) -> None:
    encrypted.unlink()
    result = run(PYINFRA, "inventory.py", "deploy.py", "-y", SOPS_AGE_KEY_FILE=str(encrypted))
    assert result.returncode == 1
    assert str(encrypted) in result.stdout
    assert "Starting operation" not in result.stdout and "Traceback" not in result.stdout


@pytest.mark.parametrize("host", HOSTS)
def test_oslo_config_knows_every_option_that_is_written(deployed: Deployed, host: str) -> None:
    words = " ".join(f"--namespace {name}" for name in NAMESPACES)
    result = on(
        host, f"oslo-config-validator {words} --fatal-warnings --input-file /etc/nova/nova.conf"
    )
    assert result.returncode == 0


def test_the_plan_is_json_for_machines(deployed: Deployed) -> None:
    result = subprocess.run(
        ["./run", "plan", "--json"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (result.returncode, json.loads(result.stdout)) == (0, {"pending": {}})
