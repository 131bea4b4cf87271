"""The bare script that `./run bench` compares with gets the same passwords as the deploy."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from bench import scale, ssh_scale
from bench.__main__ import write_files
from bench.scale import Cost

from .site_data import AWKWARD, debian, secrets, site

PASSWORD = "a`b'c\"d\\e$HOME #f"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    passwords = secrets(database_password=PASSWORD, nova_password=PASSWORD)
    write_files(site(passwords=passwords), tmp_path)
    return tmp_path


def said(folder: Path, script: str) -> str:
    """What SCRIPT prints when a script that knows the passwords hands it to another shell."""
    outer = f". {folder}/secrets.env\nsh -s <<SHELL\n{script}\nSHELL\n"
    return subprocess.run(
        ["sh"], input=outer, capture_output=True, text=True, check=True
    ).stdout.removesuffix("\n")


def test_passwords_arrive_literally_in_a_shell_on_a_host(folder: Path) -> None:
    assert said(folder, "printf %s $NOVA_PASSWORD") == PASSWORD
    assert said(folder, "printf %s $MESSAGING_PASSWORD") == AWKWARD["messaging_password"]


def test_the_database_password_is_a_literal_of_sql(folder: Path) -> None:
    words = said(folder, "cat <<'SQL'\n$NOVA_DATABASE_PASSWORD\nSQL")
    assert words == "'a`b\\'c\"d\\\\e$HOME #f'"


def test_every_host_has_its_files(folder: Path) -> None:
    hosts = ("controller", "compute1", "compute2")
    assert all((folder / host / "etc/nova/nova.conf").is_file() for host in hosts)


@pytest.mark.parametrize(
    ("power", "start"), [(1.0, 1.5), (1.0, 0.0), (2.0, 1.5)], ids=["linear", "no start", "square"]
)
def test_growth_is_that_of_what_hosts_cost_beyond_the_start(power: float, start: float) -> None:
    costs = {n: Cost(start + 0.004 * (n - 2) ** power, 0, 0) for n in (2, 100, 1000)}
    assert scale.exponent(costs, 100, 1000) == pytest.approx(power)
    assert scale.beyond(costs, 100) == pytest.approx(0.004 * 98**power)


def test_a_size_is_steady_once_its_least_figure_has_come_again() -> None:
    def steady(*cpu: float) -> bool:
        return scale.is_steady([Cost(seconds, 0, 0) for seconds in cpu])

    assert not steady(1.0, 1.0)
    assert not steady(1.0, 1.02, 1.02, 1.02)
    assert steady(1.3, 1.0, 1.009, 1.6, 1.005)


def test_the_tables_have_a_line_for_each_size_and_each_question() -> None:
    size = {"cpu": 2.0, "wall": 4.0, "memory": 90.0, "cpu_ms_per_host": 4.0}
    figures = {
        "computes": {100: size, 1000: size},
        "start_cpu": 1.6,
        "exponent": 1.01,
        "bare_pyinfra_cpu_ms_per_host": 30.0,
    }
    assert [line.split()[0] for line in scale.table(figures)[1:3]] == ["100", "1,000"]
    took = {"wall": 4.2, "cpu": 0.8}
    lines = ssh_scale.table(
        {
            **{"hosts": 200, "at_once": 40, "memory": 70, "connect": took, "ask": took},
            **{"late": 20.1, "late_by": 20.0, "last_of_the_others": 4.5},
        }
    )
    assert "4.0 ms a host" in lines[1]
    assert "after 20.1 s, the last of the others after 4.5 s" in lines[3]


# --- the floor waits, but not for ever -----------------------------------------------------------

FLOOR = Path(__file__).resolve().parents[2] / "bench" / "floor.sh"
QUIET = ("rabbitmqctl", "openstack", "runuser", "systemctl", "curl", "nova-status", "mysql")


@pytest.mark.parametrize(
    ("failing", "said"),
    [
        ("mysql", "2 compute nodes are in the database: not within 1 s"),
        ("curl", "nova-api answers: not within 1 s"),
        (None, ""),
    ],
)
def test_the_floor_ends_with_what_was_missing(
    failing: str | None, said: str, tmp_path: Path
) -> None:
    """Scripts run here, among programs that only succeed; any other command is none."""
    for name in QUIET:
        program = "exit 1" if name == failing else "echo 2"
        (tmp_path / name).write_text(f"#!/bin/sh\n{program}\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "python3").symlink_to(tmp_path / "curl")
    ssh = tmp_path / "ssh"
    ssh.write_text('#!/bin/sh\nshift 3\n[ "$1" = sh ] || exec cat >/dev/null\nexec sh -s\n')
    ssh.chmod(0o755)
    files = tmp_path / "files"
    for name in ("controller", "compute1", "compute2"):
        (files / name).mkdir(parents=True)
    names = ("NOVA_DATABASE_PASSWORD", "MESSAGING_PASSWORD", "NOVA_PASSWORD")
    (files / "secrets.env").write_text("".join(f"{name}=x\n" for name in names))
    done = subprocess.run(
        ["sh", FLOOR, "config", files, "controller", "compute1", "compute2"],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "FLOOR_DEADLINE": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, said in done.stderr) == (1 if failing else 0, True)


def test_what_is_encrypted_by_a_deploy_is_so_by_the_bare_script(tmp_path: Path) -> None:
    tls = {"tls": {"mode": "internal"}}
    write_files(site(tls, passwords=secrets(tls_secret="what authorities are made of")), tmp_path)
    owners = (tmp_path / "controller.owners").read_text()
    key = debian().paths.api_key
    assert "PRIVATE KEY" in Path(f"{tmp_path}/controller{key}").read_text()
    assert f"chown root:nova {key}\nchmod 0640 {key}\n" in owners
    assert said(tmp_path, "printf %s $SCHEME") == "https"
    assert Path(str(tmp_path / "controller") + said(tmp_path, "printf %s $CAFILE")).is_file()


def test_nothing_is_given_to_anybody_where_nothing_is_encrypted(folder: Path) -> None:
    assert (folder / "controller.owners").read_text() == ""
    assert said(folder, "printf %s $SCHEME") == "http"
