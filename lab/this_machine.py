"""This machine: the tools that the lab needs on it, and what hosts take over from it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from lab import state
from lab.shell import LabError, run, step

TOOLS = {
    "mmdebstrap": "mmdebstrap",
    "systemd-nspawn": "systemd-container",
    "nft": "nftables",
    "ip": "iproute2",
    "ssh-keygen": "openssh-client",
    "unshare": "util-linux",
}
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
INSTALLED = state.CACHE / "installed-on-this-machine"

APT_SETTINGS = re.compile(
    r"^Acquire::(?:https?|ftp)(?:::[^\s]*)? \"[^\"]+\";$"
    r"|^Acquire::(?:Check-Valid-Until|Check-Date|Retries|ForceIPv[46]) \"[^\"]+\";$",
    re.MULTILINE,
)


def install_tools() -> None:
    """Install what the lab needs on this machine and it does not have."""
    packages = sorted({package for tool, package in TOOLS.items() if shutil.which(tool) is None})
    if not KEYRING.exists():
        packages.append("debian-archive-keyring")
    if not packages:
        return
    if shutil.which("apt-get") is None:
        raise LabError(f"install {', '.join(packages)}: the lab needs them on this machine")
    with step(f"install {', '.join(packages)} on this machine"):
        environment = ("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-y", "-q")
        command = (*environment, "install", "--no-install-recommends", *packages)
        if run(*command, check=False).returncode != 0:
            run(*environment, "update")
            run(*command)
    known = INSTALLED.read_text().split() if INSTALLED.exists() else []
    state.write(INSTALLED, "\n".join(sorted({*known, *packages})) + "\n")


def machine_packages() -> list[str]:
    """What `up` installed on this machine."""
    return INSTALLED.read_text().split() if INSTALLED.exists() else []


def mirrors(release: str) -> dict[str, str]:
    """Suite -> address of RELEASE's suites: this machine's own mirrors where it has them."""
    found = {release: "http://deb.debian.org/debian"}
    if release != "sid":
        found[f"{release}-updates"] = "http://deb.debian.org/debian"
        found[f"{release}-security"] = "http://deb.debian.org/debian-security"
    shown = run(
        "apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE)", "Created-By: Packages",
        check=False,
    )  # fmt: skip
    for line in shown.stdout.splitlines():
        address, _, suite = line.partition(" ")
        if suite in found and address.startswith(("http://", "https://")):
            found[suite] = address.rstrip("/")
    return found


def sources(release: str) -> str:
    """The hosts' sources.list."""
    return "".join(
        f"deb [signed-by={KEYRING}] {address} {suite} main\n"
        for suite, address in mirrors(release).items()
    )


def apt_settings() -> str:
    """This machine's proxy, certificate and date settings for apt, for the hosts."""
    shown = run("apt-config", "dump", check=False).stdout
    return "".join(line + "\n" for line in APT_SETTINGS.findall(shown))


def resolv_conf() -> str:
    """This machine's name servers as a host can reach them."""
    behind_stub = Path("/run/systemd/resolve/resolv.conf")
    text = Path("/etc/resolv.conf").read_text() if Path("/etc/resolv.conf").exists() else ""
    if re.search(r"^nameserver\s+127\.", text, re.MULTILINE):
        if not behind_stub.exists():
            raise LabError(
                "/etc/resolv.conf names a server on 127.0.0.0/8, which hosts cannot reach: "
                "name your network's server there"
            )
        text = behind_stub.read_text()
    return text
