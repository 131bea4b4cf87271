"""``./run bench --scale --ssh``: what real connections to many hosts cost, one of them late."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.light_hosts import LightHosts, light_hosts
from pyinfra_nova.session.typed_pyinfra import clean_environment

ROOT = Path(__file__).resolve().parents[1]
LATE_SECONDS = 20.0


def _inventory(hosts: LightHosts) -> Path:
    login = {
        "ssh_user": "root",
        "ssh_key": str(hosts.folder / "key"),
        "ssh_known_hosts_file": str(hosts.folder / "known_hosts"),
        "ssh_strict_host_key_checking": "yes",
    }
    entries = [(name, {"ssh_hostname": at, **login}) for name, at in hosts.addresses.items()]
    path = hosts.folder / "inventory.py"
    path.write_text(f"hosts = {entries!r}\n")
    return path


def measured(number: int) -> dict[str, Any]:
    """All figures, as they are kept."""
    print(f"{number} hosts ...", file=sys.stderr)
    with tempfile.TemporaryDirectory() as name, light_hosts(number, Path(name)) as hosts:
        late = next(iter(hosts.addresses))
        command = ["ip", "netns", "exec", hosts.hub, sys.executable, "-m", "bench.ask_hosts"]
        command += [str(_inventory(hosts)), late, hosts.namespace(late), str(LATE_SECONDS)]
        done = subprocess.run(
            command,
            cwd=name,
            env={**clean_environment(os.environ), "PYTHONPATH": str(ROOT), "HOME": name},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"bench: the hosts were not asked:\n{done.stderr[-3000:]}")
    figures: dict[str, Any] = json.loads(done.stdout)
    return {**figures, "late_by": LATE_SECONDS}


def table(figures: Mapping[str, Any]) -> list[str]:
    """FIGURES for people."""
    number = figures["hosts"]
    lines = [f"{number} hosts, {figures['at_once']} at once; {figures['memory']} MB"]
    for key, what in (("connect", "connect"), ("ask", "ask for a report")):
        wall, cpu = figures[key]["wall"], figures[key]["cpu"]
        lines.append(f"{what}: {wall} s, CPU of this side {1000 * cpu / number:.1f} ms a host")
    others, late = figures["last_of_the_others"], figures["late"]
    lines.append(
        f"with one host that stands still for {figures['late_by']:.0f} s: it answers after "
        f"{late} s, the last of the others after {others} s"
    )
    return lines
