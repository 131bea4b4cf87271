"""What a compute knows of the others' SSH servers, when a run leaves some of them out."""

from __future__ import annotations

import grp
import os
import pwd
from dataclasses import replace
from pathlib import Path
from typing import Any

import config_files
import pytest

from pyinfra_nova.nova_conf import migration_ssh
from pyinfra_nova.nova_conf.config_file import AbsentFile
from pyinfra_nova.nova_conf.migration_ssh import migration_files, unwanted_migration_files
from pyinfra_nova.resources.config_files import _request
from pyinfra_nova.site.settings import Site

from .site_data import HOSTS, debian, secrets, site

FIRST = "compute1,10.0.0.31 ssh-ed25519 AAAA1\n"
SECOND = "compute2,10.0.0.32 ssh-ed25519 AAAA2\n"
THIRD = "compute3,10.0.0.33 ssh-ed25519 AAAA3\n"
GONE = "compute0,10.0.0.30 ssh-ed25519 GONE\n"


def three_computes() -> Site:
    groups = {"controllers": ["controller"], "computes": ["compute1", "compute2", "compute3"]}
    hosts = {**HOSTS, "compute3": {"my_ip": "10.0.0.33"}}
    passwords = secrets(migration_secret="a secret of more than twenty")
    return site(groups=groups, hosts=hosts, passwords=passwords)


class Compute:
    """compute1, whose /etc/nova is a folder, in a run of itself alone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def knows(self, name: str = "known_hosts") -> str:
        return (self.folder / name).read_text()

    def put(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)
        (self.folder / name).chmod(0o644)

    def here(self, path: str) -> str:
        return path.replace("/etc/nova", os.fspath(self.folder))

    def request(self, *, write: bool, **host_keys: tuple[str, ...]) -> dict[str, Any]:
        where = three_computes()
        host = where.hosts["compute1"]
        owner, group = pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(os.getgid()).gr_name
        files = [
            replace(
                file,
                path=self.here(file.path),
                owner=owner,
                group=group,
                keeps_from=self.here(file.keeps_from or ""),
            )
            for file in migration_files(where, host, debian(), host_keys)
            if file.path == migration_ssh.KNOWN_HOSTS
        ]
        absent = [
            AbsentFile(self.here(entry.path), entry.form, entry.how)
            for entry in unwanted_migration_files(where, host, debian())
        ]
        return _request(files, absent, write=write)

    def deployed(self, **host_keys: tuple[str, ...]) -> dict[str, str]:
        """What a plan says, by name of the file; then it is done, and nothing is left to do."""
        keys = host_keys or {"compute1": ("ssh-ed25519 AAAA1",)}
        planned = config_files.answer(self.request(write=False, **keys))
        config_files.answer(self.request(write=True, **keys))
        assert config_files.answer(self.request(write=False, **keys))["files"] == []
        return {Path(file["path"]).name: file["change"] for file in planned["files"]}


@pytest.fixture
def compute(tmp_path: Path) -> Compute:
    return Compute(tmp_path)


def test_what_was_known_in_a_file_for_each_compute_is_known_after_a_run_of_one(
    compute: Compute,
) -> None:
    for number, line in enumerate((GONE, FIRST, SECOND, THIRD)):
        compute.put(f"known_hosts.compute{number}", line)
    assert compute.deployed() == {
        "known_hosts": "create",
        **{f"known_hosts.compute{number}": "remove" for number in range(4)},
    }
    assert compute.knows() == FIRST + SECOND + THIRD
    assert [path.name for path in compute.folder.iterdir()] == ["known_hosts"]


def test_what_a_host_knows_of_others_in_the_inventory_stays_and_of_those_gone_goes(
    compute: Compute,
) -> None:
    compute.put("known_hosts", GONE + "compute1,10.0.0.31 ssh-ed25519 OLD\n" + SECOND)
    assert compute.deployed() == {"known_hosts": "content"}
    assert compute.knows() == FIRST + SECOND


def test_what_it_knows_now_is_newer_than_what_it_knew_in_files_of_their_own(
    compute: Compute,
) -> None:
    compute.put("known_hosts", FIRST + SECOND)
    compute.put("known_hosts.compute2", "compute2,10.0.0.32 ssh-ed25519 OLD\n")
    compute.put("known_hosts.compute3", THIRD)
    compute.deployed()
    assert compute.knows() == FIRST + SECOND + THIRD


def test_nothing_is_taken_from_a_file_that_is_somebody_elses(compute: Compute) -> None:
    compute.put("known_hosts.old", "# by hand\n" + SECOND)
    compute.deployed()
    assert (compute.knows(), compute.knows("known_hosts.old")) == (FIRST, "# by hand\n" + SECOND)


def test_a_run_that_learns_no_key_forgets_none(compute: Compute) -> None:
    compute.put("known_hosts.compute2", SECOND)
    compute.deployed(controller=())
    assert compute.knows() == SECOND


def test_a_run_killed_before_the_former_files_went_has_lost_nothing(
    compute: Compute, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the other order their lines would be nowhere."""
    compute.put("known_hosts.compute2", SECOND)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    for step in ("write", "take_away"):
        with monkeypatch.context() as patched:
            patched.setattr(config_files, step, killed)
            with pytest.raises(KeyboardInterrupt):
                config_files.answer(compute.request(write=True, compute1=("ssh-ed25519 AAAA1",)))
    assert compute.deployed() == {"known_hosts.compute2": "remove"}
    assert compute.knows() == FIRST + SECOND


def test_a_run_of_all_computes_asks_by_digest_and_keeps_nothing(compute: Compute) -> None:
    compute.put("known_hosts", GONE + SECOND)
    keys = {f"compute{number}": (f"ssh-ed25519 AAAA{number}",) for number in (1, 2, 3)}
    (asked,) = compute.request(write=False, **keys)["files"]
    assert "digest" in asked and "content" not in asked and "keeps_about" not in asked
    compute.deployed(**keys)
    assert compute.knows() == FIRST + SECOND + THIRD
