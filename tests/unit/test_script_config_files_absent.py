"""files/config_files.py: what this project wrote and no longer wants is taken away, and no more."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

import config_files
import pytest

from pyinfra_nova.nova_conf import migration_ssh
from pyinfra_nova.nova_conf.config_file import AbsentFile
from pyinfra_nova.nova_conf.migration_ssh import migration_files, unwanted_migration_files
from pyinfra_nova.resources.config_files import _request
from pyinfra_nova.site.settings import Site
from tests.unit.site_data import HOSTS, all_in_one, debian, secrets, site

SECRET = "a secret of more than twenty"
WITH_KEY, WITHOUT = site(passwords=secrets(migration_secret=SECRET)), site()
KEYS = {"compute1": ("ssh-ed25519 AAAA1",), "compute2": ("ssh-rsa AAAA2", "ssh-ed25519 AAAA3=")}
AUTHORIZED = "/var/lib/nova/.ssh/authorized_keys"
MOVED_BY = {
    *(migration_ssh.KEY, migration_ssh.SSH_CONFIG, AUTHORIZED, migration_ssh.KNOWN_HOSTS),
}


class Host:
    """A host's files, below a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def put(self, path: str, content: str, mode: int = 0o644) -> Path:
        file = self.root / path[1:]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
        file.chmod(mode)
        return file

    def text(self, path: str) -> str:
        return (self.root / path[1:]).read_text()

    def files(self) -> set[str]:
        return {
            f"/{path.relative_to(self.root)}"
            for path in self.root.rglob("*")
            if path.is_file() or path.is_symlink()
        }

    def deployed(self, where: Site = WITH_KEY, name: str = "compute1") -> None:
        """As a run for the site leaves it."""
        for file in migration_files(where, where.hosts[name], debian(), KEYS):
            self.put(file.path, file.content)

    def asked(self, absent: list[AbsentFile], *, write: bool = False) -> dict[str, Any]:
        request = _request([], absent, write=write)
        for entry in request["absent"]:
            entry["path"] = f"{self.root}{entry['path']}"
        return dict(config_files.answer(request))

    def converged(self, where: Site, name: str = "compute1") -> dict[str, str]:
        """What a plan for the site says, by path; then it is done, and nothing is left to do."""
        absent = unwanted_migration_files(where, where.hosts[name], debian())
        before = {path: self.text(path) for path in self.files()}
        planned = self.asked(absent)
        assert {path: self.text(path) for path in self.files()} == before
        assert self.asked(absent, write=True)["files"] == planned["files"]
        assert self.asked(absent)["files"] == []
        return {f["path"][len(str(self.root)) :]: f["change"] for f in planned["files"]}


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def one_compute() -> Site:
    groups = {"controllers": ["controller"], "computes": ["compute1"]}
    hosts = {name: HOSTS[name] for name in ("controller", "compute1")}
    return site(groups=groups, hosts=hosts, passwords=secrets(migration_secret=SECRET))


def three_computes() -> Site:
    groups = {"controllers": ["controller"], "computes": ["compute1", "compute2", "compute3"]}
    hosts = {**HOSTS, "compute3": {"my_ip": "10.0.0.33"}}
    return site(groups=groups, hosts=hosts, passwords=secrets(migration_secret=SECRET))


@pytest.mark.parametrize("where", [WITHOUT, one_compute()], ids=["no secret", "one compute"])
def test_where_no_guest_moves_any_more_everything_for_it_goes(host: Host, where: Site) -> None:
    host.deployed()
    assert host.files() == MOVED_BY
    assert host.converged(where) == dict.fromkeys(sorted(MOVED_BY), "remove")
    assert host.files() == set()


def test_a_compute_that_is_a_controller_now_loses_the_key(host: Host) -> None:
    host.deployed()
    assert set(host.converged(WITH_KEY, "controller")) == MOVED_BY


def test_where_guests_move_nothing_of_it_goes(host: Host) -> None:
    host.deployed()
    assert host.converged(WITH_KEY) == {}
    assert host.files() == MOVED_BY


