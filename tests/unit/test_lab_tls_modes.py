"""A lab in plain text, and what says whether a lab encrypts."""

from __future__ import annotations

import ast
from dataclasses import asdict, replace
from pathlib import Path

import config_files
import pytest

from lab import prerequisites, state
from lab.__main__ import trust_site
from lab.cloud import Cloud, certificates, daemons
from lab.prerequisites import READ
from lab.settings import read_settings
from pyinfra_nova.certificates.authority import authority
from pyinfra_nova.resources.units import Unit
from pyinfra_nova.session import host_script
from pyinfra_nova.site.secrets import add_ceph_key, create, load_secrets
from pyinfra_nova.site.tls import TRUST

from .site_data import GROUPS, faults, site
from .site_data import secrets as passwords
from .test_lab_cloud import TLS_SECRET, cloud
from .test_lab_tls import ALL_KINDS, NOW, certificate_files, controller_files, encrypted

ROOT = Path(__file__).resolve().parents[2]


def all_units(where: Cloud) -> list[Unit]:
    return [
        *daemons.base_units(where),
        *daemons.service_units(where),
        *daemons.cinder_units(where),
    ]


# --- off, and back --------------------------------------------------------------------------------


@pytest.mark.parametrize("debian", ALL_KINDS)
def test_a_site_in_plain_text_has_no_word_of_it(debian: str) -> None:
    where = cloud(debian, block_storage=True)
    assert certificates.certificate_files(where, "controller", {}, NOW) == []
    assert certificates.certificate_paths(where) == []
    for path, file in controller_files(where).items():
        for word in ("https", "ssl", "tls", "cafile", TRUST):
            # A key of Ceph's is random, and may have any of the short ones in it.
            assert path.endswith(".keyring") or word not in file.content.lower(), path
    assert not [
        path for unit in all_units(where) for path in unit.reads if "ssl" in path or "tls" in path
    ]


@pytest.mark.parametrize("debian", ALL_KINDS)
def test_what_tls_has_brought_goes_when_it_is_off(debian: str) -> None:
    on, off = encrypted(debian), cloud(debian, block_storage=True)
    brought = {**controller_files(on), **certificate_files(on)}
    left = {path: f for path, f in brought.items() if path not in controller_files(off)}
    # That one is Nova's, too, whose own deploy takes it away.
    del left[TRUST]
    entries = {entry.path: entry for entry in certificates.unwanted_files(off)}
    assert set(left) <= set(entries)
    for path, file in left.items():
        assert config_files.without_ours(file.content, asdict(entries[path])) == ""
        assert config_files.without_ours("somebody else's\n", asdict(entries[path])) is None
    assert certificates.unwanted_files(on) == []


# --- what the lab's own data say ------------------------------------------------------------------

WITH_SECRET = passwords(tls_secret=TLS_SECRET)
INTERNAL = {"tls": {"mode": "internal"}}
LAB_GROUPS = {**GROUPS, "lab": ["controller", "compute1", "compute2"]}


def test_the_lab_s_data_encrypt_a_site_of_lab_hosts_whatever_holds_for_all() -> None:
    for_all, lab = {"tls": {"mode": "off", "days": 50}}, {"lab": INTERNAL}
    found = site(for_all, groups=LAB_GROUPS, group_data=lab, passwords=WITH_SECRET)
    assert found.settings.tls.is_on
    assert found.settings.tls.days == 50
    assert found.settings.keystone.auth_url == "https://controller:5000/v3"
    assert found.settings.messaging.port == 5671


def test_they_say_nothing_of_a_site_of_other_hosts() -> None:
    for groups in (GROUPS, {**GROUPS, "lab": []}):
        assert not site({}, groups=groups, group_data={"lab": INTERNAL}).settings.tls.is_on


def test_the_command_line_has_the_last_word() -> None:
    off = {"tls": {"mode": "off"}}
    found = site(groups=LAB_GROUPS, group_data={"lab": INTERNAL}, override_data=off)
    assert not found.settings.tls.is_on
    assert found.settings.keystone.auth_url == "http://controller:5000/v3"


