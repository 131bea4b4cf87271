"""The base file system that all hosts share: a Debian made once, never written afterwards."""

from __future__ import annotations

import time
from pathlib import Path

from lab import state
from lab.package_cache import collect_packages
from lab.shell import run, step
from lab.this_machine import apt_settings, sources

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
            state.remove_tree(path)


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
