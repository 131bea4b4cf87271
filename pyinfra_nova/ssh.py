"""A shell, or one command, on a host of the inventory: ``python -m pyinfra_nova.ssh INVENTORY HOST``.

The connection is ``ssh`` itself with what the inventory says of the host, so a terminal, signals
and exit codes are those of ``ssh``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from pyinfra_nova.inventory import load_inventory


def ssh_arguments(name: str, data: Mapping[str, Any], command: Sequence[str]) -> list[str]:
    """The ``ssh`` command line that pyinfra's connection data of a host amount to."""
    options = {
        "-i": data.get("ssh_key"),
        "-p": data.get("ssh_port"),
        "-F": data.get("ssh_config_file"),
    }
    arguments = ["ssh", "-o", "LogLevel=ERROR"]
    for option, value in options.items():
        if value:
            arguments += [option, str(value)]
    if known := data.get("ssh_known_hosts_file"):
        arguments += ["-o", f"UserKnownHostsFile={known}"]
    if strict := data.get("ssh_strict_host_key_checking"):
        arguments += ["-o", f"StrictHostKeyChecking={strict}"]
    user = data.get("ssh_user")
    address = str(data.get("ssh_hostname") or name)
    destination = f"{user}@{address}" if user else address
    become = ["sudo", "--"] if data.get("_sudo") else []
    if not command:
        return [*arguments, "-t", destination, *become, *(["-i"] if become else [])]
    return [*arguments, destination, *become, *command]


def main(arguments: Sequence[str]) -> int:
    """Become ``ssh``; returns only where there is no such host."""
    if len(arguments) < 2 or arguments[1] in ("-h", "--help"):
        print("usage: ./run ssh HOST [COMMAND...]", file=sys.stderr)
        return 2
    path, name, *command = arguments
    inventory = load_inventory(path)
    host = inventory.hosts.get(name)
    if host is None:
        known = ", ".join(inventory.hosts)
        print(f"{path}: no host named {name!r}; there are {known}", file=sys.stderr)
        return 2
    os.execvp("ssh", ssh_arguments(name, host.data.dict(), command))  # noqa: S606, S607


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
