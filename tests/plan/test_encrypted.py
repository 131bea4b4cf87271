"""A new site that speaks TLS from its first day, on fakes of each system.

No host is there (tests/plan/encrypted.py), but certificates, keys and the files that hold them are
real: a deploy writes them, and the plan after it is made from what that has left.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import (
    CertificatePublicKeyTypes,
    PublicKeyTypes,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from pyinfra_nova.certificates.authority import AUTHORITIES, authority
from pyinfra_nova.certificates.issued import wanted
from pyinfra_nova.certificates.purposes import PURPOSES
from pyinfra_nova.commands.plan import pending
from pyinfra_nova.knowledge.platforms import platform_for
from pyinfra_nova.session.typed_pyinfra import clean_environment

from . import warm
from .disks import Disk
from .systems import ENCRYPTED, ENCRYPTED_RELEASES
from .test_plan import KEYS, PASSWORD, ROOT, operations, position

SECRET = "s3cret " + "t" * 32
ADDRESSES = {"controller": "10.0.0.11", "compute1": "10.0.0.31", "compute2": "10.0.0.32"}
PURPOSES_OF = {
    "controller": ("api", "console"),
    "compute1": ("libvirt", "qemu", "screen"),
    "compute2": ("libvirt", "qemu", "screen"),
}
API = platform_for("debian", "12", "zed").paths.api_certificate
MOVED = "Identity | Move the endpoints to what the APIs speak"
BASIC = x509.BasicConstraints
Run = subprocess.CompletedProcess[str]


@dataclass(frozen=True)
class Encrypted:
    """A site: its system, where its certificates come from, and where its hosts' disks are."""

    system: str
    mode: str
    folder: Path

    @property
    def disks(self) -> dict[str, Disk]:
        return {name: Disk(self.folder / f"{name}.json") for name in ADDRESSES}

    def pyinfra(self, state: str, *arguments: str) -> Run:
        environment = clean_environment(os.environ)
        environment |= {
            "PYINFRA_NOVA_SECRETS": str(self.folder / "secrets.yml"),
            "PYTHONPATH": str(ROOT),
            "FAKE_SYSTEM": self.system,
            "FAKE_STATE": state,
            "FAKE_DISKS": str(self.folder),
        }
        tls = {"mode": self.mode}
        if self.mode == "provided":
            tls["certificates"] = str(self.folder)
        said = (f'release="{ENCRYPTED_RELEASES[self.system]}"', f"tls={json.dumps(tls)}")
        data = (word for text in said for word in ("--data", text))
        words = ("tests/plan/encrypted.py", "deploy.py", *data, *arguments)
        return warm.pyinfra(*words, env=environment, seconds=180)


def provide(folder: Path) -> None:
    """Certificates of a site's own authorities, as docs/tls.md says where each has to be."""
    for name in AUTHORITIES:
        (folder / f"{name}-ca.pem").write_text(authority("somebody else's" * 3, name).pem)
    for host in ADDRESSES:
        (folder / host).mkdir()
        for purpose in PURPOSES_OF[host]:
            provide_anew(folder / host, purpose)


def provide_anew(folder: Path, purpose: str) -> None:
    """A certificate for the host that FOLDER is called by."""
    host, now = folder.name, dt.datetime.now(dt.timezone.utc)
    names = [host, ADDRESSES[host], "localhost", "127.0.0.1"]
    made = wanted("somebody else's" * 3, PURPOSES[purpose], host, names, None, now, 90, 30)
    (folder / f"{purpose}.crt").write_text(made.certificate_pem)
    key = folder / f"{purpose}.key"
    key.write_text(made.key_pem)
    key.chmod(0o600)


@pytest.fixture(scope="module", params=["internal", "provided"])
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module", params=ENCRYPTED)
def site(
    request: pytest.FixtureRequest, mode: str, tmp_path_factory: pytest.TempPathFactory
) -> Encrypted:
    folder = tmp_path_factory.mktemp("site")
    secrets = {key: f"{PASSWORD} {key}" for key in KEYS}
    if mode == "internal":
        secrets["tls_secret"] = SECRET
    else:
        provide(folder)
    (folder / "secrets.yml").write_text(json.dumps(secrets))
    (folder / "secrets.yml").chmod(0o600)
    return Encrypted(request.param, mode, folder)


@pytest.fixture(scope="module")
def plan(site: Encrypted) -> Run:
    """What a deploy of new hosts would do; nothing is there before or after."""
    process = site.pyinfra("fresh", "--dry", "--diff", "--json", "-vvv")
    assert not any(disk.files for disk in site.disks.values())
    return process


@pytest.fixture(scope="module")
def deployed(site: Encrypted, plan: Run) -> Run:
    """The deploy, after the plan of it."""
    process = site.pyinfra("fresh", "-y", "--diff", "-vvv")
    assert process.returncode == 0, process.stderr
    return process


@pytest.fixture(scope="module")
def again(site: Encrypted, deployed: Run) -> Run:
    """The plan after the deploy."""
    return site.pyinfra("deployed", "--dry", "--diff", "--json", "-vvv")


