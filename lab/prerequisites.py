"""What a Nova deployment builds on, put on the hosts by a pyinfra deploy of the lab's own."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

from lab import state
from lab.settings import LabSettings
from lab.shell import LabError, run, step

# As `pyinfra_nova.site.secret_files` has them, whose import would cost more than all else here.
SECRETS = (
    [Path(named)]
    if (named := os.environ.get("PYINFRA_NOVA_SECRETS"))
    else [Path(name) for name in ("secrets.yml", "secrets.sops.yml", "secrets.yml.age")]
)
CHECKOUT = Path(__file__).resolve().parents[1]
READ = ("lab/*.py", "lab/cloud/*.py", "lab/files/*", "lab/templates/*", "lab/guest/*",
        "group_data/*.py", "pyinfra_nova/*.py", "pyinfra_nova/certificates/*.py",
        "pyinfra_nova/resources/*.py", "pyinfra_nova/site/tls.py",
        "pyinfra_nova/nova_conf/certificate_files.py", "pyinfra_nova/nova_conf/config_file.py",
        "pyinfra_nova/nova_conf/render.py", "files/*", "files/common/*")  # fmt: skip
LOOKED_AT = 7 * 24 * 3600
"""Seconds after which it is asked again whether certificates are to be renewed."""


def is_recorded() -> bool:
    """Whether the hosts have what Nova builds on."""
    return state.PREPARED.exists()


def prepare(inventory: Path, settings: LabSettings, *, again: bool) -> None:
    """Run the lab's deploy, unless the hosts still run as that very deploy left them."""
    if not any(path.exists() for path in SECRETS):
        run(sys.executable, "-m", "pyinfra_nova.secrets", "init")
    run(sys.executable, "-m", "pyinfra_nova.secrets", "add-ceph-key")
    if settings.tls == "internal":
        run(sys.executable, "-m", "pyinfra_nova.secrets", "add-tls-secret")
    if not again and state.read_json(state.PREPARED) == _wanted(inventory, settings):
        return
    state.PREPARED.unlink(missing_ok=True)
    pyinfra = Path(sys.executable).with_name("pyinfra")
    command = [
        str(pyinfra),
        "-y",
        "--fail-percent",
        "0",
        str(inventory),
        str(CHECKOUT / "lab" / "deploy.py"),
    ]
    with step("put on them what Nova builds on"):
        done = subprocess.run(
            command,
            cwd=CHECKOUT,
            check=False,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "PYINFRA_NOVA_INVENTORY": str(inventory)},
        )
    if done.returncode != 0:
        raise LabError("the prerequisites were not completed; the next `up` goes on from there")
    # The deploy may have made the lab's secrets, which count as well.
    state.write_json(state.PREPARED, _wanted(inventory, settings))


def _wanted(inventory: Path, settings: LabSettings) -> dict[str, object]:
    certificates = {"week": int(time.time() // LOOKED_AT)} if settings.has_tls else {}
    return {
        **certificates,
        "digest": _digest(inventory, settings),
        "hosts": [host.name for host in settings.hosts],
        "block_storage": state.BLOCK_STORAGE.exists(),
    }


def _digest(inventory: Path, settings: LabSettings) -> str:
    """What the prerequisites depend on, secrets included, as one number."""
    paths = [inventory, *SECRETS, state.LAB / "secrets.yml"]
    paths += sorted((inventory.resolve().parent / "group_data").glob("*.py"))
    paths += [path for pattern in READ for path in sorted(CHECKOUT.glob(pattern))]
    if settings.certificates:
        paths += sorted(settings.certificates.rglob("*"))
    total = hashlib.sha256()
    for path in paths:
        if path.is_file():
            total.update(path.read_bytes() + b"\0")
    return total.hexdigest()
