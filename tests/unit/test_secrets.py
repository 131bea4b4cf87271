"""The secrets file: private, complete, and never shown."""

from __future__ import annotations

import base64
import copy
import json
import os
import pickle
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pyinfra_nova.site.faults import SecretsError
from pyinfra_nova.site.secrets import PASSWORDS, ceph_key, create, generated, load_secrets, main
from tests.unit.site_data import AWKWARD, secrets

CHECKOUT = Path(__file__).resolve().parents[2]


def write(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


def fault_of(path: Path) -> str:
    with pytest.raises(SecretsError) as caught:
        load_secrets(path)
    return str(caught.value)


def with_value(name: str, yaml_text: str) -> str:
    values = {key: f"'{key} 12345678'" for key in AWKWARD}
    return "".join(f"{key}: {value}\n" for key, value in {**values, name: yaml_text}.items())


def test_awkward_passwords_are_read_as_written(tmp_path: Path) -> None:
    path = write(tmp_path / "secrets.yml", yaml.safe_dump(AWKWARD, allow_unicode=True))
    assert load_secrets(path) == secrets()


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        (
            *("messaging_password", "with/a/slash"),
            "contains /, which oslo.messaging cannot use in a broker's password",
        ),
        (
            *("messaging_password", "schl\u00fcssel"),
            "contains a character that is not ASCII, which rabbitmqctl may misread",
        ),
        (
            *("messaging_password", "' secrets'"),
            "begins or ends with a space, which rabbitmqctl cuts off",
        ),
        (
            *("database_password", "schl\u00fcssel"),
            "contains a character that is not ASCII, which PyMySQL sends wrongly",
        ),
        (
            *("migration_secret", "x" * 19),
            "is shorter than 20 characters, and a key is made of it",
        ),
        ("nova_password", "CHANGE_ME", "is still the example's CHANGE_ME"),
        ("nova_password", "x" * 7, "is shorter than 8 characters"),
        ("nova_password", "x" * 256, "is longer than 255 characters"),
        ("rbd_secret_key", "AAAAAAAA", "is no key of Ceph, as `ceph auth get-key` prints it"),
    ],
)
def test_what_a_program_on_the_way_would_change_is_refused_with_the_reason(
    tmp_path: Path, key: str, value: str, said: str
) -> None:
    path = write(tmp_path / "secrets.yml", with_value(key, value))
    assert fault_of(path).splitlines()[1:] == [f"  - {path}: {key}: {said}"]


def test_passwords_of_the_least_and_the_greatest_length_are_taken() -> None:
    held = secrets(nova_password="x" * 8, admin_password="x" * 255, migration_secret="x" * 20)
    assert [len(value) for value in held.values()][2:] == [8, 16, 12, 17, 255, 20]


def test_init_makes_a_private_usable_file_once(tmp_path: Path) -> None:
    path = tmp_path / "secrets.yml"
    old = os.umask(0)
    try:
        assert main(["init", str(path)]) == 0
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = path.read_text(encoding="utf-8")
    assert len(set(load_secrets(path).values())) == len(PASSWORDS)
    assert main(["init", str(path)]) == 1
    assert path.read_text(encoding="utf-8") == before


def test_init_follows_no_link_and_says_what_is_wrong(tmp_path: Path) -> None:
    link = tmp_path / "secrets.yml"
    link.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SecretsError, match=f"- {link}: exists"):
        create(link)
    assert not (tmp_path / "elsewhere").exists()
    nowhere = tmp_path / "no" / "directory"
    with pytest.raises(SecretsError, match=f"- {nowhere}: cannot be made: No such file"):
        create(nowhere)


def test_a_file_that_is_being_made_is_private_from_its_first_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fchmod", killed)
    old = os.umask(0)
    try:
        with pytest.raises(KeyboardInterrupt):
            create(tmp_path / "secrets.yml")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "secrets.yml").stat().st_mode) == 0o600


def test_what_is_made_is_said_and_what_is_wrong_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "secrets.yml"
    assert main(["init", str(path)]) == 0
    said = f"{path}: made, readable by you alone; keep it out of git\n"
    assert capsys.readouterr() == (said, "")
    assert main(["init", str(path)]) == 1
    assert capsys.readouterr() == ("", f"{path}: exists and is left as it is\n")
    text = path.read_text().replace("nova_password", "nova_pasword")
    path.write_text(text)
    assert main(["add-ceph-key", str(path)]) == 1
    out, err = capsys.readouterr()
    assert out == "" and [line.split(": ")[:2] for line in err.splitlines()] == [
        [str(path), "nova_password"],
        [str(path), "nova_pasword"],
    ]


