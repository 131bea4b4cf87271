"""The base file system that all hosts share, and what each host has of its own.

A host is an overlay mount: the base below, never written, and the host's own layer above it. A host
is then made in no time, and little has to be written and removed for it.
"""

from __future__ import annotations

import os
import re
import shutil
import time
import uuid
from pathlib import Path

from lab import state
from lab.settings import LabHost, LabSettings
from lab.shell import LabError, run, say, step

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

BASE_PACKAGES = (
    # What a server installation of Debian has.
    "apt-utils", "ca-certificates", "cron", "curl", "dbus", "iproute2",
    "iputils-ping", "kmod", "less", "libpam-systemd", "logrotate", "netbase", "openssh-server",
    "procps", "python3", "sudo", "systemd", "systemd-sysv", "tcpdump", "udev", "vim-tiny",
    # Every host of the lab runs Neutron's agent: unpacked once here instead of once a host.
    "neutron-openvswitch-agent", "openvswitch-switch",
)  # fmt: skip
BASE_AGE = 3 * 24 * 3600
"""Seconds after which a base is made anew: mirrors drop what its package lists name."""

HOST_FILES = {
    "etc/apt/apt.conf.d/50lab": (
        'APT::Install-Recommends "false";\n'
        'APT::Keep-Downloaded-Packages "true";\n'
        'Acquire::Languages "none";\n'
        'Acquire::PDiffs "false";\n'
        'Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";\n'
        'DPkg::Lock::Timeout "300";\n'
    ),
    "etc/dpkg/dpkg.cfg.d/lab": "force-unsafe-io\n",
    "etc/default/locale": "LANG=C.UTF-8\n",
    "etc/ssh/sshd_config.d/lab.conf": (
        "PermitRootLogin prohibit-password\nPasswordAuthentication no\n"
        "UseDNS no\nMaxStartups 100\nMaxSessions 100\nPrintMotd no\n"
    ),
    # Open vSwitch's userspace datapath sets a flag of a guest's interface by writing all of them as
    # it last knew them; where libvirt has turned the interface on meanwhile, that turns it off.
    "etc/systemd/network/tap.network": (
        "[Match]\nName=tap*\n[Link]\nActivationPolicy=always-up\n"
        "[Network]\nLinkLocalAddressing=no\nIPv6AcceptRA=no\nConfigureWithoutCarrier=yes\n"
    ),
    "etc/systemd/journald.conf.d/lab.conf": "[Journal]\nStorage=persistent\nSystemMaxUse=200M\n",
}
UNITS_OFF = (
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "dpkg-db-backup.timer",
    "systemd-networkd-wait-online.service",
    "console-getty.service",
)
APT_SETTINGS = re.compile(
    r"^Acquire::(?:https?|ftp)(?:::[^\s]*)? \"[^\"]+\";$"
    r"|^Acquire::(?:Check-Valid-Until|Check-Date|Retries|ForceIPv[46]) \"[^\"]+\";$",
    re.MULTILINE,
)


