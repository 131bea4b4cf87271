"""What keeps Nova's password from who answers in the database's name that he has no TLS."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from pyinfra_nova.knowledge.platforms import Platform
from pyinfra_nova.nova_conf.certificate_files import MARKER
from pyinfra_nova.nova_conf.config_file import AbsentFile, ConfigFile
from pyinfra_nova.nova_conf.plugin_name import PLUGIN
from pyinfra_nova.site.settings import HostSettings, Site

SOURCE = Path(__file__).resolve().parents[2] / "files" / "pyinfra_nova_tls.py"
MODULE = SOURCE.stem
METADATA = f"Metadata-Version: 2.1\nName: {MODULE}\nVersion: 1\nSummary: Written by pyinfra-nova\n"
ENTRY_POINTS = f"{MARKER}\n[sqlalchemy.plugins]\n{PLUGIN} = {MODULE}:VerifiedTls\n"


@cache
def _contents(platform: Platform) -> dict[str, str]:
    """By its path each file of a package of Python's, as SQLAlchemy finds it by its entry point."""
    folder = platform.paths.python
    return {
        f"{folder}/{MODULE}.py": SOURCE.read_text(encoding="utf-8"),
        f"{folder}/{MODULE}-1.dist-info/METADATA": METADATA,
        f"{folder}/{MODULE}-1.dist-info/entry_points.txt": ENTRY_POINTS,
    }


def has_plugin(site: Site, host: HostSettings) -> bool:
    """Whether HOST asks the database, and is to do so in TLS."""
    return site.settings.tls.is_on and host.is_controller


def plugin_files(site: Site, host: HostSettings, platform: Platform) -> list[ConfigFile]:
    """The plugin that the database's URLs name; nothing on a host that has none."""
    if not has_plugin(site, host):
        return []
    contents = _contents(platform).items()
    return [ConfigFile(path, content, "root", "root", "0644") for path, content in contents]


def plugin_paths(site: Site, host: HostSettings, platform: Platform) -> list[str]:
    """What of it a process reads when it starts."""
    return [file.path for file in plugin_files(site, host, platform)]


def unwanted_plugin_files(site: Site, host: HostSettings, platform: Platform) -> list[AbsentFile]:
    """What an earlier run has written and HOST is to have no more."""
    return [] if has_plugin(site, host) else written_plugin_files(platform)


def written_plugin_files(platform: Platform) -> list[AbsentFile]:
    """All of it that was ever written, as this project writes it."""
    found = []
    for path, content in _contents(platform).items():
        lines = content.splitlines()
        # Metadata cannot have the mark: nothing but their lines tells whose they are.
        is_marked = lines[0] == MARKER
        form = "|".join(re.escape(line) for line in lines[: 1 if is_marked else None])
        found.append(AbsentFile(path, form, "marker" if is_marked else "all"))
    return found