def test_the_plan_says_which_certificates_are_made(plan: Run, mode: str) -> None:
    assert plan.returncode == 0, plan.stderr
    for host, purposes in PURPOSES_OF.items():
        told = {
            "internal": f"new ones are made ({', '.join(purposes)}: there is none)",
            "provided": f"{', '.join(purposes)} of this machine go there; the first ends on ",
        }
        row = rf"^ +@fake/{host} +certificates +ok +{re.escape(told[mode])}"
        assert re.search(row, plan.stderr, re.MULTILINE)


def test_certificates_are_shown_and_their_keys_are_only_named(plan: Run) -> None:
    assert "+-----BEGIN CERTIFICATE-----" in plan.stderr
    named = re.findall(r"^ *\[@fake/\w+\] +(/\S*key\S*): create", plan.stderr, re.MULTILINE)
    assert "/etc/pki/libvirt/private/serverkey.pem" in named


def test_everybody_speaks_tls_before_the_catalogue_says_so(plan: Run) -> None:
    names = [operation["name"] for operation in operations(plan)]
    order = [
        "Write configuration files",
        "Create databases",
        "Create user, roles",
        "Packages, configuration and accounts are there",
        "Enable and start the controller's units",
        "Wait for the APIs",
        "The controllers answer",
        MOVED,
        "Have libvirt speak TLS",
        "Enable and start the compute's units",
        "The computes are started",
        "The hypervisors are proven",
    ]
    positions = [position(names, part) for part in order]
    assert positions == sorted(positions)
    changes = pending({"plan": operations(plan)})
    assert changes[MOVED] == ["@fake/controller"]
    assert changes["Compute services | Have libvirt speak TLS"] == [
        "@fake/compute1",
        "@fake/compute2",
    ]


def keys_on(site: Encrypted) -> Iterator[tuple[str, dict[str, str]]]:
    for disk in site.disks.values():
        for path, file in disk.files.items():
            if "PRIVATE KEY" in file["content"]:
                yield path, file


def public(key: CertificatePublicKeyTypes | PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.usefixtures("deployed")
def test_each_host_has_the_certificates_of_its_own_with_their_keys(site: Encrypted) -> None:
    for host, disk in site.disks.items():
        texts = [file["content"].encode() for file in disk.files.values()]
        keys = {
            public(load_pem_private_key(text, None).public_key())
            for text in texts
            if b"PRIVATE KEY" in text
        }
        begin = b"\n-----BEGIN CERTIFICATE-----\n"
        found = [x509.load_pem_x509_certificate(text) for text in texts if begin in text]
        kinds = [(each, each.extensions.get_extension_for_class(BASIC).value.ca) for each in found]
        assert {public(each.public_key()) for each, is_ca in kinds if not is_ca} == keys
        assert len(keys) == len(PURPOSES_OF[host])
        assert sum(is_ca for _, is_ca in kinds) >= 2


@pytest.mark.usefixtures("deployed")
def test_keys_are_for_those_alone_who_read_them(site: Encrypted) -> None:
    found = list(keys_on(site))
    assert len({path for path, _ in found}) >= 7
    for path, file in found:
        expected = ("root", "0600") if "/libvirt/" in path else (file["group"], "0640")
        assert (file["group"], file["mode"]) == expected, path
        assert file["group"] != "root" or "/libvirt/" in path
        assert file["owner"] == "root"


def test_no_output_has_a_key_or_a_secret(
    site: Encrypted, plan: Run, deployed: Run, again: Run
) -> None:
    # After these comes the public half, which certificates have, too.
    lines = {
        line
        for _, file in keys_on(site)
        for line in file["content"].partition("-----BEGIN PRIVATE KEY-----\n")[2].splitlines()[:2]
    }
    assert len(lines) == 2 * sum(map(len, PURPOSES_OF.values()))
    for process in (plan, deployed, again):
        for text in (process.stdout, process.stderr):
            assert "PRIVATE KEY" not in text
            assert "s3cret" not in text
            assert not any(line in text for line in lines)


def test_the_next_plan_is_empty(site: Encrypted, again: Run, mode: str) -> None:
    assert pending({"plan": operations(again)}) == {}
    assert MOVED not in [operation["name"] for operation in operations(again)]
    assert "new ones are made" not in again.stderr
    assert "of this machine go there" not in again.stderr
    said = {"internal": "good until ", "provided": "the first ends on "}
    assert re.search(rf"certificates +ok +.*{said[mode]}", again.stderr)


READ_AGAIN = "Controller services | Have new certificates read"


@pytest.mark.usefixtures("again")
def test_a_plan_says_who_will_read_a_new_certificate_where_it_runs(
    site: Encrypted, mode: str
) -> None:
    """Nova's own server does not: it is restarted once its file is newer."""
    is_uwsgi, folder = site.system in ("debian-12", "debian-13"), site.folder / "controller"
    files = (site.folder / "controller.json", *folder.glob("api.*"))
    kept = {file: file.read_bytes() for file in files}
    try:
        if mode == "provided":
            provide_anew(folder, "api")
        else:
            site.disks["controller"].lose(API)
        planned = site.pyinfra("deployed", "--dry", "--json")
    finally:
        for file, content in kept.items():
            file.write_bytes(content)
    assert planned.returncode == 0, planned.stderr
    said = "have nova-api, nova-api-metadata read their new certificates, without a restart"
    assert (said in planned.stderr) is is_uwsgi
    changes = ["Configuration | Write configuration files", *([READ_AGAIN] if is_uwsgi else [])]
    assert list(pending({"plan": operations(planned)})) == changes
