"""Moving guests between computes: the key, who may use it, and what each host knows of others."""

from __future__ import annotations

import grp
import json
import os
import pwd
import runpy
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_ssh_private_key,
)
from pydantic import ValidationError

from pyinfra_nova.knowledge.platforms import table
from pyinfra_nova.nova_conf import migration_ssh
from pyinfra_nova.nova_conf.config_file import ConfigFile
from pyinfra_nova.nova_conf.ini import option_values
from pyinfra_nova.nova_conf.migration_ssh import migration_files
from pyinfra_nova.nova_conf.render import files_for
from pyinfra_nova.resources.config_files import comparison
from pyinfra_nova.run.preflight import check_files
from pyinfra_nova.site.settings import Site

from .site_data import HOSTS, debian, secrets, site

SECRET = "a secret of more than twenty"
KEYS = {"compute1": ("ssh-ed25519 AAAA1",), "compute2": ("ssh-rsa AAAA2", "ssh-ed25519 AAAA3")}
ROOT = Path(__file__).resolve().parents[2]


def with_key() -> Site:
    return site(passwords=secrets(migration_secret=SECRET))


def with_one_compute() -> Site:
    groups = {"controllers": ["controller"], "computes": ["compute1"]}
    hosts = {name: HOSTS[name] for name in ("controller", "compute1")}
    return site(groups=groups, hosts=hosts, passwords=secrets(migration_secret=SECRET))


def at(path: Path, file: ConfigFile) -> ConfigFile:
    """FILE at PATH, of whoever runs this."""
    owner, group = pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(os.getgid()).gr_name
    return replace(file, path=str(path), owner=owner, group=group)


def files(where: Site, name: str = "compute1") -> dict[str, ConfigFile]:
    return {f.path: f for f in migration_files(where, where.hosts[name], debian(), KEYS)}


def test_the_key_is_one_that_ssh_reads_and_its_public_half_fits() -> None:
    private, public = migration_ssh.key_pair(SECRET)
    found = load_ssh_private_key(private.encode(), None).public_key()
    text = found.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    assert public == f"{text} pyinfra-nova"


def test_the_same_secret_makes_the_same_key_and_another_one_another() -> None:
    migration_ssh.key_pair.cache_clear()
    first = migration_ssh.key_pair(SECRET)
    migration_ssh.key_pair.cache_clear()
    assert migration_ssh.key_pair(SECRET) == first
    assert migration_ssh.key_pair(SECRET + "!")[1] != first[1]


def test_a_secret_that_could_be_guessed_is_refused() -> None:
    with pytest.raises(ValidationError, match="shorter than 20"):
        secrets(migration_secret="only 19 characters.")


def test_only_the_computes_get_in_and_only_for_commands() -> None:
    (keys,) = [f for path, f in files(with_key()).items() if path.endswith("authorized_keys")]
    assert keys.path == "/var/lib/nova/.ssh/authorized_keys"
    assert keys.content.startswith('restrict,from="10.0.0.31,10.0.0.32" ssh-ed25519 ')
    # sshd reads it as nova, who may not change it.
    assert (keys.owner, keys.group, keys.mode) == ("root", "nova", "0640")


def test_computes_that_move_guests_over_another_network_get_in_from_there() -> None:
    moved = {"nova_conf": {"libvirt": {"live_migration_inbound_addr": "192.0.2.32"}}}
    hosts = {**HOSTS, "compute2": {**HOSTS["compute2"], **moved}}
    found = files(site(hosts=hosts, passwords=secrets(migration_secret=SECRET)))
    (keys,) = [file for path, file in found.items() if path.endswith("authorized_keys")]
    assert keys.content.startswith('restrict,from="10.0.0.31,10.0.0.32,192.0.2.32" ')
    known = found[migration_ssh.KNOWN_HOSTS].content
    assert "compute2,10.0.0.32,192.0.2.32 ssh-ed25519 AAAA3\n" in known


