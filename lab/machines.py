"""Lab hosts as running systems: systemd-nspawn started, found, stopped.

A host's processes are the members of a control group of its own. That, and not a process id
or name, tells what belongs to it: it holds after a crash of this program, and for another clone.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lab import host_disks, network, state
from lab.base import make_base
from lab.settings import LabHost, LabSettings
from lab.shell import LabError, run, say, step, warn

UNIFIED = Path("/sys/fs/cgroup")
GROUP = "pyinfra-nova-lab"
START = Path(__file__).resolve().parent / "start_host.sh"
START_DEADLINE = 20
BOOT_DEADLINE = 90
STOP_DEADLINE = 45
POWEROFF = signal.SIGRTMIN + 4  # systemd(1): poweroff.target

SSH_OPTIONS = (
    "-i", str(state.KEY),
    "-o", f"UserKnownHostsFile={state.KNOWN_HOSTS}",
    "-o", "StrictHostKeyChecking=yes",
    "-o", "IdentitiesOnly=yes",
    "-o", "BatchMode=yes",
    "-o", "ConnectTimeout=3",
    "-o", "LogLevel=ERROR",
)  # fmt: skip


def machine_runs_systemd() -> bool:
    return Path("/run/systemd/system").is_dir()


def _is_unified() -> bool:
    return (UNIFIED / "cgroup.controllers").exists()


def _cgroup2() -> Path:
    """Where this machine shows the version 2 hierarchy of control groups; mounted if need be."""
    if _is_unified():
        return UNIFIED
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, rest = line.partition(" - ")
        if rest.split()[0] == "cgroup2":
            return Path(fields.split()[4])
    own = state.LAB / "cgroup2"
    own.mkdir(parents=True, exist_ok=True)
    run("mount", "-t", "cgroup2", "none", str(own))
    return own


def _as_service() -> bool:
    """systemd as PID 1 on unified control groups: hosts are then transient services of it."""
    return machine_runs_systemd() and _is_unified()


def _service(name: str) -> str:
    return f"{GROUP}-{name}.service"


def cgroup_of(name: str) -> Path:
    """The control group whose members are exactly the processes of host NAME."""
    if _as_service():
        return UNIFIED / "system.slice" / _service(name)
    return _cgroup2() / GROUP / name


def processes(name: str) -> list[int]:
    """The ids, on this machine, of the processes of host NAME.

    Groups of a running host come and go, as sessions and services end: walk() passes over one
    that is gone by the time it is opened, where Path.rglob() fails before Python 3.13.
    """
    found: list[int] = []
    for folder, _folders, files in os.walk(cgroup_of(name)):
        if "cgroup.procs" not in files:
            continue
        try:
            found += [int(line) for line in Path(folder, "cgroup.procs").read_text().split()]
        except OSError:
            continue
    return [pid for pid in found if pid > 0]


def is_running(name: str) -> bool:
    top = cgroup_of(name)
    events = top / "cgroup.events"
    return events.exists() and "populated 1" in events.read_text()


def known_names() -> list[str]:
    """All hosts that have files or processes, whichever inventory made them."""
    files = {path.name for path in state.HOSTS.glob("*") if path.is_dir()}
    groups = UNIFIED / "system.slice" if _as_service() else _cgroup2() / GROUP
    if _as_service():
        running = {
            path.name.removeprefix(f"{GROUP}-").removesuffix(".service")
            for path in groups.glob(f"{GROUP}-*.service")
        }
    else:
        running = {path.name for path in groups.glob("*") if path.is_dir()}
    return sorted(files | running)


def nspawn_command(host: LabHost, settings: LabSettings) -> list[str]:
    """The command line that is a host."""
    command = [
        "systemd-nspawn", "--quiet", "--boot", "--settings=no",
        f"--directory={host_disks.root_of(host.name)}", f"--machine={host.name}",
        "--register=no", "--keep-unit", "--link-journal=no", "--resolv-conf=off",
        "--console=read-only", "--kill-signal=SIGRTMIN+4",
        "--capability=all", "--system-call-filter=@keyring @module bpf",
        "--bind=/dev/net/tun",
    ]  # fmt: skip
    if has_kvm():
        command.append("--bind=/dev/kvm")
    command += [f"--network-veth-extra={host.veth(one)}:{one.nic}" for one in settings.networks]
    return command


def has_kvm() -> bool:
    """Whether guests can be accelerated: a device node alone does not mean that."""
    flags = Path("/proc/cpuinfo").read_text()
    return Path("/dev/kvm").exists() and any(flag in flags for flag in (" vmx", " svm"))


def _have_tun() -> None:
    """QEMU and Open vSwitch in the hosts need this machine's TUN device."""
    device = Path("/dev/net/tun")
    if not device.exists():
        run("modprobe", "tun", check=False)
    if not device.exists():
        raise LabError("this machine has no /dev/net/tun and cannot load the module tun")