@pytest.mark.parametrize("arguments", [[], ["remove"]])
def test_without_a_word_that_is_known_nothing_is_done(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert capsys.readouterr().err.startswith("usage: python -m pyinfra_nova.secrets ")
    assert list(tmp_path.iterdir()) == []


def test_a_generated_password_cannot_be_guessed(tmp_path: Path) -> None:
    first, second = (generated() for _ in range(2))
    assert list(first) == list(PASSWORDS)
    assert all(len(value) == 32 for value in first.values())
    assert set(first.values()).isdisjoint(second.values())


def test_init_shows_no_password(tmp_path: Path) -> None:
    path = tmp_path / "made.yml"
    command = [sys.executable, "-m", "pyinfra_nova.secrets", "init", str(path)]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True)
    for value in load_secrets(path).values():
        assert value not in done.stdout + done.stderr


def test_a_missing_file_names_the_command_that_makes_it(tmp_path: Path) -> None:
    path = tmp_path / "secrets.yml"
    assert fault_of(path).splitlines()[1:] == [
        f"  - {path}: is missing; make it with `python -m pyinfra_nova.secrets init {path}`"
    ]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o610, 0o602])
def test_a_file_that_others_may_use_is_refused(tmp_path: Path, mode: int) -> None:
    path = write(tmp_path / "secrets.yml", with_value("admin_password", "'12345678'"), mode)
    assert fault_of(path).splitlines()[1:] == [
        f"  - {path}: mode {mode:04o} lets others read it; run `chmod 600 {path}`"
    ]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_somebody_elses_file_is_refused_unless_sudo_says_who(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "secrets.yml", with_value("admin_password", "'12345678'"))
    os.chown(path, 4242, -1)
    monkeypatch.delenv("SUDO_UID", raising=False)
    assert fault_of(path).splitlines()[1:] == [
        f"  - {path}: belongs to uid 4242; run `chown $(id -u) {path}`"
    ]
    monkeypatch.setenv("SUDO_UID", "4242")
    assert load_secrets(path).admin_password.get_secret_value() == "12345678"


def test_a_directory_or_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    for path in (tmp_path / "pipe", tmp_path):
        assert fault_of(path).splitlines()[1:] == [f"  - {path}: is not a regular file"]
    below = tmp_path / "pipe" / "secrets.yml"
    assert fault_of(below).splitlines()[1:] == [f"  - {below}: cannot be read: Not a directory"]


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("12345678", "is not a text; put it in quotes"),
        ("1.5", "is not a text"),
        ("null", "is not a text"),
        ("[a, b]", "is not a text"),
        ("''", "shorter than 8"),
        ("'short'", "shorter than 8"),
        ("CHANGE_ME", "still the example's"),
        ('"one\\ntwo three"', "contains a newline"),
        ('"one\\rtwo three"', "contains a carriage return"),
        ('"one\\ttwo three"', "contains a tab"),
        ('"one\\0two three"', "contains a NUL byte"),
        ('"one\\x1btwo three"', "contains a control character (U+001B)"),
        ('"one\\Ntwo three"', "contains a control character (U+0085)"),
        ('"one\\Ltwo three"', "contains a line separator (U+2028)"),
    ],
)
def test_an_unusable_value_is_named_but_not_shown(tmp_path: Path, written: str, said: str) -> None:
    message = fault_of(write(tmp_path / "secrets.yml", with_value("neutron_password", written)))
    assert "secrets.yml: neutron_password: " in message
    assert said in message
    assert "two three" not in message
    assert message.count("\n") == 1, "exactly one fault"


def test_every_fault_of_the_keys_comes_at_once_with_file_key_and_remedy(tmp_path: Path) -> None:
    text = with_value("nova_password", "1").replace("metadata_secret:", "metadata_sekret:")
    path = write(tmp_path / "secrets.yml", text)
    known = (
        "database_password, messaging_password, nova_password, placement_password, "
        "neutron_password, metadata_secret, admin_password, migration_secret, rbd_secret_key, "
        "tls_secret, tls_next_secret, tls_former_secret"
    )
    assert fault_of(path).splitlines()[1:] == [
        f"  - {path}: nova_password: is not a text; put it in quotes",
        f"  - {path}: metadata_secret: is missing; add a line `metadata_secret: ...`",
        f"  - {path}: metadata_sekret: unknown key; known are {known}",
    ]


@pytest.mark.parametrize("text", ["", "- a\n", "just text", "null", "!!set {a, b}"])
def test_what_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    path = write(tmp_path / "secrets.yml", text)
    assert fault_of(path).splitlines()[1:] == [f"  - {path}: is not a list of `key: value` lines"]


def test_broken_yaml_shows_its_line_number_only(tmp_path: Path) -> None:
    text = "admin_password: 'hunter2hunter2\nnova_password: x\n"
    path = write(tmp_path / "secrets.yml", text)
    assert fault_of(path).splitlines()[1:] == [
        f"  - {path}: is not valid YAML (line 3); "
        "put passwords in single quotes, and double a single quote inside"
    ]