def test_the_private_key_is_novas_alone_and_no_diff_shows_it() -> None:
    key = files(with_key())[migration_ssh.KEY]
    assert (key.owner, key.mode, key.hidden) == ("nova", "0600", True)
    assert "PRIVATE" not in repr(key)


def test_a_changed_private_key_is_named_but_not_shown(tmp_path: Path) -> None:
    script = runpy.run_path(str(ROOT / "files/config_files.py"))
    key = files(with_key())[migration_ssh.KEY]
    (request,) = comparison([key])["files"]
    request["path"] = str(tmp_path / "key")
    for before in (None, "an older key\n"):
        if before:
            (tmp_path / "key").write_text(before)
        answer = script["answer"]({"files": [request], "write": False})
        assert answer["files"][0]["diff"] == ""
        assert "older" not in json.dumps(answer)
        assert not set(key.content.splitlines()) & set(json.dumps(answer).split('"'))


def test_each_compute_is_known_by_its_name_and_by_its_address() -> None:
    known = files(with_key())[migration_ssh.KNOWN_HOSTS]
    assert known.content == (
        "compute1,10.0.0.31 ssh-ed25519 AAAA1\n"
        "compute2,10.0.0.32 ssh-ed25519 AAAA3\n"
        "compute2,10.0.0.32 ssh-rsa AAAA2\n"
    )
    assert (known.owner, known.group, known.mode) == ("root", "root", "0644")
    config = files(with_key())[migration_ssh.SSH_CONFIG]
    assert (config.owner, config.group, config.mode) == ("root", "root", "0644")


def test_hosts_of_other_keys_or_another_system_get_files_of_their_own() -> None:
    where = with_key()
    compute = where.hosts["compute1"]
    elsewhere = debian().model_copy(update={"user": "compute", "group": "computes"})
    known = (debian(), KEYS), (debian(), {"compute1": ("ssh-ed25519 NEW",)}), (elsewhere, KEYS)
    made = [
        {file.path: file for file in migration_files(where, compute, platform, keys)}
        for platform, keys in known
    ]
    texts = [one[migration_ssh.KNOWN_HOSTS].content for one in made]
    assert texts[0] == texts[2]
    assert texts[1] == "compute1,10.0.0.31 ssh-ed25519 NEW\n"
    owners = [(one[migration_ssh.KEY].owner, one[migration_ssh.KEY].group) for one in made]
    assert owners == [("nova", "nova"), ("nova", "nova"), ("compute", "computes")]


def test_a_name_for_the_way_of_guests_is_let_in_by_its_name() -> None:
    moved = {"nova_conf": {"libvirt": {"live_migration_inbound_addr": "compute2.fast"}}}
    hosts = {**HOSTS, "compute2": {**HOSTS["compute2"], **moved}}
    assert migration_ssh.authorized_keys(site(hosts=hosts), "KEY") == (
        'restrict,from="10.0.0.31,10.0.0.32,compute2.fast" KEY\n'
    )


def test_a_compute_that_is_gone_is_known_no_longer_after_a_run_of_all(tmp_path: Path) -> None:
    script = runpy.run_path(str(ROOT / "files/config_files.py"))
    path = tmp_path / "known_hosts"
    known = at(path, files(with_key())[migration_ssh.KNOWN_HOSTS])
    path.write_text(f"compute0,10.0.0.30 ssh-ed25519 GONE\n{known.content}")
    path.chmod(0o644)
    asked = comparison([known])
    assert script["answer"](asked)["files"] == [
        {"path": str(path), "change": "content", "diff": ""}
    ]
    path.write_text(known.content)
    assert script["answer"](asked)["files"] == []