def test_a_compute_that_left_the_inventory_is_forgotten_by_the_others(host: Host) -> None:
    host.deployed(three_computes())
    host.put("/etc/nova/known_hosts.compute3", "compute3 ssh-rsa AAAA4\n")
    assert host.converged(WITH_KEY) == {"/etc/nova/known_hosts.compute3": "remove"}
    files = {
        f.path: f for f in migration_files(WITH_KEY, WITH_KEY.hosts["compute1"], debian(), KEYS)
    }
    (before,) = [
        f.content
        for f in migration_files(three_computes(), WITH_KEY.hosts["compute1"], debian(), KEYS)
        if f.path.endswith(AUTHORIZED)
    ]
    assert host.text(AUTHORIZED) == before != files[AUTHORIZED].content


@pytest.mark.parametrize("number", range(12))
def test_a_key_of_ours_is_told_whatever_bytes_it_has(number: int) -> None:
    pem, _ = migration_ssh.key_pair(f"{SECRET} {number}")
    assert config_files.is_our_key(pem, "pyinfra-nova")


@pytest.mark.parametrize("rest", ["", "\n", " \n\n"])
def test_a_file_in_which_only_blank_lines_are_left_goes(host: Host, rest: str) -> None:
    host.deployed()
    host.put(AUTHORIZED, host.text(AUTHORIZED) + rest)
    assert host.converged(WITHOUT)[AUTHORIZED] == "remove"


# --- what is somebody else's ----------------------------------------------------------------------

OTHERS = "# ours\nssh-rsa BBBB somebody@elsewhere\n"


@pytest.mark.parametrize("others", [OTHERS, "ssh-rsa BBBB pyinfra-nova", "ssh-rsa \udcff x\r\n"])
def test_lines_of_others_stay_as_they_are_with_owner_and_mode(host: Host, others: str) -> None:
    host.deployed()
    ours = host.text(AUTHORIZED)
    path = host.put(AUTHORIZED, "", mode=0o600)
    path.write_bytes((ours + others).encode("utf-8", "surrogateescape"))
    absent = unwanted_migration_files(WITHOUT, WITHOUT.hosts["compute1"], debian())
    (found,) = [f for f in host.asked(absent)["files"] if f["path"].endswith(AUTHORIZED)]
    assert found["change"] == "remove what this project wrote there"
    host.asked(absent, write=True)
    assert path.read_bytes() == others.encode("utf-8", "surrogateescape")
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_file_of_others_without_a_line_of_ours_is_none_of_our_business(host: Host) -> None:
    host.put(AUTHORIZED, OTHERS)
    absent = unwanted_migration_files(WITHOUT, WITHOUT.hosts["compute1"], debian())
    assert host.asked(absent, write=True) == {"files": [], "left": []}


def other_key(comment: bytes) -> str:
    """A private key that looks like ours, but for its comment."""
    pem, _ = migration_ssh.key_pair(SECRET)
    first, *lines, last = pem.splitlines()
    data = base64.b64decode("".join(lines)).replace(b"pyinfra-nova", comment)
    return f"{first}\n{base64.b64encode(data).decode()}\n{last}\n"


@pytest.mark.parametrize(
    ("path", "content"),
    [
        (migration_ssh.KEY, other_key(b"pyinfra-nove")),
        (migration_ssh.KEY, "-----BEGIN OPENSSH PRIVATE KEY-----\nnot base64!\n"),
        (migration_ssh.KEY, migration_ssh.key_pair(SECRET)[0].replace("\n", "\nmy own: \n", 1)),
        (
            migration_ssh.KEY,
            "-----BEGIN OPENSSH PRIVATE KEY-----\nno base64!\n-----END OPENSSH PRIVATE KEY-----\n",
        ),
        (migration_ssh.KEY, ""),
        (migration_ssh.SSH_CONFIG, "Host *\n    ForwardAgent no\n"),
        (migration_ssh.SSH_CONFIG, f"Host *\n{migration_ssh.MARKER}\n"),
        ("/etc/nova/known_hosts.old", "# by hand\ncompute3 ssh-rsa AAAA\n"),
        ("/etc/nova/known_hosts.old", ""),
    ],
)
def test_what_is_not_recognisably_ours_is_left_and_named(
    host: Host, path: str, content: str
) -> None:
    host.put(path, content)
    absent = unwanted_migration_files(WITHOUT, WITHOUT.hosts["compute1"], debian())
    answer = host.asked(absent, write=True)
    assert answer == {"files": [], "left": [f"{host.root}{path}"]}
    assert host.text(path) == content


