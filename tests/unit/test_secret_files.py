"""Encrypted secrets files: opened with the right key, and one clear fault with any other."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from pyinfra_nova.site.faults import SecretsError
from pyinfra_nova.site.secret_files import (
    age_identity,
    is_encrypted,
    private_or_fault,
)
from pyinfra_nova.site.secrets import load_secrets, main
from tests.unit.site_data import AWKWARD, secrets

STAND_IN = Path(__file__).with_name("sops_stand_in.py")
FORMS = ["age", "age, armored", "SOPS"]
Encrypt = Callable[..., Path]


def fault_of(path: Path) -> str:
    with pytest.raises(SecretsError) as caught:
        load_secrets(path)
    (fault,) = caught.value.faults
    text = str(fault)
    assert text.startswith(f"{path}: ")
    for value in AWKWARD.values():
        assert value not in text
    return text


def run(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two identities, ``mine`` and ``other``, of age, which these tests need as it is."""
    if not shutil.which("age-keygen"):
        pytest.fail("the program `age` is not here: apt-get install age", pytrace=False)
    folder = tmp_path_factory.mktemp("keys")
    for name in ("mine", "other"):
        run("age-keygen", "--output", str(folder / name))
    return folder


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that comes first in PATH; it has a stand-in for sops where there is no sops."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    if not shutil.which("sops"):
        program(folder / "sops", f'exec "{sys.executable}" "{STAND_IN}" "$@"')
    return folder