def test_what_is_wrong_there_is_said_of_that_file() -> None:
    wrong = {"lab": {"tls": {"mode": "internal", "days": "many"}}}
    (fault,) = faults(groups=LAB_GROUPS, group_data=wrong)
    assert fault.startswith("group_data/lab.py: tls.days")


@pytest.mark.parametrize("debian", ALL_KINDS)
def test_whatever_has_read_what_goes_then_starts_anew(debian: str) -> None:
    """A unit does when something that it reads is newer than its process (files/units.py)."""
    on, off = encrypted(debian), cloud(debian, block_storage=True)
    before = {**controller_files(on), **certificate_files(on)}
    after = controller_files(off)
    units = {unit.name: unit for unit in all_units(off)}
    for unit in all_units(on):
        left = units.get(unit.name)
        gone = [path for path in unit.reads if path in before and path not in after]
        if left is None or not gone:
            continue
        written = [p for p in left.reads if p in after and after[p] != before.get(p)]
        # The time of a folder is that of the last file that came there or went.
        emptied = [path for path in gone if str(Path(path).parent) in left.reads]
        assert written or emptied, unit.name


@pytest.mark.parametrize("name", ["inventory.py", "aio.py"])
def test_the_plain_inventory_is_the_lab_s_with_nothing_encrypted(name: str) -> None:
    ours = read_settings(
        ROOT / ("inventory.py" if name == "inventory.py" else "inventories/aio.py")
    )
    theirs = read_settings(ROOT / "inventories" / "plain" / name)
    assert ours.has_tls
    assert not theirs.has_tls
    assert replace(ours, tls="off") == theirs


def test_the_secret_is_added_before_certificates_are_made_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = read_settings(ROOT / "inventory.py")
    for mode in ("off", "internal", "provided"):
        commands: list[tuple[str, ...]] = []
        monkeypatch.setattr(prerequisites, "run", lambda *words, to=commands: to.append(words))
        monkeypatch.setattr(prerequisites, "SECRETS", [tmp_path])
        monkeypatch.setattr(state, "PREPARED", tmp_path / "prepared.json")
        monkeypatch.setattr(prerequisites, "_wanted", lambda *_: {})
        prerequisites.prepare(tmp_path, replace(settings, tls=mode), again=False)
        assert ("add-tls-secret" in {words[-1] for words in commands}) is (mode == "internal")


def test_the_workshop_believes_screens_by_the_site_s_authorities(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = tmp_path / "secrets.yml"
    create(secrets)
    add_ceph_key(secrets)
    monkeypatch.setenv("PYINFRA_NOVA_SECRETS", str(secrets))
    monkeypatch.chdir(ROOT)
    inventory = tmp_path / "inventory.py"
    inventory.write_text((ROOT / "inventory.py").read_text())
    data = tmp_path / "group_data" / "lab.py"
    data.parent.mkdir()
    told: list[str | None] = []
    monkeypatch.setattr(host_script, "trust", told.append)
    for mode in ("off", "internal"):
        data.write_text(f'tls = {{"mode": "{mode}"}}\n')
        trust_site(inventory)
    secret = load_secrets(secrets).tls_secret
    assert secret is not None
    assert told == [authority(secret.get_secret_value(), "services").pem]


def test_the_lab_is_prepared_again_where_what_it_is_prepared_by_has_changed() -> None:
    """What it imports of the rooms that say what is on a host, and each script that it runs."""
    root = Path(__file__).resolve().parents[2]
    read = {path for pattern in READ for path in root.glob(pattern)}
    rooms = ("certificates", "nova_conf", "resources")
    used = {
        root / f"{node.module.replace('.', '/')}.py"
        for path in (*root.glob("lab/*.py"), *root.glob("lab/cloud/*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom)
        and node.module
        and node.module.startswith(tuple(f"pyinfra_nova.{room}." for room in rooms))
    }
    assert root / "pyinfra_nova/nova_conf/certificate_files.py" in used
    assert sorted(used - read) == []
    assert root / "files/common/sql.py" in read
