"""``ssh`` itself with what the inventory says of a host, where pyinfra's connection will not do.

Such as for a terminal, or for what is too much to be kept in memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


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
