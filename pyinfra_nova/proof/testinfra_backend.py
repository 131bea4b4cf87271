"""Testinfra over pyinfra's own connections: the same inventory, keys, sudo and connectors."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from pyinfra.api import StringCommand
from pyinfra.api.arguments import CONNECTOR_ARGUMENT_KEYS, pop_global_arguments
from pyinfra.api.host import Host
from testinfra.backend import base
from typing_extensions import override

EXIT = re.compile(r"^pyinfra-nova-exit=(\d+)$")


class PyinfraBackend(base.BaseBackend):  # type: ignore[misc] # testinfra has no types
    """Runs commands on the host NAME, which CONNECT gives connected."""

    NAME = "pyinfra"

    def __init__(self, name: str, connect: Callable[[], AbstractContextManager[Host]]) -> None:
        super().__init__(name)
        self.connect = connect

    @override
    def run(self, command: str, *args: str, **_: Any) -> base.CommandResult:
        # pyinfra says only whether a command succeeded; the code comes as a last line of its own.
        body = self.get_command(command, *args)
        line = f"( {body}\n); code=$?; echo; echo pyinfra-nova-exit=$code"
        with self.connect() as host:
            # What the inventory says of sudo, su and the like.
            given, _ignored = pop_global_arguments(host.state, host, {})
            how = {key: value for key, value in given.items() if key in CONNECTOR_ARGUMENT_KEYS}
            _success, output = host.run_shell_command(StringCommand(line), **how)
        lines = list(output.stdout_lines)
        match = EXIT.match(lines.pop()) if lines else None
        code = int(match.group(1)) if match else 255
        return self.result(
            code, self.encode(command), "\n".join(lines), "\n".join(output.stderr_lines)
        )