@pytest.mark.parametrize("number", [10, 1000])
def test_what_goes_to_a_host_does_not_grow_with_the_number_of_the_others(number: int) -> None:
    names = [f"compute{i}" for i in range(number)]
    where = site(
        {"management_network": "10.0.0.0/16"},
        groups={"controllers": ["controller"], "computes": names},
        hosts={"controller": {"my_ip": "10.0.0.11"}}
        | {name: {"my_ip": f"10.0.{4 + i // 256}.{i % 256}"} for i, name in enumerate(names)},
        passwords=secrets(migration_secret=SECRET),
    )
    keys = dict.fromkeys(names, ("ssh-ed25519 AAAA",))
    one, other = (migration_files(where, where.hosts[name], debian(), keys) for name in names[:2])
    assert one is other
    assert len(json.dumps(comparison(one))) < 2500
    made = {file.path: file.content for file in one}
    assert made[migration_ssh.KNOWN_HOSTS].count("\n") == number


def test_neighbouring_addresses_are_a_network_of_just_these() -> None:
    names = [f"compute{i}" for i in range(6)]
    where = site(
        groups={"controllers": ["controller"], "computes": names},
        hosts={"controller": {"my_ip": "10.0.0.11"}}
        | {name: {"my_ip": f"10.0.0.{32 + i}"} for i, name in enumerate(names)},
    )
    assert migration_ssh.authorized_keys(where, "KEY") == (
        'restrict,from="10.0.0.32/30,10.0.0.36/31" KEY\n'
    )


@pytest.mark.skipif(not Path("/usr/bin/ssh").exists(), reason="no ssh here")
@pytest.mark.parametrize("address", ["compute2", "10.0.0.32"])
def test_ssh_takes_key_and_known_hosts_for_the_user_nova_alone(
    address: str, tmp_path: Path
) -> None:
    config = tmp_path / "config"
    config.write_text(files(with_key())[migration_ssh.SSH_CONFIG].content)

    def says(user: str) -> str:
        command = ["ssh", "-F", os.fspath(config), "-G", f"{user}@{address}"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert "userknownhostsfile /etc/nova/known_hosts\n" in says("nova")
    assert f"identityfile {migration_ssh.KEY}\n" in says("nova")
    assert "stricthostkeychecking true\n" in says("nova")
    assert "nova" not in says("root")


@pytest.mark.parametrize(
    ("where", "name"),
    [(site(), "compute1"), (with_key(), "controller"), (with_one_compute(), "compute1")],
    ids=["no secret", "no compute", "one compute"],
)
def test_where_nothing_can_be_moved_nothing_is_written(where: Site, name: str) -> None:
    assert not migration_files(where, where.hosts[name], debian(), KEYS)


@pytest.mark.parametrize("row", table().platforms, ids=lambda row: f"{row.system}-{row.release}")
def test_nova_is_told_where_it_can_move_guests(row: object) -> None:
    platform = next(one for one in table().platforms if one is row)
    where = site({"release": platform.release}, passwords=secrets(migration_secret=SECRET))
    values: dict[str, list[str]] = {}
    for file in files_for(where, where.hosts["compute1"], platform, "qemu"):
        if file.oslo:
            values |= {str(k): v for k, v in option_values(file.content).items()}
    found = [v for k, v in values.items() if "live_migration" in k]
    wanted = [["qemu+ssh://nova@%s/system"], ["10.0.0.31"]] if platform.migration else []
    assert found == wanted


def test_an_only_compute_is_told_already_how_its_guests_could_leave_it_for_its_successor() -> None:
    """Retired, in the same edit that adds that one, nothing of nova.conf is written there."""
    where = with_one_compute()
    assert not migration_files(where, where.hosts["compute1"], debian(), KEYS)
    text = "".join(f.content for f in files_for(where, where.hosts["compute1"], debian(), "qemu"))
    assert "live_migration_uri = qemu+ssh://nova@%s/system\n" in text
    text = "".join(f.content for f in files_for(where, where.hosts["controller"], debian(), "qemu"))
    assert "live_migration" not in text


@pytest.mark.parametrize("release", ["zed", "2025.1", "2026.2"])
def test_the_checker_has_nothing_to_say_of_it(release: str) -> None:
    assert not check_files(site({"release": release}, passwords=secrets(migration_secret=SECRET)))
