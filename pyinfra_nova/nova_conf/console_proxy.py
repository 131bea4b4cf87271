"""The console's proxy started so that it verifies guests' screens, which Nova itself does not."""

from __future__ import annotations

import re
from pathlib import Path

from pyinfra_nova.knowledge.platforms import Platform
from pyinfra_nova.nova_conf.config_file import AbsentFile, ConfigFile
from pyinfra_nova.nova_conf.consoles import NO_CONSOLES, Consoles, speaks_tls
from pyinfra_nova.site.settings import HostSettings, Site

PROGRAM = "/usr/local/lib/pyinfra-nova/nova-novncproxy"
SOURCE = Path(__file__).resolve().parents[2] / "files" / "nova_novncproxy.py"
MARKER = "# Written by pyinfra-nova: the console's proxy; the next deploy undoes changes."


def proxy_files(
    site: Site, host: HostSettings, platform: Platform, consoles: Consoles = NO_CONSOLES
) -> list[ConfigFile]:
    """What has the proxy on HOST verify screens; nothing where there are none, or nobody asks."""
    # Read by the init script of openstack-pkg-tools right before it starts the program.
    default = platform.paths.novncproxy_default
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
