"""files/config_files.py: compare, show, write."""

import grp
import hashlib
import os
import pwd
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import config_files
import pytest

OWNER = pwd.getpwuid(os.getuid()).pw_name
GROUP = grp.getgrgid(os.getgid()).gr_name


def wanted(path: Path, content: str, mode: str = "0640") -> dict[str, Any]:
    return {
        "path": str(path),
        "content": content,
        "owner": OWNER,
        "group": GROUP,
        "mode": mode,
    }


def compare(*files: dict[str, Any]) -> list[dict[str, str]]:
    answer = config_files.answer({"files": list(files), "write": False})
    return list(answer["files"])


def write(*files: dict[str, Any]) -> None:
    config_files.answer({"files": list(files), "write": True})


def test_a_missing_file_is_created_with_its_mode_and_then_nothing_differs(tmp_path: Path) -> None:
    file = wanted(tmp_path / "nova" / "nova.conf", "[DEFAULT]\nhost = a\n")
    assert [found["change"] for found in compare(file)] == ["create"]
    write(file)
    assert (tmp_path / "nova" / "nova.conf").read_text() == "[DEFAULT]\nhost = a\n"
    assert compare(file) == []


def test_a_folder_lets_others_through_whatever_the_umask_is(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        write(wanted(tmp_path / "state" / ".ssh" / "authorized_keys", "x\n"))
    finally:
        os.umask(before)
    folder = tmp_path / "state" / ".ssh"
    assert [path.stat().st_mode & 0o777 for path in (folder.parent, folder)] == [0o755, 0o755]


def test_comparing_writes_nothing(tmp_path: Path) -> None:
    compare(wanted(tmp_path / "nova" / "nova.conf", "x"))
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_mode_is_mended_without_touching_the_time_of_the_content(tmp_path: Path) -> None:
    path = tmp_path / "nova.conf"
    file = wanted(path, "x\n")
    write(file)
    os.utime(path, (1000, 1000))
    path.chmod(0o644)
    assert [found["change"] for found in compare(file)] == ["mode 0644"]
    write(file)
    assert path.stat().st_mode & 0o7777 == 0o640
    assert path.stat().st_mtime == 1000


def test_what_differs_is_named(tmp_path: Path) -> None:
    path = tmp_path / "nova.conf"
    path.write_text("y\n")
    path.chmod(0o604)
    (found,) = compare({**wanted(path, "x\n"), "owner": "nobody"})
    assert found["path"] == str(path)
    assert found["change"] == f"content, owner {OWNER}:{GROUP}, mode 0604"


def test_an_owner_who_has_no_name_is_said_by_number() -> None:
    nobodys: Any = SimpleNamespace(st_uid=4_000_000_001, st_gid=4_000_000_002)
    assert config_files.owner_names(nobodys) == ("4000000001", "4000000002")


def test_a_file_that_is_no_text_is_another_one(tmp_path: Path) -> None:
    (tmp_path / "nova.conf").write_bytes(b"\xff\xfe\n")
    (found,) = compare(wanted(tmp_path / "nova.conf", "x\n", mode="0644"))
    assert found["change"].startswith("content")


def test_a_long_file_is_compared_by_its_digest_and_no_diff_is_made(tmp_path: Path) -> None:
    path = tmp_path / "known_hosts"
    write(wanted(path, "long\n"))
    by_digest = {**wanted(path, ""), "digest": hashlib.sha256(b"long\n").hexdigest()}
    del by_digest["content"]
    assert compare(by_digest) == []
    path.write_text("other\n")
    assert compare(by_digest) == [{"path": str(path), "change": "content", "diff": ""}]


def test_a_file_that_is_a_secret_as_a_whole_is_never_shown(tmp_path: Path) -> None:
    path = tmp_path / "migration_key"
    key = {**wanted(path, "-----BEGIN-----\nb3BlbnNza\n"), "hidden": True}
    created = {"path": str(path), "change": "create", "diff": ""}
    assert compare(key) == [created]
    write({**key, "content": "-----BEGIN-----\nb3BlbnNzb\n"})
    assert compare(key) == [{**created, "change": "content"}]


def test_a_file_that_is_being_written_is_its_owners_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the run is killed before it has its mode."""

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(config_files.os, "fchown", killed)
    with pytest.raises(KeyboardInterrupt):
        write(wanted(tmp_path / "nova.conf", "password = TopSecret\n", mode="0644"))
    assert (tmp_path / ".nova.conf.pyinfra-nova").stat().st_mode & 0o7777 == 0o600


def test_what_an_interrupted_write_left_beside_the_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / ".nova.conf.pyinfra-nova").write_text("half")
    file = wanted(tmp_path / "nova.conf", "whole\n")
    write(file)
    assert [path.name for path in tmp_path.iterdir()] == ["nova.conf"]


def test_a_link_is_replaced_by_the_file(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("x\n")
    (tmp_path / "nova.conf").symlink_to(tmp_path / "elsewhere")
    file = wanted(tmp_path / "nova.conf", "x\n")
    write(file)
    assert not (tmp_path / "nova.conf").is_symlink()
    assert (tmp_path / "elsewhere").read_text() == "x\n"


@pytest.mark.parametrize(
    "line",
    [
        "password = TopSecret",
        "transport_url = rabbit://openstack:TopSecret@controller:5672/",
        "connection = mysql+pymysql://nova:TopSecret@controller/nova",
        "metadata_proxy_shared_secret = TopSecret",
        "transport_url = rabbit://o:TopSecret@mq1:5672,o:TopSecret@mq2:5672/",
        "connection = mysql+pymysql://nova:Top/TopSecret@controller/nova",
        "connection = mysql+pymysql://nova:TopSecret@controller/nova?ssl_ca=/etc/ca.pem",
        "connection = mysql+pymysql://nova:TopSecret@controller/nova?ssl_ca=/etc/ca.pem&plugin=p-t",
        "connection = mysql+pymysql://nova@controller/nova?ssl_ca=/etc/ca.pem&password=TopSecret",
        "connection = mysql+pymysql://nova@controller/nova?password=TopSecret",
        "backend = redis://user:x@TopSecret@controller/0",
        "# password = TopSecret",
        "#password=TopSecret",
        "fixed_key = TopSecret",
        "password = begin\n  TopSecret",
        "password =\n\tTopSecret",
        "password = begin\x0cTopSecret",
        "password = begin\u2028TopSecret",
    ],
)
def test_a_diff_shows_that_a_secret_changed_but_neither_value(tmp_path: Path, line: str) -> None:
    path = tmp_path / "nova.conf"
    write(wanted(path, f"[x]\n{line.replace('TopSecret', 'OldSecret')}\nhost = a\n"))
    (found,) = compare(wanted(path, f"[x]\n{line}\nhost = a\n"))
    assert "Secret" not in found["diff"]
    assert "********" in found["diff"]
    assert "(changed)" in found["diff"]


def test_a_diff_shows_no_password_that_is_a_number(tmp_path: Path) -> None:
    (found,) = compare(wanted(tmp_path / "new", "admin_password = 12345678\nworkers = 12345678\n"))
    assert "+admin_password = ********" in found["diff"]
    assert "+workers = 12345678" in found["diff"]


def test_a_diff_shows_what_only_sounds_like_a_secret(tmp_path: Path) -> None:
    lines = ["service_token_roles_required = true", "connection_recycle_time = 3600"]
    lines += ["auth_url = http://controller:5000/v3", "# a user's token, so that Cinder accepts it"]
    (found,) = compare(wanted(tmp_path / "new", "\n".join(lines) + "\n"))
    assert [line[1:] for line in found["diff"].splitlines()[3:]] == lines


def test_a_diff_of_a_new_file_shows_every_line_and_no_secret(tmp_path: Path) -> None:
    (found,) = compare(wanted(tmp_path / "new", "host = a\npassword = TopSecret\n"))
    assert "+host = a" in found["diff"]
    assert "+password = ********" in found["diff"]


def test_a_diff_shows_which_host_a_url_moves_to(tmp_path: Path) -> None:
    path = tmp_path / "nova.conf"
    write(wanted(path, "transport_url = rabbit://o:p@old:5672/\n"))
    (found,) = compare(wanted(path, "transport_url = rabbit://o:p@new:5672/\n"))
    assert "@old:5672" in found["diff"] and "@new:5672" in found["diff"]


def test_a_diff_shows_whom_a_database_is_verified_by(tmp_path: Path) -> None:
    url = "mysql+pymysql://nova:TopSecret@controller:3306/nova?ssl_ca=/etc/pyinfra-nova/tls/ca.pem"
    (found,) = compare(wanted(tmp_path / "nova.conf", f"connection = {url}\n"))
    assert f"+connection = {url.replace('TopSecret', '********')}\n" in found["diff"] + "\n"


OURS = r"[a-z_]+ = .+ # pyinfra-nova"


def among(path: Path, content: str) -> dict[str, Any]:
    """A file of others, in which CONTENT is to stand first."""
    return {**wanted(path, content, "0600"), "own_lines": OURS}


def test_our_lines_stand_first_in_a_file_of_others_which_stays_theirs(tmp_path: Path) -> None:
    path = tmp_path / "qemu.conf"
    theirs = b'# the distribution\'s, of 2007, \xe9t\xe9\r\nvnc_tls = 0\n\nuser = "other"'
    path.write_bytes(theirs)
    path.chmod(0o604)
    file = among(path, "vnc_tls = 1 # pyinfra-nova\n")
    (found,) = compare(file)
    assert found["change"] == "content"
    assert "+vnc_tls = 1 # pyinfra-nova" in found["diff"].splitlines()
    assert "-" not in {line[0] for line in found["diff"].splitlines()[2:]}
    write(among(path, "vnc_tls = 1 # pyinfra-nova\n"))
    assert path.read_bytes() == b"vnc_tls = 1 # pyinfra-nova\n" + theirs
    assert path.stat().st_mode & 0o777 == 0o604
    assert compare(among(path, "vnc_tls = 1 # pyinfra-nova\n")) == []


def test_earlier_lines_of_ours_go_wherever_they_stand(tmp_path: Path) -> None:
    path = tmp_path / "qemu.conf"
    path.write_text("a = 1\nold = 1 # pyinfra-nova\nb = 1 # somebody's\n")
    write(among(path, "new = 1 # pyinfra-nova\n"))
    assert path.read_text() == "new = 1 # pyinfra-nova\na = 1\nb = 1 # somebody's\n"
    # Ours below a line of others would not be the one that is read.
    path.write_text("new = 0\nnew = 1 # pyinfra-nova\n")
    write(among(path, "new = 1 # pyinfra-nova\n"))
    assert path.read_text() == "new = 1 # pyinfra-nova\nnew = 0\n"


def test_without_the_file_of_others_there_is_one_of_our_lines_alone(tmp_path: Path) -> None:
    path = tmp_path / "libvirt" / "qemu.conf"
    assert [found["change"] for found in compare(among(path, "new = 1 # pyinfra-nova\n"))] == [
        "create"
    ]
    write(among(path, "new = 1 # pyinfra-nova\n"))
    assert path.read_text() == "new = 1 # pyinfra-nova\n"
    assert path.stat().st_mode & 0o777 == 0o600


def test_what_stood_there_before_is_there_again_once_our_lines_are_unwanted(tmp_path: Path) -> None:
    path = tmp_path / "qemu.conf"
    theirs = b"# \xe9t\xe9\r\n\nvnc_tls = 0"
    path.write_bytes(theirs)
    write(among(path, "vnc_tls = 1 # pyinfra-nova\n"))
    entry = {"path": str(path), "form": OURS, "how": "line", "hidden": False}
    config_files.answer({"files": [], "write": True, "absent": [entry]})
    assert path.read_bytes() == theirs
