"""Messages name the file that an operator has, and a remedy that works there."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pyinfra_nova.run.preflight import checks_for
from pyinfra_nova.site.faults import SecretsError, SettingsError
from pyinfra_nova.site.load import build_site, site_of
from pyinfra_nova.site.run_scope import scope_of
from pyinfra_nova.site.secrets import (
    add_tls_secret,
    create,
    generated,
    how_to_add_tls_secret,
    load_secrets,
    main,
)
from pyinfra_nova.site.settings import Site

from .site_data import ALL, GROUPS, HOSTS, secrets
from .test_load import load

INTERNAL = {"mode": "internal"}


def faults_of(
    all_data: dict[str, Any] | None = None, *, file: str = "secrets.yml", **data: Any
) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        built(all_data, file=file, **data)
    return [str(fault) for fault in caught.value.faults]


def built(
    all_data: dict[str, Any] | None = None, *, file: str = "secrets.yml", **data: Any
) -> Site:
    groups = {**GROUPS, "lab": ["controller"]}
    group_data, override = {"lab": data.get("lab", {})}, data.get("override")
    known = data.get("passwords") or secrets()
    return build_site(
        *(groups, {**ALL, **(all_data or {})}, group_data, HOSTS, known),
        override_data=override,
        secrets_file=file,
    )


# --- secrets --------------------------------------------------------------------------------------


def test_the_secrets_file_is_called_as_it_is() -> None:
    [said] = faults_of({"tls": INTERNAL}, file="site/passwords.yml")
    assert said.startswith("site/passwords.yml: tls_secret: is missing")
    assert "`python -m pyinfra_nova.secrets add-tls-secret site/passwords.yml` adds it" in said
    [said] = faults_of({"tls": INTERNAL})
    assert said.startswith("secrets.yml: ") and said.endswith("add-tls-secret` adds it")
    same = secrets(tls_secret="t" * 32, tls_next_secret="t" * 32)
    [said] = faults_of({"tls": INTERNAL}, file="site/passwords.yml", passwords=same)
    assert said.startswith("site/passwords.yml: tls_next_secret: is the same as tls_secret")


def test_so_it_is_by_the_checks_of_services() -> None:
    site = built(file="site/passwords.yml")
    host = site.primary_controller
    remedies = [check["remedy"] for check in checks_for(scope_of(site, {host.name}), host)]
    assert "see messaging in group_data/all.py, and messaging_password in site/passwords.yml" in (
        remedies
    )
    assert not [remedy for remedy in remedies if "secrets.yml" in remedy]


def test_the_remedy_adds_the_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "passwords.yml"
    create(path)
    lines = [line for line in path.read_text().splitlines() if not line.startswith("tls_secret")]
    path.write_text("\n".join(lines) + "\n")
    remedy = how_to_add_tls_secret(path)
    assert main(remedy.split("`")[1].split()[3:]) == 0
    made = load_secrets(path).tls_secret
    assert made is not None
    assert made.get_secret_value() not in capsys.readouterr().out


def without(path: Path) -> dict[str, str]:
    """What is written at PATH: secrets without the one of certificates, as JSON."""
    known = {name: value for name, value in generated().items() if name != "tls_secret"}
    path.write_text(json.dumps(known))
    path.chmod(0o600)
    return known


def test_an_encrypted_file_is_changed_as_it_was_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, path = tmp_path / "key", tmp_path / "secrets.yml.age"
    without(tmp_path / "plain")
    subprocess.run(["age-keygen", "-o", key], check=True, capture_output=True)
    command = ["age", "--encrypt", "-i", str(key), "-o", str(path), str(tmp_path / "plain")]
    subprocess.run(command, check=True)
    monkeypatch.setenv("PYINFRA_NOVA_AGE_IDENTITY", str(key))
    how = "decrypt it, add a line `tls_secret: ...` and encrypt it again (docs/secrets.md)"
    assert how_to_add_tls_secret(path) == how
    with pytest.raises(SecretsError) as caught:
        add_tls_secret(path)
    [fault] = caught.value.faults
    assert str(fault) == f"{path}: tls_secret: is missing; {how}; give it 32 random characters"


def test_so_is_one_of_sops(tmp_path: Path) -> None:
    path = tmp_path / "secrets.sops.yml"
    path.write_text(
        "nova_password: ENC[AES256_GCM,data:x]\nsops:\n  mac: ENC[x]\n  version: 3.9.0\n"
    )
    assert how_to_add_tls_secret(path) == f"add a line `tls_secret: ...` with `sops {path}`"


def test_a_file_in_braces_is_added_to_there(tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    known = without(path)
    how = how_to_add_tls_secret(path)
    assert how == 'add `"tls_secret": "..."` to what is in its braces'
    with pytest.raises(SecretsError) as caught:
        add_tls_secret(path)
    assert how in str(caught.value)
    assert json.loads(path.read_text()) == known
    path.write_text(json.dumps({**known, "tls_secret": "t" * 32}))
    assert add_tls_secret(path) is False


def test_what_ansible_has_encrypted_is_called_that(tmp_path: Path) -> None:
    path = tmp_path / "secrets.yml"
    path.write_text("$ANSIBLE_VAULT;1.1;AES256\n3132333435\n")
    path.chmod(0o600)
    with pytest.raises(SecretsError) as caught:
        load_secrets(path)
    [fault] = caught.value.faults
    assert str(fault).startswith(f"{path}: is encrypted with ansible-vault, which is not read here")


def test_the_examples_placeholder_makes_no_authorities(tmp_path: Path) -> None:
    path = tmp_path / "secrets.yml"
    path.write_text(json.dumps({**generated(), "tls_secret": "CHANGE_ME"}))
    path.chmod(0o600)
    for read in (load_secrets, add_tls_secret):
        with pytest.raises(SecretsError) as caught:
            read(path)
        [fault] = caught.value.faults
        assert str(fault) == (
            f"{path}: tls_secret: is still the example's CHANGE_ME; put a value of your own there, "
            "or take the line out where nothing needs it"
        )


# --- group data -----------------------------------------------------------------------------------


def test_a_file_of_authorities_is_a_fault_of_who_names_it(tmp_path: Path) -> None:
    tls = {"mode": "off", "cafile": str(tmp_path / "none.pem")}
    said_by: tuple[tuple[str, dict[str, Any]], ...] = (
        ("group_data/all.py", {"all_data": {"tls": tls}}),
        ("group_data/lab.py", {"lab": {"tls": tls}}),
        ("--data", {"override": {"tls": tls}}),
    )
    for file, data in said_by:
        [said] = faults_of(**data)
        assert said.startswith(f"{file}: tls.cafile: {tmp_path}/none.pem: No such file"), said


def test_the_data_beside_an_inventory_is_named_where_it_says_the_thing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    create(tmp_path / "secrets.yml")
    beside = tmp_path / "sites/one/group_data"
    beside.mkdir(parents=True)
    (tmp_path / "group_data").mkdir()
    (tmp_path / "group_data/all.py").write_text(
        'management_network = "10.0.0.0/24"\nregoin = "x"\ntls = {"mode": "off"}\n'
    )
    (beside / "all.py").write_text('tls: dict = {"mode": "of"}\nsmoke_guest = 1\n')
    inventory = "sites/one/inventory.py"
    (tmp_path / inventory).write_text(
        'controllers = [("ctl", {"my_ip": "10.0.0.1"})]\ncomputes = controllers\n'
    )
    with pytest.raises(SettingsError) as caught:
        site_of(load(Path(inventory), tmp_path), tmp_path / "secrets.yml", inventory_file=inventory)
    said = {fault.key: fault.file for fault in caught.value.faults}
    assert said["tls.mode"] == said["smoke_guest"] == "sites/one/group_data/all.py"
    assert said["regoin"] == "group_data/all.py"
