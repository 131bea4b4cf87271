"""The console's proxy started so that it verifies guests' screens, where Nova itself does not."""

from __future__ import annotations

import re
from pathlib import Path

from pyinfra_nova.knowledge import releases
from pyinfra_nova.knowledge.platforms import Platform
from pyinfra_nova.nova_conf.config_file import AbsentFile, ConfigFile
from pyinfra_nova.nova_conf.consoles import NO_CONSOLES, Consoles, speaks_tls
from pyinfra_nova.site.settings import HostSettings, Site

PROGRAM = "/usr/local/lib/pyinfra-nova/nova-novncproxy"
SOURCE = Path(__file__).resolve().parents[2] / "files" / "nova_novncproxy.py"
FIRST_THAT_VERIFIES = 34
"""The version of Nova whose proxy makes a context of its own (nova/console/rfb/authvencrypt.py)."""
MARKER = "# Written by pyinfra-nova: the console's proxy; the next deploy undoes changes."


def default_file(platform: Platform) -> str | None:
    """Where the init script of PLATFORM is told of another program; None where it asks nobody.

    It is the one of openstack-pkg-tools, which reads the file right before it starts the program.
    """
    needed = releases.VERSIONS[platform.release] < FIRST_THAT_VERIFIES
    return platform.paths.novncproxy_default if needed else None


def proxy_files(
    site: Site, host: HostSettings, platform: Platform, consoles: Consoles = NO_CONSOLES
) -> list[ConfigFile]:
    """What has the proxy on HOST verify screens; nothing where there are none, or no need."""
    default = default_file(platform)
    wanted = host.is_controller and speaks_tls(site, consoles)
    if not (wanted and default):
        return []
    text = f"{MARKER}\n# files/nova_novncproxy.py says why.\nDAEMON={PROGRAM}\n"
    program = SOURCE.read_text(encoding="utf-8")
    # The program first: without it the other file lets nothing start.
    return [
        ConfigFile(PROGRAM, program, "root", "root", "0755"),
        ConfigFile(default, text, "root", "root", "0644"),
    ]


def unwanted_proxy_files(
    site: Site, host: HostSettings, platform: Platform, consoles: Consoles = NO_CONSOLES
) -> list[AbsentFile]:
    """What an earlier run has left of them; without it the packages' own program is started."""
    default = platform.paths.novncproxy_default
    if not host.is_controller or not default or proxy_files(site, host, platform, consoles):
        return []
    first = SOURCE.read_text(encoding="utf-8").partition("\n")[0]
    return [
        AbsentFile(default, re.escape(MARKER), "marker"),
        AbsentFile(PROGRAM, re.escape(first), "marker"),
    ]
