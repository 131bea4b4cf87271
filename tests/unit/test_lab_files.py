"""What a lab host takes over from this machine, and what the lab keeps."""

from __future__ import annotations

from pathlib import Path
from subprocess import CompletedProcess

import pytest

from lab import host_disks, package_cache, state, this_machine
from lab.settings import settings_from

APT_CONFIG = """APT "";
Acquire "";
Acquire::http "";
Acquire::http::Proxy "http://proxy:3128/";
Acquire::https::CAInfo "/etc/ssl/certs/own.pem";
Acquire::Check-Valid-Until "false";
Acquire::IndexTargets::deb::Packages "";
Acquire::Languages "none";
"""


def answering(monkeypatch: pytest.MonkeyPatch, stdout: str) -> None:
    def run(*command: str, **_: object) -> CompletedProcess[str]:
        return CompletedProcess(command, 0, stdout, "")

    monkeypatch.setattr(this_machine, "run", run)


def test_proxy_certificates_and_dates_are_taken_over(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, APT_CONFIG)
    assert this_machine.apt_settings().splitlines() == [
        'Acquire::http::Proxy "http://proxy:3128/";',
        'Acquire::https::CAInfo "/etc/ssl/certs/own.pem";',
        'Acquire::Check-Valid-Until "false";',
    ]


def test_mirrors_are_this_machines_own(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(
        monkeypatch,
        "http://mirror.example/debian/ bookworm\nhttps://other.example/ubuntu/ jammy\n",
    )
    found = this_machine.mirrors("bookworm")
    assert found["bookworm"] == "http://mirror.example/debian"
    assert found["bookworm-security"] == "http://deb.debian.org/debian-security"
    assert set(found) == {"bookworm", "bookworm-updates", "bookworm-security"}


def test_a_host_made_for_other_addresses_is_not_the_same() -> None:
    one = settings_from({"lab": [("a", {"my_ip": "10.0.0.11"})]}, {}, {})
    other = settings_from({"lab": [("a", {"my_ip": "10.0.0.12"})]}, {}, {})
    assert host_disks.host_marker(one.hosts[0], one) != host_disks.host_marker(
        other.hosts[0], other
    )


def test_half_a_json_file_counts_as_none(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    assert state.read_json(path) == {}
    path.write_text('{"name": ')
    assert state.read_json(path) == {}
    state.write_json(path, {"name": "a"})
    assert state.read_json(path) == {"name": "a"}
    assert path.stat().st_mode & 0o777 == 0o600


def test_writing_the_same_again_touches_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x"
    state.write(path, "a\n")
    before = path.stat().st_ino
    state.write(path, "a\n")
    assert path.stat().st_ino == before
    state.write(path, "b\n")
    assert path.read_text() == "b\n"


def test_packages_go_from_cache_to_host_and_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archives, root = tmp_path / "archives", tmp_path / "root"
    archives.mkdir()
    (archives / "a.deb").write_text("a")
    monkeypatch.setattr(state, "ARCHIVES", archives)
    package_cache.offer_packages(root)
    held = root / "var/cache/apt/archives"
    assert (held / "a.deb").samefile(archives / "a.deb")
    (held / "b.deb").write_text("b")
    package_cache.collect_packages(root)
    assert (archives / "b.deb").read_text() == "b"
