"""What hosts get, read back by oslo.config."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from pyinfra_nova.knowledge.platforms import Platform
from pyinfra_nova.nova_conf.config_file import ConfigFile
from pyinfra_nova.nova_conf.render import files_for
from pyinfra_nova.site.settings import Site
from tests.unit.site_data import debian, read_back

Sections = dict[str, dict[str, str]]

NOVA_CONF = "/etc/nova/nova.conf"
COMPUTE_CONF = "/etc/nova/nova-compute.conf"


def rendered(
    where: Site, name: str, virt_type: Any = "qemu", platform: Platform | None = None
) -> dict[str, ConfigFile]:
    host = where.hosts[name]
    return {f.path: f for f in files_for(where, host, platform or debian(), virt_type)}


def read(tmp_path: Path, *files: ConfigFile) -> Sections:
    paths = []
    for file in files:
        paths.append(tmp_path / Path(file.path).name)
        paths[-1].write_text(file.content, encoding="utf-8")
    return read_back(*paths)


def nova_conf(tmp_path: Path, where: Site, name: str, virt_type: Any = "qemu") -> Sections:
    """What the daemons of host NAME read."""
    files = rendered(where, name, virt_type)
    return read(tmp_path, *(files[path] for path in (NOVA_CONF, COMPUTE_CONF) if path in files))


def login(url: str) -> SplitResult:
    return urlsplit(url)
