"""Which secrets file is read, of those that are here, and which one is made."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pyinfra_nova.site.faults import SecretsError
from pyinfra_nova.site.secret_files import HOW_TO_ENCRYPT, secrets_file
from pyinfra_nova.site.secrets import load_secrets, main


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYINFRA_NOVA_SECRETS", raising=False)
    return tmp_path


@pytest.mark.parametrize("name", ["secrets.yml", "secrets.sops.yml", "secrets.yml.age"])
def test_the_one_that_is_there_is_taken(here: Path, name: str) -> None:
    assert secrets_file() == Path("secrets.yml")
    (here / name).touch()
    assert secrets_file() == Path(name)


@pytest.mark.parametrize(
    ("one", "another"),
    [("secrets.sops.yml", "secrets.yml.age"), ("secrets.yml", "secrets.sops.yml")],
)
def test_of_two_none_is_taken_and_both_are_named(
    here: Path, monkeypatch: pytest.MonkeyPatch, one: str, another: str
) -> None:
    for name in (one, another):
        (here / name).touch()
    with pytest.raises(SecretsError) as error:
        load_secrets()
    assert [str(fault) for fault in error.value.faults] == [
        f"{one}: is not the only secrets file here, there is {another} too; "
        "remove all but one, or name it in PYINFRA_NOVA_SECRETS"
    ]
    assert main(["init", "--if-missing"]) == 1
    monkeypatch.setenv("PYINFRA_NOVA_SECRETS", another)
    assert secrets_file() == Path(another)


def test_of_three_all_are_named(here: Path) -> None:
    for name in ("secrets.yml", "secrets.sops.yml", "secrets.yml.age"):
        (here / name).touch()
    with pytest.raises(SecretsError) as error:
        load_secrets()
    assert "secrets.yml: is not the only" in str(error.value)
    assert re.search(r"there is secrets\.\S+ and secrets\.\S+ too", str(error.value))


# --- init -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["secrets.yml", "secrets.sops.yml", "secrets.yml.age"])
def test_init_leaves_any_secrets_file_alone(
    here: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    (here / name).write_text("as it is")
    assert main(["init", "--if-missing"]) == 0
    assert capsys.readouterr() == ("", "")
    assert main(["init"]) == 1
    assert f"{name}: exists and is left as it is" in capsys.readouterr().err
    assert [path.name for path in here.iterdir()] == [name]
    assert (here / name).read_text() == "as it is"


def test_init_makes_the_file_that_a_deploy_reads(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["init", "--if-missing"]) == 0
    assert load_secrets() == load_secrets(here / "secrets.yml")
    monkeypatch.setenv("PYINFRA_NOVA_SECRETS", "of-another-site.yml")
    assert main(["init", "--if-missing"]) == 0
    assert load_secrets() == load_secrets(here / "of-another-site.yml")


def test_init_makes_no_plain_file_under_an_encrypted_ones_name(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PYINFRA_NOVA_SECRETS", "secrets.yml.age")
    assert main(["init", "--if-missing"]) == 1
    assert capsys.readouterr().err == (
        "secrets.yml.age: is missing, and a file encrypted with age is not made here; "
        f"{HOW_TO_ENCRYPT}\n"
    )
    assert list(here.iterdir()) == []
