"""docs/platforms.md: its table is that of platforms.yaml, and it promises nothing more."""

from __future__ import annotations

from pathlib import Path

from pyinfra_nova.knowledge.platforms import Platform, table
from pyinfra_nova.site.endpoints import endpoints

from .site_data import site

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "platforms.md").read_text(encoding="utf-8")
SYSTEMS = {
    "Debian": "debian",
    "Ubuntu": "ubuntu",
    "Rocky": "rocky",
    "AlmaLinux": "almalinux",
    "CentOS Stream": "centos",
}
SERVERS = {"uwsgi": "uwsgi", "eventlet": "nova-api", "apache": "Apache"}
Pair = tuple[str, str, str, str, str]


def source(row: Platform) -> str:
    if row.repository and row.repository.ids:
        return {"cloud-archive": "Ubuntu Cloud Archive", "rdo": "RDO"}[row.repository.kind]
    return {"debian": "Debian", "ubuntu": "Ubuntu"}[row.os]


def documented() -> set[Pair]:
    lines = [line.strip("| ").split(" | ") for line in TEXT.splitlines() if line.startswith("| ")]
    found = set()
    for systems, releases, repository, server in lines[1:]:
        for system in systems.split(", "):
            name, _, version = system.rpartition(" ")
            for release in releases.split(", "):
                found.add((SYSTEMS[name], version, release, repository, server))
    return found


def test_every_pair_is_in_the_table_with_its_repository_and_server() -> None:
    rows = {
        (row.os, row.os_version or "sid", row.release, source(row), SERVERS[row.wsgi])
        for row in table().platforms
    }
    assert documented() == rows


def test_what_is_proven_is_said_and_nothing_else() -> None:
    names = {value: key for key, value in SYSTEMS.items()}
    (line,) = (line for line in TEXT.splitlines() if line.startswith("**Proven on real hosts:"))
    proven = [row for row in table().platforms if row.proven]
    said = ", ".join(f"{names[row.os]} {row.os_version} with {row.release}" for row in proven)
    assert line.startswith(f"**Proven on real hosts: {said}.**")


def test_ports_and_booleans_are_those_of_the_table() -> None:
    where = site()
    for row in table().platforms:
        for name in row.booleans.of(["controller", "compute"]):
            assert f"`{name}`" in TEXT
        for port in row.vnc_ports.of(["compute"]):
            assert port.partition("/")[0] in TEXT
    for endpoint in endpoints(where.settings, where.hosts["controller"]).values():
        assert f"{endpoint.port}" in TEXT
