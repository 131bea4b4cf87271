"""The bare script that `./run bench` compares with gets the same passwords as the deploy."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from bench.__main__ import write_files

from .site_data import AWKWARD, secrets, site

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