def test_a_character_that_yaml_does_not_take_has_no_line(tmp_path: Path) -> None:
    path = write(tmp_path / "secrets.yml", with_value("nova_password", "'hunter\a2'"))
    assert fault_of(path).splitlines()[1:] == [
        f"  - {path}: is not valid YAML; "
        "put passwords in single quotes, and double a single quote inside"
    ]


def test_a_key_given_twice_is_refused(tmp_path: Path) -> None:
    text = with_value("nova_password", "'12345678'") + "nova_password: 'abcdefgh'\n"
    path = write(tmp_path / "s.yml", text)
    assert fault_of(path).splitlines()[1:] == [
        f"  - {path}: nova_password: is given more than once"
    ]


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "secrets.yml"
    path.write_bytes(b"admin_password: '\xff\xfe\xff\xfe'\n")
    path.chmod(0o600)
    assert fault_of(path).splitlines()[1:] == [f"  - {path}: is not UTF-8 text"]


def test_the_example_has_every_key_and_is_not_accepted(tmp_path: Path) -> None:
    example = (CHECKOUT / "secrets.example.yml").read_text(encoding="utf-8")
    assert set(yaml.safe_load(example)) == set(PASSWORDS)
    assert "still the example's" in fault_of(write(tmp_path / "secrets.yml", example))


def test_secrets_do_not_show_themselves() -> None:
    held = secrets()
    shown = "".join(
        [repr(held), str(held), f"{held}", repr(held.model_dump()), held.model_dump_json()]
    )
    for value in held.values():
        assert value not in shown
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(held)
    assert copy.deepcopy(held) == held


# --- the key of Ceph ------------------------------------------------------------------------------


def test_a_key_of_ceph_is_optional_and_masked_like_a_password(tmp_path: Path) -> None:
    path = write(tmp_path / "secrets.yml", with_value("admin_password", "'12345678'"))
    assert load_secrets(path).rbd_secret_key is None
    before = load_secrets(path).values()
    key = ceph_key()
    path.write_text(path.read_text() + f"rbd_secret_key: '{key}'\n")
    assert load_secrets(path).values() == (*before, key)
    assert key not in repr(load_secrets(path))


# The first is one that `ceph auth get-key client.bootstrap-osd` printed.
@pytest.mark.parametrize(
    "key",
    ["AQCANgRrr1UjGRAAiTo/OWT+Y1x+hQWwry/ldA==", ceph_key()],
    ids=["ceph's", "as the tests make it"],
)
def test_a_key_as_ceph_prints_it_is_taken(key: str) -> None:
    assert secrets(rbd_secret_key=key).values()[-1] == key


@pytest.mark.parametrize(
    "key",
    [
        *("password1", "'[client.cinder] key = AQ'", "AAAAAAAA", "AQAAAAAAAAAAABAA5uXlYA=="),
        "AQCANgRrr1UjGRAA iTo/OWT+Y1x+hQWwry/ldA==",  # copied with a space
    ],
)
def test_what_is_no_key_of_ceph_is_refused_unseen(tmp_path: Path, key: str) -> None:
    text = fault_of(write(tmp_path / "secrets.yml", with_value("rbd_secret_key", key)))
    assert "rbd_secret_key: is no key of Ceph" in text
    assert key not in text


def test_a_key_is_added_once_and_nothing_else_is_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "secrets.yml", with_value("admin_password", "'12345678'").rstrip())
    before = path.read_text()
    assert main(["add-ceph-key", str(path)]) == 0
    added = path.read_text()
    assert added.startswith(before + "\nrbd_secret_key: '")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert main(["add-ceph-key", str(path)]) == 0
    assert path.read_text() == added
    said = [f"{path}: rbd_secret_key added", f"{path}: rbd_secret_key is there"]
    assert capsys.readouterr().out.splitlines() == said


def test_a_key_is_added_to_the_file_that_a_deploy_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYINFRA_NOVA_SECRETS", raising=False)
    assert main(["init"]) == main(["add-ceph-key"]) == 0
    key = load_secrets().rbd_secret_key
    assert key is not None
    first, *lines = (tmp_path / "secrets.yml").read_text().splitlines()
    assert first.startswith("# Made by ") and len(lines) == len(PASSWORDS) + 1
    # Type AES, valid from the epoch on, 16 bytes (src/auth/Crypto.cc).
    data = base64.b64decode(key.get_secret_value())
    assert (data[:12], len(data)) == (bytes([1, 0, *[0] * 8, 16, 0]), 28)


def test_no_key_is_added_where_a_line_would_break_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = json.dumps({key: f"{key} 12345678 and more" for key in PASSWORDS})
    path = write(tmp_path / "secrets.yml", text)
    assert main(["add-ceph-key", str(path)]) == 1
    assert path.read_text() == text
    assert capsys.readouterr().err == (
        f'{path}: rbd_secret_key: is missing; add `"rbd_secret_key": "..."` to what is in its '
        "braces; docs/storage.md says what it is\n"
    )
