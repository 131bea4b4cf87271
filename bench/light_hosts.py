"""Many hosts to connect to: an SSH server each, in a network namespace of its own.

They share this machine's programs and read them only; passwd, /run and their address are their own.
A namespace holds the bridge that joins them, so nothing of this machine's networks is touched.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SSHD = Path("/usr/sbin/sshd")
PACKAGES = ("openssh-server", "libwrap0")
NETWORK = "10.77"
PREFIX = "nova-bench-"
READY = 60
"""Seconds for all servers to listen."""
CONFIG = """\
Port 22
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/key.pub
PermitRootLogin prohibit-password
PasswordAuthentication no
StrictModes no
UsePAM no
UseDNS no
PidFile none
"""
# In the mount namespace that `ip netns exec` makes: nothing of it is seen outside.
SERVE = """\
mount --bind {folder}/passwd /etc/passwd &&
mount -t tmpfs tmpfs /run && mkdir -m 755 /run/sshd /run/systemd /run/systemd/system &&
hostname {name} && exec {sshd} -D -f {folder}/sshd_config -E {folder}/log
"""


@dataclass(frozen=True)
class LightHosts:
    """Hosts that run.

    Attributes:
        folder: their keys and files.
        hub: the namespace from which they are reached.
        addresses: by name.
    """

    folder: Path
    hub: str
    addresses: dict[str, str]

    def namespace(self, name: str) -> str:
        return f"{self.hub}-{name}"


def _run(*command: str, stdin: str = "") -> str:
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"bench: {' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def pids_of(namespace: str) -> list[int]:
    """What runs in a namespace; in that of a host all of it is its server's."""
    return [int(word) for word in _run("ip", "netns", "pids", namespace).split()]


def _server(folder: Path) -> tuple[Path, str]:
    """The SSH server, and where it finds libraries: this machine's, or Debian's, only unpacked."""
    if SSHD.exists():
        return SSHD, ""
    print(f"fetch {', '.join(PACKAGES)}, to be unpacked in {folder} ...", file=sys.stderr)
    command = ["apt-get", "-q", "download", *PACKAGES]
    subprocess.run(command, cwd=folder, capture_output=True, check=True)
    for package in folder.glob("*.deb"):
        _run("dpkg-deb", "--extract", str(package), str(folder / "root"))
    libraries = (path.parent for path in (folder / "root").rglob("*.so.*"))
    return folder / "root" / SSHD.relative_to("/"), ":".join(map(str, dict.fromkeys(libraries)))


def _write_files(folder: Path, addresses: Sequence[str]) -> None:
    for name in ("host_key", "key"):
        _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name))
    (folder / "sshd_config").write_text(CONFIG.format(folder=folder))
    key = " ".join((folder / "host_key.pub").read_text().split()[:2])
    (folder / "known_hosts").write_text("".join(f"{a} {key}\n" for a in addresses))
    # Not this machine's root: what a login reads in its home would be what is measured.
    (folder / "passwd").write_text(
        "root:x:0:0::/:/bin/sh\nsshd:x:65533:65534::/run/sshd:/usr/sbin/nologin\n"
    )


def _connect(hosts: LightHosts) -> None:
    """The namespaces, each with a cable to the bridge in the hub."""
    names = list(hosts.addresses)
    spaces = [hosts.hub, *map(hosts.namespace, names)]
    _run("ip", "-batch", "-", stdin="".join(f"netns add {space}\n" for space in spaces))
    lines = ["link add bridge type bridge", f"address add {NETWORK}.0.1/16 dev bridge"]
    lines += ["link set lo up", "link set bridge up"]
    for name in names:
        lines.append(f"link add {name} type veth peer name eth0 netns {hosts.namespace(name)}")
        lines.append(f"link set {name} master bridge up")
    _run("ip", "-netns", hosts.hub, "-batch", "-", stdin="\n".join(lines) + "\n")
    for name, address in hosts.addresses.items():
        lines = ["link set lo up", f"address add {address}/16 dev eth0", "link set eth0 up"]
        _run("ip", "-netns", hosts.namespace(name), "-batch", "-", stdin="\n".join(lines) + "\n")


def _serve(hosts: LightHosts, sshd: Path, libraries: str) -> list[subprocess.Popen[bytes]]:
    environment = {**os.environ, "LD_LIBRARY_PATH": libraries} if libraries else None
    servers = []
    for name in hosts.addresses:
        script = SERVE.format(folder=hosts.folder, name=name, sshd=sshd)
        command = ["ip", "netns", "exec", hosts.namespace(name)]
        command += ["unshare", "--uts", "sh", "-c", script]
        servers.append(subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL))
    return servers


def _wait(hosts: LightHosts, servers: Sequence[subprocess.Popen[bytes]]) -> None:
    """Until all listen."""
    until = time.monotonic() + READY
    for name, server in zip(hosts.addresses, servers, strict=True):
        listening = ["ip", "netns", "exec", hosts.namespace(name), "cat", "/proc/net/tcp"]
        while ":0016 00000000:0000 0A" not in _run(*listening):
            if server.poll() is not None or time.monotonic() > until:
                raise SystemExit(f"bench: {name} does not listen: {hosts.folder / 'log'}")
            time.sleep(0.05)


def _remove(hosts: LightHosts, servers: Sequence[subprocess.Popen[bytes]]) -> None:
    """End what was started and remove the namespaces, with which cables and bridge go."""
    folder = Path("/run/netns")
    there = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    for name in hosts.addresses:
        if hosts.namespace(name) in there:
            for pid in pids_of(hosts.namespace(name)):
                try:
                    os.kill(pid, signal.SIGCONT)
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
    for server in servers:
        server.kill()
        server.wait()
    for space in (hosts.hub, *map(hosts.namespace, hosts.addresses)):
        if space in there:
            _run("ip", "netns", "delete", space)


@contextmanager
def light_hosts(number: int, folder: Path) -> Iterator[LightHosts]:
    """NUMBER hosts that accept the key in FOLDER; all of it is gone afterwards.

    Raises:
        SystemExit: they cannot be made here; the message says why.
    """
    if os.geteuid() != 0 or not shutil.which("ip"):
        raise SystemExit("bench: --ssh needs root, and `ip` of iproute2")
    addresses = {f"h{i}": f"{NETWORK}.{1 + i // 250}.{1 + i % 250}" for i in range(number)}
    hosts = LightHosts(folder, f"{PREFIX}{os.getpid()}", addresses)
    sshd, libraries = _server(folder)
    _write_files(folder, list(addresses.values()))
    servers: list[subprocess.Popen[bytes]] = []
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what follows is undone, too
    try:
        _connect(hosts)
        servers += _serve(hosts, sshd, libraries)
        _wait(hosts, servers)
        yield hosts
    finally:
        _remove(hosts, servers)
