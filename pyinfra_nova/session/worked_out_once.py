"""What pyinfra works out anew for each operation of each host, worked out once.

Most of what a run of many hosts costs the control machine goes there, and none of it has to.
tests/unit/test_worked_out_once.py holds what stands here against pyinfra's own.
"""

from __future__ import annotations

import sys
from copy import copy
from functools import cache
from importlib import import_module
from types import FrameType, SimpleNamespace
from typing import Any, cast

from pyinfra.api import arguments, facts, inventory, util
from pyinfra.api.arguments import AllArguments
from pyinfra.api.host import Host
from pyinfra.api.state import State

# The package has functions of these names.
_deploy: Any = import_module("pyinfra.api.deploy")
_operation: Any = import_module("pyinfra.api.operation")

_pop_global_arguments = arguments.pop_global_arguments


def operation_order(state: State) -> list[int]:
    """The lines of the deploy file, and of what it calls, that led to the operation at hand.

    pyinfra/api/util.py ``get_operation_order_from_stack`` has ``inspect`` find and read the source
    of every frame, twice, for no more than its file and line.
    """
    frames: list[FrameType] = []
    frame: FrameType | None = sys._getframe(1)
    while frame:
        frames.append(frame)
        frame = frame.f_back
    frames.reverse()
    start = 0
    if deploy_file := state.current_deploy_filename:
        found = (i for i, frame in enumerate(frames) if frame.f_code.co_filename == deploy_file)
        start = next(found, len(frames))
    lines = [
        frame.f_lineno
        for frame in frames[start:]
        if not frame.f_code.co_filename.startswith(util.PYINFRA_INSTALL_DIR)
    ]
    return [state.current_op_file_number, *lines]


class _HostWithPlainData:
    """A host as ``pop_global_arguments`` sees it, its data laid over one another beforehand."""

    def __init__(self, host: Host) -> None:
        data = host.data.dict()
        names = (name for name, _ in arguments.all_global_arguments() if name in data)
        self.data = SimpleNamespace(**{name: copy(data[name]) for name in names})
        self.current_deploy_kwargs = host.current_deploy_kwargs


def pop_global_arguments(
    state: State, host: Host, kwargs: dict[str, Any]
) -> tuple[AllArguments, list[str]]:
    """pyinfra/api/arguments.py's own, which lays all data over one another for each argument."""
    return _pop_global_arguments(state, cast(Host, _HostWithPlainData(host)), kwargs)


def install() -> None:
    """Have pyinfra use these from now on; calling it again changes nothing."""
    if _operation.pop_global_arguments is pop_global_arguments:
        return
    arguments.all_global_arguments = cache(arguments.all_global_arguments)
    inventory.get_all_connectors = cache(inventory.get_all_connectors)
    _operation.get_operation_order_from_stack = operation_order
    modules: tuple[Any, ...] = (_deploy, facts, _operation)
    for module in modules:
        module.pop_global_arguments = pop_global_arguments
