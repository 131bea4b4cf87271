"""A shell or a command on a host: ``python -m pyinfra_nova.commands.ssh INVENTORY HOST [COMMAND]``.

The connection is ``ssh`` itself with what the inventory says of the host, so a terminal, signals
and exit codes are those of ``ssh``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from pyinfra_nova.session.connections import load_inventory
from pyinfra_nova.site.names import named


def ssh_options(name: str, data: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    """The address, and the ssh_config(5) options, that pyinfra's connection data amount to."""
    wanted = {
        "User": data.get("ssh_user"),
        "Port": data.get("ssh_port"),
        "IdentityFile": data.get("ssh_key"),
        "UserKnownHostsFile": data.get("ssh_known_hosts_file"),
        "StrictHostKeyChecking": data.get("ssh_strict_host_key_checking"),
    }
    options = {key: str(value) for key, value in wanted.items() if value}
    return str(data.get("ssh_hostname") or name), options


def ssh_arguments(name: str, data: Mapping[str, Any], command: Sequence[str]) -> list[str]:
    """The ``ssh`` command line for a shell, or for COMMAND, on a host."""
    address, options = ssh_options(name, data)
    arguments = ["ssh", "-o", "LogLevel=ERROR"]
    if config := data.get("ssh_config_file"):
        arguments += ["-F", str(config)]
    for key, value in options.items():
        arguments += ["-o", f"{key}={value}"]
    become = ["sudo", "--"] if data.get("_sudo") else []
    if not command:
        return [*arguments, "-t", "--", address, *become, *(["-i"] if become else [])]
    return [*arguments, "--", address, *become, *command]


def main(arguments: Sequence[str]) -> int:
    """Become ``ssh``; returns only where there is no such host."""
    if len(arguments) < 2 or arguments[1] in ("-h", "--help"):
        print("usage: ./run ssh HOST [COMMAND...]", file=sys.stderr)
        return 2
    path, name, *command = arguments
    inventory = load_inventory(path)
    host = inventory.hosts.get(name)
    if host is None:
        known = named(list(inventory.hosts))
        print(f"{path}: no host named {name!r}; there are {known}", file=sys.stderr)
        return 2
    os.execvp("ssh", ssh_arguments(name, host.data.dict(), command))  # noqa: S606, S607
    return 255


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