def test_each_file_is_judged_by_itself(host: Host) -> None:
    """What has to be left of others stands before and behind what is ours."""
    for name in ("a", "c"):
        host.put(f"/etc/nova/known_hosts.{name}", "# by hand\ncompute3 ssh-rsa AAAA\n")
    host.put("/etc/nova/known_hosts.b", "compute3 ssh-rsa AAAA\n")
    absent = unwanted_migration_files(WITHOUT, WITHOUT.hosts["compute1"], debian())
    answer = host.asked(absent, write=True)
    assert [found["path"] for found in answer["files"]] == [f"{host.root}/etc/nova/known_hosts.b"]
    assert answer["left"] == [f"{host.root}/etc/nova/known_hosts.{name}" for name in "ac"]
    assert host.files() == {"/etc/nova/known_hosts.a", "/etc/nova/known_hosts.c"}


def test_what_stays_of_others_is_shown_to_nobody_while_it_is_written(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    host.deployed()
    host.put(AUTHORIZED, host.text(AUTHORIZED) + OTHERS, mode=0o600)
    absent = unwanted_migration_files(WITHOUT, WITHOUT.hosts["compute1"], debian())
    monkeypatch.setattr(config_files.os, "fchown", killed)
    with pytest.raises(KeyboardInterrupt):
        host.asked(absent, write=True)
    (left,) = host.root.rglob(".authorized_keys.*")
    assert left.stat().st_mode & 0o7777 == 0o600


def test_a_link_is_not_followed_and_not_removed(host: Host) -> None:
    host.deployed()
    key = host.root / migration_ssh.KEY[1:]
    key.rename(host.root / "elsewhere")
    key.symlink_to(host.root / "elsewhere")
    absent = unwanted_migration_files(WITHOUT, WITHOUT.hosts["compute1"], debian())
    assert host.asked(absent, write=True)["left"] == [str(key)]
    assert key.is_symlink() and (host.root / "elsewhere").exists()


def test_it_is_looked_at_again_right_before_it_goes(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody replaces the file between the comparison and the removal."""
    host.deployed()
    compared = config_files.compare_absent

    def replaced(entry: dict[str, Any], wanted: Any = ()) -> Any:
        found = compared(entry)
        host.put(migration_ssh.SSH_CONFIG, "Host *\n")
        return found

    monkeypatch.setattr(config_files, "compare_absent", replaced)
    absent = unwanted_migration_files(WITHOUT, WITHOUT.hosts["compute1"], debian())
    host.asked(absent, write=True)
    assert host.files() == {migration_ssh.SSH_CONFIG}


# --- what is shown, and what an interrupted run leaves --------------------------------------------


def test_a_removed_key_is_named_and_not_shown(host: Host) -> None:
    host.deployed()
    absent = unwanted_migration_files(WITHOUT, WITHOUT.hosts["compute1"], debian())
    diffs = {f["path"][len(str(host.root)) :]: f["diff"] for f in host.asked(absent)["files"]}
    assert diffs[migration_ssh.KEY] == ""
    assert "-Match user nova" in diffs[migration_ssh.SSH_CONFIG]
    secret_lines = host.text(migration_ssh.KEY).splitlines()
    assert not [line for line in secret_lines if line in "".join(diffs.values())]


def test_a_key_that_was_cut_off_while_it_was_written_goes_too(host: Host) -> None:
    left = host.put("/etc/nova/.migration_key.pyinfra-nova", "half a key", mode=0o600)
    assert host.converged(WITHOUT) == {"/etc/nova/.migration_key.pyinfra-nova": "remove"}
    assert not left.exists()


def test_a_run_killed_between_two_removals_is_finished_by_the_next(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    unlink = os.unlink
    absent = unwanted_migration_files(WITHOUT, WITHOUT.hosts["compute1"], debian())
    for count in range(1, len(MOVED_BY) + 1):
        other = Host(tmp_path / str(count))
        other.deployed()
        done = 0

        def killed_after(path: str, count: int = count) -> None:
            nonlocal done
            unlink(path)
            done += 1
            if done == count:
                raise Killed

        monkeypatch.setattr(config_files.os, "unlink", killed_after)
        with pytest.raises(Killed):
            other.asked(absent, write=True)
        monkeypatch.setattr(config_files.os, "unlink", unlink)
        other.converged(WITHOUT)
        assert other.files() == set()


def test_a_host_with_nothing_of_it_is_asked_in_vain(host: Host) -> None:
    for where, name in ((WITHOUT, "compute1"), (WITHOUT, "controller"), (all_in_one(), "aio")):
        assert host.converged(where, name) == {}
