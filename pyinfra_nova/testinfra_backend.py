"""Testinfra over pyinfra's own connections: the same inventory, keys, sudo and connectors."""

from __future__ import annotations

import re
from typing import Any

from pyinfra.api import StringCommand
from pyinfra.api.state import State
from testinfra.backend import base
from testinfra.host import Host
from typing_extensions import override

from pyinfra_nova.connection import connected

EXIT = re.compile(r"^pyinfra-nova-exit=(\d+)$")


class PyinfraBackend(base.BaseBackend):  # type: ignore[misc] # testinfra ships no types
    """Runs commands on a host of a loaded pyinfra state."""

    NAME = "pyinfra"

    def __init__(self, state: State, name: str) -> None:
        super().__init__(name)
        self.state = state
        self.name = name

    @override
    def run(self, command: str, *args: str, **_options: Any) -> base.CommandResult:
        # pyinfra says only whether a command succeeded; the code comes as a last line of its own.
        body = self.get_command(command, *args)
        line = f"{{ {body}\n}}; code=$?; echo; echo pyinfra-nova-exit=$code"
        with connected(self.state, self.name) as host:
            sudo = bool(host.data.get("_sudo"))
            _, output = host.run_shell_command(StringCommand(line), _sudo=sudo)
        lines = list(output.stdout_lines)
        match = EXIT.match(lines.pop()) if lines else None
        code = int(match.group(1)) if match else 255
        stdout = "\n".join(lines).removesuffix("\n")
        return self.result(code, self.encode(command), stdout, "\n".join(output.stderr_lines))


def testinfra_host(state: State, name: str) -> Host:
    """Testinfra's view of the host NAME of STATE's inventory."""
    return Host(PyinfraBackend(state, name))
