"""The checker asked for a text, for a release and a role, and its findings looked through."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pyinfra_nova.nova_conf.check import Finding, Role, Source, findings
from pyinfra_nova.nova_conf.render import files_for
from pyinfra_nova.site.settings import Site
from tests.unit.site_data import debian

DATA = Path(__file__).with_name("data")


def check(text: str, role: Role = "controller", release: str = "zed") -> list[Finding]:
    return findings([Source("nova.conf", text)], release, role)


def about(found: list[Finding], section: str, option: str = "") -> list[Finding]:
    return [f for f in found if (f.section, f.option) == (section, option)]


def one(found: list[Finding], section: str, option: str = "") -> Finding:
    (finding,) = about(found, section, option)
    return finding


def of_option(text: str, release: str = "zed", role: Role = "controller") -> list[Finding]:
    """What is said of the lines of TEXT, not of what it lacks."""
    return [f for f in check(text, role, release) if f.kind not in ("missing", "insecure")]


def sources(where: Site, name: str, virt_type: Any = "kvm") -> list[Source]:
    files = files_for(where, where.hosts[name], debian(), virt_type)
    return [Source(file.path, file.content, int(file.mode, 8)) for file in files if file.oslo]