def start(host: LabHost, settings: LabSettings) -> None:
    """Start a host; it puts its interfaces on the bridges, now and when it boots again.

    Raises:
        LabError: it did not get that far; with the end of its console.
    """
    veths = {host.veth(one): one.bridge for one in settings.networks}
    for veth in veths:
        network.remove_link(veth)
    state.LOGS.mkdir(exist_ok=True)
    log = state.LOGS / f"{host.name}.console"
    group = cgroup_of(host.name)
    command = [
        *("unshare", "--mount", "sh", str(START)),
        *(host_disks.overlay_options(host.name), str(host_disks.root_of(host.name))),
        *(str(group.relative_to(_cgroup2())), "v2" if _is_unified() else "v1"),
        " ".join(f"{veth}:{bridge}" for veth, bridge in veths.items()),
        *nspawn_command(host, settings),
    ]
    if _as_service():
        run("systemctl", "reset-failed", _service(host.name), check=False)
        run(
            *("systemd-run", "--quiet", "--collect", f"--unit={_service(host.name)}"),
            *("--description=host of the pyinfra-nova lab", "--property=Delegate=yes"),
            *("--property=KillMode=mixed", "--property=TasksMax=infinity"),
            f"--property=StandardOutput=truncate:{log}",
            *command,
        )
    else:
        group.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as console:
            subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,
                cwd="/",
            )
    deadline = time.monotonic() + START_DEADLINE
    while not all(network.is_attached(veth, bridge) for veth, bridge in veths.items()):
        if time.monotonic() > deadline:
            raise LabError(f"{host.name} did not start; its console:\n{_tail(log)}")
        time.sleep(0.02)


def _tail(log: Path) -> str:
    if not log.exists():
        return "(nothing)"
    return "\n".join(log.read_text(errors="replace").splitlines()[-15:])


def ssh(address: object, *command: str, timeout: float = 30) -> subprocess.CompletedProcess[str]:
    """Run COMMAND as root on the lab host at ADDRESS."""
    return run("ssh", *SSH_OPTIONS, f"root@{address}", *command, check=False, timeout=timeout)


def answers(address: object) -> bool:
    """Whether a host lets us in by SSH now."""
    try:
        with socket.create_connection((str(address), 22), timeout=1) as connection:
            connection.settimeout(2)
            if not connection.recv(4).startswith(b"SSH"):
                return False
        return ssh(address, "true", timeout=6).returncode == 0
    except (OSError, LabError):
        return False


def wait_until_up(host: LabHost, settings: LabSettings) -> None:
    """Wait until a started host answers SSH.

    Raises:
        LabError: it ended or did not answer in time; with the end of its console.
    """
    address = settings.management.address(host.offset)
    deadline = time.monotonic() + BOOT_DEADLINE
    while not answers(address):
        if not is_running(host.name) or time.monotonic() > deadline:
            log = state.LOGS / f"{host.name}.console"
            raise LabError(f"{host.name} does not answer SSH; its console:\n{_tail(log)}")
        time.sleep(0.1)


def init_of(name: str) -> int | None:
    """The process that is PID 1 inside host NAME."""
    for pid in processes(name):
        try:
            status = Path(f"/proc/{pid}/status").read_text()
        except OSError:
            continue
        numbers = next(line for line in status.splitlines() if line.startswith("NSpid:")).split()
        if len(numbers) == 3 and numbers[2] == "1":
            return pid
    return None


