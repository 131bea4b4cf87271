"""``./run bench``: deploy prepared lab hosts by a bare shell script and by this project, compare.

Prints a table and keeps the figures in bench/results.json. Only the ratios say something about
another machine.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from urllib.parse import urlsplit

from bench import encryption, scale, ssh_scale
from lab.state import SNAPSHOTS
from pyinfra_nova.knowledge.platforms import platforms_of
from pyinfra_nova.nova_conf.certificate_files import certificate_files, issued
from pyinfra_nova.nova_conf.database_plugin import plugin_files
from pyinfra_nova.nova_conf.render import files_for
from pyinfra_nova.session.connections import load_inventory
from pyinfra_nova.session.ssh_command import ssh_options
from pyinfra_nova.session.typed_pyinfra import PYINFRA, clean_environment
from pyinfra_nova.site.load import site_of
from pyinfra_nova.site.secret_files import secrets_file
from pyinfra_nova.site.settings import Site
from pyinfra_nova.site.tls import TRUST

HERE = Path(__file__).resolve().parent
SNAPSHOT = "prepared"
LAST_LINES = 40
COMMAND_LOG = re.compile(r"Running command on (\S+):")


def timed(command: Sequence[str]) -> tuple[float, str]:
    """The seconds a command took and its output; a failure ends the benchmark."""
    started = time.monotonic()
    process = subprocess.run(
        list(command),
        env=clean_environment(os.environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    seconds = time.monotonic() - started
    if process.returncode:
        print(*process.stdout.splitlines()[-LAST_LINES:], sep="\n", file=sys.stderr)
        raise SystemExit(f"bench: {' '.join(command[:3])} ended with {process.returncode}")
    return seconds, process.stdout


def lab(inventory: str, *words: str) -> None:
    print(f"lab {' '.join(words)} ...", file=sys.stderr)
    timed([sys.executable, "-m", "lab", *words, "--inventory", inventory])


def prepare(inventory: str) -> None:
    """Hosts with everything but Nova: from the snapshot, or else from nothing."""
    if (SNAPSHOTS / SNAPSHOT).is_dir():
        lab(inventory, "restore", SNAPSHOT)
        return
    for words in (["down"], ["up"], ["snapshot", SNAPSHOT]):
        lab(inventory, *words)


def wait_until_ready(inventory: str, deadline: float = 180.0) -> None:
    """Until the preflight holds: freshly booted hosts are still starting their services."""
    until = time.monotonic() + deadline
    while True:
        process = subprocess.run(
            [str(PYINFRA), inventory, "deploy.py", "--dry", "-y"],
            env=clean_environment(os.environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if process.returncode == 0:
            return
        if time.monotonic() > until:
            raise SystemExit(f"bench: the lab does not get ready:\n{process.stderr}")
        time.sleep(2)


def write_files(site: Site, folder: Path) -> None:
    """The files that the bare script copies: the same ones that the deploy writes."""
    # The lab's hosts run Debian.
    platform = next(row for row in platforms_of(site.settings.release) if row.os == "debian")
    now = datetime.now(tz=timezone.utc)
    for host in site.hosts.values():
        certificates = issued(site, host, platform, {}, now)
        of_tls = [
            *certificate_files(site, host, platform, certificates),
            *plugin_files(site, host, platform),
        ]
        for file in (*of_tls, *files_for(site, host, platform, "qemu")):
            path = folder / host.name / file.path.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(file.content)
        owners = [f"chown {f.owner}:{f.group} {f.path}\nchmod {f.mode} {f.path}\n" for f in of_tls]
        (folder / f"{host.name}.owners").write_text("".join(owners))
    words = {
        "SCHEME": urlsplit(site.settings.endpoints.internal).scheme,
        "CAFILE": TRUST,
        "NOVA_DATABASE_PASSWORD": sql_text(site.secrets.database_password.get_secret_value()),
        "MESSAGING_PASSWORD": shlex.quote(site.secrets.messaging_password.get_secret_value()),
        "NOVA_PASSWORD": shlex.quote(site.secrets.nova_password.get_secret_value()),
    }
    lines = [f"{name}={shlex.quote(word)}\n" for name, word in words.items()]
    (folder / "secrets.env").write_text("".join(lines))


def sql_text(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def floor(inventory: str, folder: Path) -> float:
    """Seconds that the bare shell script takes."""
    loaded = load_inventory(inventory)
    site = site_of(loaded, secrets_file(), inventory)
    write_files(site, folder)
    config = folder / "ssh_config"
    blocks = []
    for name, host in loaded.hosts.items():
        address, options = ssh_options(name, host.data.dict())
        lines = [f"Host {name}", f"  HostName {address}"]
        blocks.append("\n".join([*lines, *(f"  {key} {value}" for key, value in options.items())]))
    config.write_text("\n".join(blocks) + "\n")
    computes = [host.name for host in site.computes]
    controller = site.primary_controller.name
    command = ["sh", str(HERE / "floor.sh"), str(config), str(folder), controller, *computes]
    return timed(command)[0]


def deploy(inventory: str) -> float:
    return timed([str(PYINFRA), inventory, "deploy.py", "-y"])[0]


def remote_commands(inventory: str) -> Counter[str]:
    """How many commands a converged deploy runs on each host."""
    _, output = timed([str(PYINFRA), inventory, "deploy.py", "-y", "--debug"])
    return Counter(COMMAND_LOG.findall(output))


def many_hosts(connected: int | None) -> int:
    """Measure what many hosts cost, over SSH where it is said how many are CONNECTED."""
    try:
        figures = scale.measured() if connected is None else ssh_scale.measured(connected)
    except KeyboardInterrupt:
        return 130
    lines = scale.table(figures) if connected is None else ssh_scale.table(figures)
    name = "scale.json" if connected is None else "scale-ssh.json"
    (HERE / name).write_text(json.dumps(figures, indent=2) + "\n")
    print("\n".join(lines))
    return 0


def brought(inventory: str) -> None:
    """The lab as INVENTORY has it, deployed."""
    lab(inventory, "up")
    deploy(inventory)


def what_encryption_costs() -> int:
    """Measure one lab in plain text, then encrypted."""
    found = encryption.measured(brought, remote_commands)
    (HERE / "tls.json").write_text(json.dumps(found, indent=2) + "\n")
    shown_as_table(found)
    return 0


def shown_as_table(results: Mapping[str, object]) -> None:
    width = max(len(name) for name in results)
    for name, value in results.items():
        print(f"{name:<{width}}  {value}")


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark on the lab and print its table."""
    parser = argparse.ArgumentParser(prog="./run bench", description=__doc__)
    parser.add_argument("--inventory", default="inventory.py")
    parser.add_argument("--runs", type=int, default=5, help="converged deploys to time")
    parser.add_argument("--scale", action="store_true", help="what many hosts cost instead")
    parser.add_argument("--tls", action="store_true", help="what encryption costs instead")
    parser.add_argument("--ssh", action="store_true", help="with --scale: over real connections")
    parser.add_argument("--hosts", type=int, default=200, help="with --ssh: how many")
    options = parser.parse_args(arguments)
    if options.scale:
        return many_hosts(options.hosts if options.ssh else None)
    if options.tls:
        return what_encryption_costs()
    inventory = options.inventory

    prepare(inventory)
    wait_until_ready(inventory)
    with tempfile.TemporaryDirectory() as folder:
        floor_seconds = floor(inventory, Path(folder))
    lab(inventory, "restore", SNAPSHOT)
    wait_until_ready(inventory)
    deploy_seconds = deploy(inventory)
    converged = [deploy(inventory) for _ in range(options.runs)]
    commands = remote_commands(inventory)

    results = {
        "floor_seconds": round(floor_seconds, 1),
        "deploy_seconds": round(deploy_seconds, 1),
        "ratio": round(deploy_seconds / floor_seconds, 2),
        "converged_seconds_min": round(min(converged), 2),
        "converged_seconds_median": round(statistics.median(converged), 2),
        "converged_remote_commands": dict(sorted(commands.items())),
    }
    (HERE / "results.json").write_text(json.dumps(results, indent=2) + "\n")
    shown_as_table(results)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