def program(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.fixture
def encrypt(tmp_path: Path, keys: Path, programs: Path, monkeypatch: pytest.MonkeyPatch) -> Encrypt:
    """Writes an encrypted file that anybody may read; the key that opens it is at hand."""
    monkeypatch.setenv("PYINFRA_NOVA_AGE_IDENTITY", str(keys / "mine"))
    monkeypatch.setenv("SOPS_AGE_KEY_FILE", str(keys / "mine"))
    recipient = run("age-keygen", "-y", str(keys / "mine")).strip()
    commands = {
        "age": ("age", "--recipient", recipient),
        "age, armored": ("age", "--armor", "--recipient", recipient),
        "SOPS": ("sops", "--encrypt", "--age", recipient),
    }

    def write(form: str, name: str = "secrets.yml") -> Path:
        plain, path = tmp_path / "plain.yml", tmp_path / name
        plain.write_text(yaml.safe_dump(AWKWARD, allow_unicode=True), encoding="utf-8")
        with path.open("wb") as stream:
            subprocess.run([*commands[form], str(plain)], stdout=stream, check=True)
        plain.unlink()
        path.chmod(0o644)
        return path

    return write


@pytest.mark.parametrize("form", FORMS)
def test_every_password_comes_out_as_it_went_in(encrypt: Encrypt, form: str) -> None:
    path = encrypt(form)
    assert AWKWARD["nova_password"].encode() not in path.read_bytes()
    assert load_secrets(path) == secrets()


def test_white_space_before_an_armored_file_is_let_be(encrypt: Encrypt) -> None:
    path = encrypt("age, armored")
    path.write_bytes(b"\n\n" + path.read_bytes())
    assert is_encrypted(path)  # not every release of age opens it


def test_a_program_cannot_wait_for_what_somebody_types(encrypt: Encrypt, programs: Path) -> None:
    path = encrypt("SOPS")
    program(programs / "sops", 'test -z "$(cat)" && exit 128')
    reading, writing = os.pipe()
    os.write(writing, b"typed\n")
    os.close(writing)
    before = os.dup(0)
    os.dup2(reading, 0)
    try:
        assert "none of the keys here opens it" in fault_of(path)
    finally:
        os.dup2(before, 0)
        os.close(before)
        os.close(reading)


@pytest.mark.parametrize(("form", "program_name"), [("age", "age"), ("SOPS", "sops")])
def test_a_missing_program_is_named(
    encrypt: Encrypt, monkeypatch: pytest.MonkeyPatch, form: str, program_name: str
) -> None:
    path = encrypt(form)
    monkeypatch.setenv("PATH", "/nowhere")
    how = {"age": "age, Debian's package `age`", "SOPS": "SOPS, https://getsops.io"}[form]
    assert fault_of(path) == (
        f"{path}: is encrypted, and the program `{program_name}` that opens it does not run here; "
        f"install {how}"
    )


def test_the_wrong_age_identity_is_named(
    encrypt: Encrypt, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYINFRA_NOVA_AGE_IDENTITY", str(keys / "other"))
    path = encrypt("age")
    assert fault_of(path) == (
        f"{path}: is not encrypted for the identity in {keys}/other; "
        "name the right one in PYINFRA_NOVA_AGE_IDENTITY"
    )


def test_a_missing_age_identity_is_named(
    encrypt: Encrypt, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYINFRA_NOVA_AGE_IDENTITY", str(keys / "gone"))
    path = encrypt("age")
    assert fault_of(path) == (
        f"{path}: is encrypted with age, and the identity {keys}/gone is not at hand; "
        "name yours in PYINFRA_NOVA_AGE_IDENTITY (No such file or directory)"
    )


@pytest.mark.parametrize("form", FORMS)
def test_to_an_encrypted_file_no_key_is_added_that_everybody_could_read(
    encrypt: Encrypt, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = encrypt(form)
    before = path.read_bytes()
    assert main(["add-ceph-key", str(path)]) == 1
    assert path.read_bytes() == before
    said = capsys.readouterr().err
    how = f"with `sops {path}`" if form == "SOPS" else "and encrypt it again (docs/secrets.md)"
    assert said.startswith(f"{path}: rbd_secret_key: is missing; ")
    assert f"add a line `rbd_secret_key: ...` {how}" in said
    assert said.endswith("; docs/storage.md says what it is\n")


def test_an_identity_that_others_may_read_is_refused(
    encrypt: Encrypt, keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = tmp_path / "shown"
    shutil.copy(keys / "mine", shown)
    shown.chmod(0o644)
    monkeypatch.setenv("PYINFRA_NOVA_AGE_IDENTITY", str(shown))
    path = encrypt("age")
    with pytest.raises(SecretsError, match=f"{shown}: mode 0644 lets others read it"):
        load_secrets(path)


def test_so_it_is_for_a_backup(tmp_path: Path) -> None:
    key = tmp_path / "key"
    with pytest.raises(SecretsError, match=f"{key}: cannot be read: No such file or directory"):
        private_or_fault(key)
    key.touch(mode=0o600)
    private_or_fault(key)
    key.chmod(0o640)
    with pytest.raises(SecretsError, match=f"{key}: mode 0640 lets others read it"):
        private_or_fault(key)


def test_without_a_variable_the_identity_is_where_sops_has_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("PYINFRA_NOVA_AGE_IDENTITY", "SOPS_AGE_KEY_FILE", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/home/operator")
    assert str(age_identity()) == "/home/operator/.config/sops/age/keys.txt"
    monkeypatch.setenv("XDG_CONFIG_HOME", "/config")
    assert str(age_identity()) == "/config/sops/age/keys.txt"
    monkeypatch.setenv("SOPS_AGE_KEY_FILE", "~/keys")
    assert str(age_identity()) == "/home/operator/keys"


@pytest.mark.parametrize("name", ["other", "gone"])
def test_sops_without_the_key_says_which_variable_names_one(
    encrypt: Encrypt, keys: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path = encrypt("SOPS")
    monkeypatch.setenv("SOPS_AGE_KEY_FILE", str(keys / name))
    assert fault_of(path) == (
        f"{path}: is encrypted with SOPS, and none of the keys here opens it; name your age key in "
        f"SOPS_AGE_KEY_FILE; `sops --decrypt {path} >/dev/null` says more"
    )


@pytest.mark.parametrize("form", ["age", "age, armored"])
@pytest.mark.parametrize("damage", ["cut", "changed"])
def test_a_damaged_age_file_gives_no_half_answer(encrypt: Encrypt, form: str, damage: str) -> None:
    path = encrypt(form)
    content = path.read_bytes()
    half = content[: len(content) - 60]
    path.write_bytes(half if damage == "cut" else half + bytes(reversed(content[-60:])))
    identity = os.environ["PYINFRA_NOVA_AGE_IDENTITY"]
    assert fault_of(path) == (
        f"{path}: cannot be decrypted with {identity}: one of the two is damaged; "
        f"`age --decrypt --identity {identity} {path} >/dev/null` says more"
    )


def test_a_value_swapped_in_a_sops_file_is_noticed(encrypt: Encrypt) -> None:
    path = encrypt("SOPS")
    data = yaml.safe_load(path.read_text())
    data["nova_password"], data["admin_password"] = data["admin_password"], data["nova_password"]
    path.write_text(yaml.safe_dump(data))
    assert fault_of(path) == (
        f"{path}: is damaged or was changed without SOPS; "
        f"`sops --decrypt {path} >/dev/null` says more"
    )


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        *((code, "is damaged or was changed without SOPS") for code in (24, 25, 51, 52)),
        (111, "is encrypted with SOPS, and none of the keys here opens it"),
        (128, "is encrypted with SOPS, and none of the keys here opens it"),
        (1, "cannot be decrypted: sops ends with exit code 1"),
    ],
)
def test_what_sops_ends_with_is_put_in_words(
    encrypt: Encrypt, programs: Path, code: int, problem: str
) -> None:
    path = encrypt("SOPS")
    program(programs / "sops", f"exit {code}")
    assert fault_of(path).startswith(f"{path}: {problem}; ")


def test_a_value_that_sops_left_alone_is_refused_by_name(encrypt: Encrypt) -> None:
    path = encrypt("SOPS")
    data = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({**data, "nova_password": AWKWARD["nova_password"]}))
    assert fault_of(path) == (
        f"{path}: nova_password: stands unencrypted in the file; "
        "let SOPS encrypt every value, and change this one: others may have read it"
    )


@pytest.mark.parametrize("content", ["sops: {}\n", "sops: {age: []}\na: 'ENC[x]'\n"])
def test_what_only_looks_like_sops_is_a_fault(
    encrypt: Encrypt, tmp_path: Path, content: str
) -> None:
    path = tmp_path / "secrets.yml"
    path.write_text(content)
    assert "sops" in fault_of(path)


@pytest.mark.parametrize(
    ("name", "encryption"), [("secrets.sops.yml", "SOPS"), ("secrets.yml.age", "age")]
)
def test_a_plain_file_under_an_encrypted_ones_name_is_refused(
    tmp_path: Path, name: str, encryption: str
) -> None:
    path = tmp_path / name
    path.write_text(yaml.safe_dump(AWKWARD))
    path.chmod(0o600)
    assert fault_of(path) == (
        f"{path}: is not encrypted with {encryption}, as its name says, or it is damaged; "
        "make it as docs/secrets.md shows"
    )
    path.unlink()
    assert fault_of(path) == f"{path}: is missing; make it as docs/secrets.md shows"


def test_what_the_program_says_is_not_passed_on(encrypt: Encrypt, programs: Path) -> None:
    path = encrypt("age")
    value = AWKWARD["nova_password"]
    program(programs / "age", f"cat <<'X'\n{value}\nX\ncat >&2 <<'X'\n{value}\nX\nexit 1")
    assert value not in fault_of(path)


@pytest.mark.parametrize(("form", "program_name"), [("age", "age"), ("SOPS", "sops")])
def test_nothing_decrypted_is_in_a_command_line_or_a_file(
    encrypt: Encrypt,
    programs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    form: str,
    program_name: str,
) -> None:
    path = encrypt(form)
    real = shutil.which(program_name)
    recorder = tmp_path / "recorder"
    recorder.mkdir()
    program(recorder / program_name, f'echo "$@" >>"{tmp_path}/arguments"\nexec "{real}" "$@"')
    monkeypatch.setenv("PATH", f"{recorder}:{os.environ['PATH']}")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("TMPDIR", str(tmp_path / "work"))
    held = load_secrets(path)
    arguments = (tmp_path / "arguments").read_text()
    assert str(path) in arguments
    for value in held.values():
        assert value not in arguments
    assert list((tmp_path / "work").iterdir()) == []
