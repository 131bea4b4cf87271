"""Which repositories are enabled, as apt and dnf say it."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from pyinfra_nova.resources.repositories import EnabledRepositories
from pyinfra_nova.session.host_script import SCRIPTS

LIST = """\
deb [trusted=yes] file:{archive} jammy main
# deb [trusted=yes] file:{archive} jammy-updates/caracal main
deb [trusted=yes] file:{archive} jammy-updates/antelope main
"""
DEB822 = """\
Types: deb
URIs: file:{archive}
Suites: noble-updates/epoxy
Components: main
Trusted: yes

Enabled: no
Types: deb
URIs: file:{archive}
Suites: noble-updates/flamingo
Components: main
Trusted: yes
"""
REPOLIST = """\
repo id                         repo name
appstream                       Rocky Linux 9 - AppStream
centos-openstack-antelope       CentOS-9 - OpenStack antelope
crb                             Rocky Linux 9 - CRB
""".splitlines()


PACKAGES = "Package: x\nVersion: 1\nArchitecture: all\nFilename: x.deb\nSize: 1\n"
RELEASE = """\
Suite: {suite}
Codename: {suite}
Components: main
Architectures: amd64
SHA256:
 {digest} {size} main/binary-amd64/Packages
"""


def archive(folder: Path, *suites: str) -> Path:
    """An archive with the same package in each suite."""
    digest = hashlib.sha256(PACKAGES.encode()).hexdigest()
    for suite in suites:
        root = folder / "dists" / suite
        (root / "main" / "binary-amd64").mkdir(parents=True)
        (root / "main" / "binary-amd64" / "Packages").write_text(PACKAGES)
        text = RELEASE.format(suite=suite, digest=digest, size=len(PACKAGES))
        (root / "Release").write_text(text)
    return folder


@pytest.mark.skipif(not shutil.which("apt-get"), reason="there is no apt here")
@pytest.mark.parametrize(
    ("name", "text", "suites", "enabled"),
    [
        ("cloud.list", LIST, ["jammy", "jammy-updates/antelope"], "jammy-updates/antelope"),
        ("cloud.sources", DEB822, ["noble-updates/epoxy"], "noble-updates/epoxy"),
    ],
)
def test_apt_itself_says_which_pockets_are_enabled_and_fetched(
    tmp_path: Path, name: str, text: str, suites: list[str], enabled: str
) -> None:
    parts, root = tmp_path / "sources.list.d", tmp_path / "apt"
    (root / "lists" / "partial").mkdir(parents=True)
    parts.mkdir()
    (parts / name).write_text(text.format(archive=archive(tmp_path / "archive", *suites)))
    settings = tmp_path / "apt.conf"
    settings.write_text(
        f'Dir::Etc::sourcelist "/dev/null";\nDir::Etc::sourceparts "{parts}";\n'
        f'Dir::State "{root}";\nDir::Cache "{root}";\nAPT::Architecture "amd64";\n'
        'APT::Architectures { "amd64"; };\nAPT::Sandbox::User "";\nAcquire::Languages "none";\n'
    )
    environment = {**os.environ, "APT_CONFIG": str(settings)}
    fact = EnabledRepositories()

    def listed() -> set[str]:
        done = subprocess.run(
            ["sh", "-c", fact.command("cloud-archive").get_raw_value()],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return fact.process(done.stdout.splitlines())

    assert listed() == set()
    subprocess.run(["apt-get", "-q", "update"], env=environment, capture_output=True, check=True)
    assert listed() == set(suites)
    assert enabled in listed()


def test_the_ids_of_dnf_are_the_first_words_of_its_list() -> None:
    assert {"crb", "centos-openstack-antelope"} <= EnabledRepositories().process(REPOLIST)


def test_a_host_without_the_package_manager_has_none() -> None:
    assert EnabledRepositories().process([]) == set()


@pytest.mark.parametrize("former", [None, "deb http://mirror.example.com/uca jammy main\n"])
def test_an_archive_that_does_not_answer_leaves_the_list_as_it_was(
    tmp_path: Path, former: str | None
) -> None:
    lists = tmp_path / "cloudarchive-antelope.list"
    if former:
        lists.write_text(former)
    program = tmp_path / "apt-get"
    program.write_text('#!/bin/sh\ncase "$*" in *Error-Mode*) exit 100 ;; esac\n')
    program.chmod(0o755)
    text = (
        (SCRIPTS / "enable_cloud_archive.sh")
        .read_text()
        .replace("/etc/apt/sources.list.d", str(tmp_path))
    )

    def enabled() -> int:
        done = subprocess.run(
            ["sh", "-s", "--", "ubuntu-cloud-keyring", "jammy-updates/antelope"],
            input=text,
            text=True,
            env={"PATH": f"{tmp_path}:/usr/bin:/bin", "TMPDIR": str(tmp_path)},
            check=False,
        )
        return done.returncode

    assert enabled() == 1
    assert (lists.read_text() if lists.exists() else None) == former
    program.write_text("#!/bin/sh\n")
    assert enabled() == 0
    assert lists.read_text().endswith(" jammy-updates/antelope main\n")
    assert {path.name for path in tmp_path.iterdir()} == {"apt-get", lists.name}