# Hooks of mmdebstrap(1); $1 is the new system's root.
_OFFER = (
    'mkdir -p "$1/var/cache/apt/archives"; '
    "find {archives} -name '*.deb' -exec cp -lt \"$1/var/cache/apt/archives\" {{}} + "
    '|| cp -t "$1/var/cache/apt/archives" {archives}/*.deb || true'
)
# py3compile starts Python twice for each of two hundred packages, which takes longer than what it
# does: all modules are compiled at the end instead, on all cores.
_HOLD_BACK = (
    "printf 'path-exclude=%s\\n' '/usr/share/man/*' '/usr/share/locale/*' '/usr/share/doc/*'"
    ' > "$1/etc/dpkg/dpkg.cfg.d/lab-exclude"; '
    'chroot "$1" dpkg-divert --quiet --local --rename --divert /usr/bin/py3compile.real'
    ' --add /usr/bin/py3compile; ln -s true "$1/usr/bin/py3compile"'
)
_CATCH_UP = (
    'rm "$1/usr/bin/py3compile"; '
    'chroot "$1" dpkg-divert --quiet --local --rename --remove /usr/bin/py3compile; '
    'chroot "$1" python3 -m compileall -q -j 0 /usr/lib/python3/dist-packages >/dev/null 2>&1'
    " || true"
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


def make_base(release: str) -> str:
    """The name of a base of RELEASE that is complete and not too old; made if there is none."""
    wanted = {
        "release": release,
        "packages": list(BASE_PACKAGES),
        "sources": sources(release),
        "files": HOST_FILES,
    }
    for marker in sorted(state.BASES.glob("*.json")):
        known = state.read_json(marker)
        made = float(known.pop("made", 0))
        if known == wanted and time.time() - made < BASE_AGE and is_base(marker.stem):
            return marker.stem
    _remove_unused_bases()
    name = f"{release}-{int(time.time())}"
    with step(f"make the base: Debian {release}"):
        _mmdebstrap(release, state.BASES / name)
        _finish_base(state.BASES / name)
    state.write_json(_base_marker(name), {**wanted, "made": time.time()})
    return name


def _base_marker(name: str) -> Path:
    return state.BASES / f"{name}.json"


def is_base(name: str) -> bool:
    """Whether there is a complete base of this name."""
    return bool(name) and (state.BASES / name).is_dir() and _base_marker(name).is_file()


def _remove_unused_bases() -> None:
    """Remove half-made bases and those that neither a host nor a snapshot stands on."""
    markers = [*state.HOSTS.glob("*.json"), *state.SNAPSHOTS.glob("*/*.json")]
    used = {state.read_json(marker).get("base") for marker in markers}
    for path in state.BASES.iterdir():
        if path.is_dir() and not (path.name in used and is_base(path.name)):
            _base_marker(path.name).unlink(missing_ok=True)
            remove_tree(path)


def _mmdebstrap(release: str, base: Path) -> None:
    archives = state.ARCHIVES
    apt_conf = state.LAB / "apt.conf"
    state.write(apt_conf, apt_settings() + HOST_FILES["etc/apt/apt.conf.d/50lab"])
    source_list = state.LAB / "sources.list"
    state.write(source_list, sources(release))
    run(
        # All of it ends with this program: the next one must not find it still writing.
        *("setpriv", "--pdeathsig", "KILL"),
        *("unshare", "--pid", "--fork", "--kill-child", "--mount", "--mount-proc"),
        *("env", f"TMPDIR={state.BASES}"),
        "mmdebstrap",
        "--quiet",
        "--mode=root",
        "--format=directory",
        "--variant=minbase",
        f"--aptopt={apt_conf}",
        "--dpkgopt=force-unsafe-io",
        # The downloads come from and go to the cache, as mmdebstrap(1) shows.
        "--skip=download/empty",
        "--skip=essential/unlink",
        "--skip=cleanup/apt",
        f"--setup-hook={_OFFER.format(archives=archives)}",
        f"--essential-hook={_HOLD_BACK}",
        f"--customize-hook={_CATCH_UP}",
        f"--include={','.join(BASE_PACKAGES)}",
        release,
        str(base),
        str(source_list),
        timeout=1200,
    )
    collect_packages(base)


def _finish_base(base: Path) -> None:
    for name, content in HOST_FILES.items():
        state.write(base / name, content)
    state.write(base / "etc/apt/apt.conf.d/40machine", apt_settings())
    run("systemctl", f"--root={base}", "--quiet", "mask", *UNITS_OFF)
    run("systemctl", f"--root={base}", "--quiet", "enable", "systemd-networkd", "ssh")
    # root's user manager need not start and stop with every SSH connection.
    state.write(base / "var/lib/systemd/linger/root", "")
    for pattern in (
        "etc/ssh/ssh_host_*",
        "var/cache/apt/archives/*.deb",
        "var/lib/dbus/machine-id",
    ):
        for path in base.glob(pattern):
            path.unlink()


def host_marker(host: LabHost, settings: LabSettings) -> dict[str, object]:
    """What a host was made for; a host made for something else is made anew."""
    return {
        "name": host.name,
        "release": settings.release,
        "addresses": [
            f"{network.address(host.offset)}/{network.cidr.prefixlen}"
            for network in settings.networks
        ],
    }


def marker_of(name: str) -> Path:
    return state.HOSTS / f"{name}.json"


def layer_of(name: str) -> Path:
    """The host's own layer: all that differs from the base."""
    return state.HOSTS / name / "upper"


def root_of(name: str) -> Path:
    """Where the host's file system is mounted, in a mount namespace of the host's own."""
    return state.HOSTS / name / "root"


def overlay_options(name: str) -> str:
    """The options of mount(8) that put the host's layer over its base."""
    base = state.BASES / str(state.read_json(marker_of(name)).get("base"))
    work = state.HOSTS / name / "work"
    return f"lowerdir={base},upperdir={layer_of(name)},workdir={work}"


def is_made(host: LabHost, settings: LabSettings) -> bool:
    """Whether the host is there, whole, and made for these addresses."""
    known = state.read_json(marker_of(host.name))
    base = str(known.pop("base", ""))
    whole = is_base(base) and layer_of(host.name).is_dir()
    return whole and known == host_marker(host, settings)


def make_host(host: LabHost, settings: LabSettings, base: str) -> None:
    """A fresh host on BASE with a name, keys and addresses of its own."""
    marker_of(host.name).unlink(missing_ok=True)
    remove_tree(state.HOSTS / host.name)
    layer = layer_of(host.name)
    for folder in (layer, root_of(host.name), state.HOSTS / host.name / "work"):
        folder.mkdir(parents=True)
    state.write(layer / "etc/hostname", host.name + "\n")
    state.write(layer / "etc/machine-id", uuid.uuid4().hex + "\n", 0o444)
    key = layer / "etc/ssh/ssh_host_ed25519_key"
    key.parent.mkdir()
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", host.name, "-f", str(key))
    ssh = layer / "root/.ssh"
    ssh.parent.mkdir(mode=0o700)
    ssh.mkdir(mode=0o700)
    state.write(ssh / "authorized_keys", state.KEY.with_suffix(".pub").read_text(), 0o600)
    for network in settings.networks:
        path = layer / f"etc/systemd/network/{network.nic}.network"
        state.write(path, _unit(host, network.nic, settings))
    refresh_host(layer, settings)
    offer_packages(layer)
    state.write_json(marker_of(host.name), {**host_marker(host, settings), "base": base})


def _unit(host: LabHost, nic: str, settings: LabSettings) -> str:
    network = next(one for one in settings.networks if one.nic == nic)
    lines = [
        "[Match]",
        f"Name={nic}",
        "[Network]",
        f"Address={network.address(host.offset)}/{network.cidr.prefixlen}",
        "LinkLocalAddressing=no",
        "IPv6AcceptRA=no",
        "ConfigureWithoutCarrier=yes",
    ]
    if network == settings.nat:
        lines.append(f"Gateway={network.gateway}")
    return "\n".join(lines) + "\n"


def refresh_host(root: Path, settings: LabSettings) -> None:
    """What may change while a host lives: the other hosts' names, the name servers."""
    for name, content in (("hosts", settings.hosts_file()), ("resolv.conf", resolv_conf())):
        state.write(root / "etc" / name, content)


def offer_packages(root: Path) -> None:
    """Give a host the packages that earlier runs downloaded, as hard links where that goes.

    Every host has its own archives directory, because apt locks it for as long as it downloads;
    what a host downloads itself is taken over by `collect_packages`.
    """
    target = root / "var/cache/apt/archives"
    target.mkdir(parents=True, exist_ok=True)
    for package in state.ARCHIVES.glob("*.deb"):
        _link_or_copy(package, target / package.name)


def collect_packages(root: Path) -> None:
    """Keep what a host has downloaded for the next lab."""
    for package in (root / "var/cache/apt/archives").glob("*.deb"):
        _link_or_copy(package, state.ARCHIVES / package.name)


def _link_or_copy(source: Path, target: Path) -> None:
    if target.exists():
        return
    try:
        os.link(source, target)
    except OSError:
        beside = target.with_suffix(".new")
        shutil.copyfile(source, beside)
        beside.rename(target)


def make_key() -> None:
    """The key that opens the lab's hosts, made once."""
    if state.KEY.exists() and state.KEY.with_suffix(".pub").exists():
        return
    state.KEY.unlink(missing_ok=True)
    run(
        "ssh-keygen",
        "-q",
        "-t",
        "ed25519",
        "-N",
        "",
        "-C",
        "pyinfra-nova-lab",
        "-f",
        str(state.KEY),
    )


def write_known_hosts(settings: LabSettings) -> None:
    """The hosts' own public keys, read from their disks: nothing is trusted on first sight."""
    lines = []
    for host in settings.hosts:
        public = (layer_of(host.name) / "etc/ssh/ssh_host_ed25519_key.pub").read_text().split()
        address = settings.management.address(host.offset)
        lines.append(f"{address},{host.name} {public[0]} {public[1]}\n")
    state.write(state.KNOWN_HOSTS, "".join(lines), 0o600)


def remove_tree(path: Path) -> None:
    """Delete a directory tree that no host runs from; refuse where something is mounted in it."""
    if not path.exists():
        return
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for mount in sorted((m for m in mounts if Path(m).is_relative_to(path)), reverse=True):
        say(f"unmount {mount}")
        run("umount", mount)
    run("rm", "-rf", "--one-file-system", str(path))


def machine_packages() -> list[str]:
    """What `up` installed on this machine."""
    return INSTALLED.read_text().split() if INSTALLED.exists() else []


def cache_size() -> int:
    """Bytes of downloaded packages kept."""
    return sum(path.stat().st_size for path in state.ARCHIVES.glob("*.deb"))
