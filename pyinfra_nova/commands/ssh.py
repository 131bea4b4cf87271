"""A shell or a command on a host: ``python -m pyinfra_nova.commands.ssh INVENTORY HOST [COMMAND]``.

The connection is ``ssh`` itself with what the inventory says of the host, so a terminal, signals
and exit codes are those of ``ssh``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from pyinfra_nova.session.connections import load_inventory
from pyinfra_nova.session.ssh_command import ssh_arguments
from pyinfra_nova.site.names import named


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