def _root_now(name: str) -> Path:
    """A host's files: as it sees them while it runs, else its own layer."""
    init = init_of(name)
    return Path(f"/proc/{init}/root") if init is not None else host_disks.layer_of(name)


def stop(names: Iterable[str], *, clean: bool = True) -> None:
    """Stop hosts: powered off with a deadline where CLEAN, ended at once otherwise."""
    running = [name for name in names if is_running(name)]
    if clean and running:
        for name in running:
            init = init_of(name)
            if init is not None:
                os.kill(init, POWEROFF)
        _wait_gone(running, STOP_DEADLINE)
    for name in running:
        if is_running(name):
            if clean:
                warn(f"{name} did not power off within {STOP_DEADLINE} s: ended")
            kill(name)
    _wait_gone(running, 10)
    for name in names:
        _clear_away(name)


def _wait_gone(names: Iterable[str], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while any(is_running(name) for name in names) and time.monotonic() < deadline:
        time.sleep(0.05)


def kill(name: str) -> None:
    """End all processes of host NAME, and none else, at once."""
    whole = cgroup_of(name) / "cgroup.kill"
    if whole.exists():
        whole.write_text("1")
        return
    for pid in processes(name):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def _clear_away(name: str) -> None:
    """Remove what nspawn leaves in /run and in the control groups."""
    top = cgroup_of(name)
    if top.exists() and not _as_service():
        for folder in sorted((path for path in top.rglob("*") if path.is_dir()), reverse=True):
            folder.rmdir()
        top.rmdir()
    left = Path("/run/systemd/nspawn")
    mine = [left / "propagate" / name, left / "unix-export" / name]
    for folder in (*mine, left / "propagate", left / "unix-export", left / "locks", left):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def healthy(host: LabHost, settings: LabSettings) -> bool:
    """Whether a host is whole, running, on its bridges (put there if not) and open to us."""
    if not (host_disks.is_made(host, settings) and is_running(host.name)):
        return False
    for one in settings.networks:
        veth = host.veth(one)
        if not Path(f"/sys/class/net/{veth}").exists():
            return False
        if not network.is_attached(veth, one.bridge):
            network.attach(veth, one.bridge)
    return answers(settings.management.address(host.offset))


def bring_up(settings: LabSettings) -> bool:
    """Have all hosts run; what is healthy stays as it is. True if any was started."""
    wanted = {host.name for host in settings.hosts}
    foreign = [name for name in known_names() if name not in wanted and is_running(name)]
    if foreign:
        say(f"stop {', '.join(foreign)}: not in this inventory (kept on disk)")
        stop(foreign)
    if all(host_disks.is_made(host, settings) for host in settings.hosts):
        # Names and keys of all hosts may have changed with the inventory.
        host_disks.write_known_hosts(settings)
    with ThreadPoolExecutor() as pool:
        fine = list(pool.map(lambda host: healthy(host, settings), settings.hosts))
    missing = [host for host, ok in zip(settings.hosts, fine, strict=True) if not ok]
    if not missing:
        for host in settings.hosts:
            host_disks.refresh_host(_root_now(host.name), settings)
        return False
    stop([host.name for host in missing if is_running(host.name)])
    unmade = [host for host in missing if not host_disks.is_made(host, settings)]
    if unmade:
        base = make_base(settings.release)
        with (
            step(f"make {', '.join(host.name for host in unmade)}"),
            ThreadPoolExecutor() as pool,
        ):
            list(pool.map(lambda host: host_disks.make_host(host, settings, base), unmade))
    for host in settings.hosts:
        host_disks.refresh_host(_root_now(host.name), settings)
    host_disks.write_known_hosts(settings)
    boot(missing, settings)
    return True


def boot(hosts: Sequence[LabHost], settings: LabSettings) -> None:
    _have_tun()
    with step(f"boot {', '.join(host.name for host in hosts)}"):
        for host in hosts:
            _clear_away(host.name)
            start(host, settings)
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda host: wait_until_up(host, settings), hosts))


def forget_cgroups() -> None:
    """Remove the lab's empty control group and a mount made for it."""
    if _as_service():
        return
    top = _cgroup2() / GROUP
    if top.is_dir():
        top.rmdir()
    own = state.LAB / "cgroup2"
    if own.is_mount():
        run("umount", str(own))
