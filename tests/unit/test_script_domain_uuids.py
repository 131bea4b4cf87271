"""files/domain_uuids.py: what libvirt has on a host, whatever its domains are at."""

from __future__ import annotations

import os
from pathlib import Path

import domain_uuids
import host_guests
import pytest

URI = "qemu+unix:///system"
ONE, TWO = "457eb676-33da-42ec-9a8c-9293d545c337", "00000000-0000-4000-8000-000000000002"


@pytest.fixture
def virsh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program that notes its words and then does what is written into it."""
    path = tmp_path / "virsh"
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/usr/bin{os.pathsep}/bin")
    return path


def does(virsh: Path, script: str, **more: bool) -> dict[str, object]:
    virsh.write_text(f'#!/bin/sh\necho "$*" >>{virsh}.words\n{script}\n')
    virsh.chmod(0o755)
    found: dict[str, object] = domain_uuids.answer({"libvirt": URI, **more})
    return found


def test_every_domain_is_listed_those_that_are_off_too(virsh: Path) -> None:
    all_ = f"case $* in *--all*) echo {ONE};; esac"
    found = does(virsh, f"{all_}; printf '{TWO}\\n\\n'")
    assert found == {"uuids": [ONE, TWO], "running": [TWO], "error": None}
    words = Path(f"{virsh}.words").read_text().splitlines()
    assert words == [f"--quiet --connect {URI} list {more}--uuid" for more in ("--all ", "")]


def test_without_domains_there_are_none(virsh: Path) -> None:
    assert does(virsh, "echo") == {"uuids": [], "running": [], "error": None}
    assert len(Path(f"{virsh}.words").read_text().splitlines()) == 1


def test_which_of_them_are_not_paused_is_asked_where_it_matters(virsh: Path) -> None:
    paused = f"case $* in *--state-running*) ;; *) echo {ONE};; esac"
    found = does(virsh, f"echo {TWO}; {paused}", awake=True)
    assert (found["running"], found["awake"]) == ([TWO, ONE], [TWO])
    assert does(virsh, "echo", awake=True)["awake"] == []
    assert does(virsh, f"{paused}; [ -z $6 ] || exit 1", awake=True)["uuids"] is None


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo 'error: no such socket' >&2; exit 1", "virsh list: error: no such socket"),
        (f"echo {ONE}; exit 3", "virsh list: ended with 3"),
        ("exit 1", "virsh list: ended with 1"),
        ("echo 'a banner'", "virsh list: a banner"),
        (f"case $* in *--all*) echo {ONE};; *) exit 3;; esac", "virsh list: ended with 3"),
        ("exec sleep 9", "timed out"),
    ],
)
def test_what_is_no_answer_is_not_an_empty_list(
    virsh: Path, monkeypatch: pytest.MonkeyPatch, script: str, said: str
) -> None:
    monkeypatch.setattr(host_guests, "TIMEOUT", 0.5)
    found = does(virsh, script)
    assert found["uuids"] is None
    assert said in str(found["error"])


def test_a_host_without_virsh_gives_no_answer(virsh: Path) -> None:
    os.environ["PATH"] = str(virsh.parent)
    assert "virsh" in domain_uuids.answer({"libvirt": URI})["error"]
