"""The hosts of an inventory file outside pyinfra's own command, over pyinfra's own connections.

With ``site_files.py`` what uses ``pyinfra_cli``, which is not a public API.
"""

from __future__ import annotations

import logging
import os
import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gevent
from gevent.pool import Pool
from paramiko import SSHClient, SSHException
from pyinfra.api import Config, State
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.host import Host
from pyinfra.api.inventory import Inventory
from pyinfra.api.state import StateStage
from pyinfra.context import ctx_config, ctx_host, ctx_inventory, ctx_state
from pyinfra_cli.inventory import make_inventory
from pyinfra_cli.util import exec_file

from pyinfra_nova.site.faults import Fault, SettingsError

# What it logs beside the exception that it raises, Python would print with its inside where nobody
# has asked for it (logging.lastResort): of a host that answers with no word of SSH, say.
logging.getLogger("paramiko").addHandler(logging.NullHandler())


def load(inventory_file: str) -> State:
    """A pyinfra state with the inventory, group data and config.py of the current directory.

    Raises:
        SettingsError: there is no such file.
    """
    if not Path(inventory_file).is_file():
        raise SettingsError([Fault(inventory_file, "", "no such inventory file")])
    state, config = State(), Config()
    state.cwd = os.getcwd()  # noqa: PTH109 - pyinfra keeps a str
    with ctx_state.use(state), ctx_config.use(config):
        if Path("config.py").exists():
            exec_file("config.py")
        config.lock_current_state()
        state.init(make_inventory(inventory_file, cwd=state.cwd), config)
    return state


def load_inventory(inventory_file: str) -> Inventory:
    """The inventory of a file with its group data; see ``load``."""
    inventory = load(inventory_file).inventory
    assert isinstance(inventory, Inventory)
    return inventory


LOSS = 45
"""Seconds of silence after which a host counts as lost."""


def notice_loss(host: Host) -> None:
    """Have the connection of HOST end when the host is gone: nothing else would end the waiting.

    Neither pyinfra nor paramiko gives up on a peer that went without a word.
    """
    client = getattr(host.connector, "client", None)
    if client:
        _say_its_end(client)
    transport = client.get_transport() if client else None
    connection = getattr(transport, "sock", None)
    if connection is None or not hasattr(connection, "setsockopt"):  # not SSH, or by way of a host
        return
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        ("TCP_KEEPIDLE", LOSS // 3),
        ("TCP_KEEPINTVL", LOSS // 9),
        ("TCP_KEEPCNT", 6),
        ("TCP_USER_TIMEOUT", LOSS * 1000),
    ):
        if hasattr(socket, option):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


def _say_its_end(client: SSHClient) -> None:
    """Have the end of a connection be an error of its host, as all others are.

    Where it ends just as a command is to be run, paramiko raises what pyinfra does not expect
    (paramiko/transport.py, open_channel; pyinfra/api/facts.py and operations.py).
    """
    run = client.exec_command

    def exec_command(*arguments: Any, **more: Any) -> Any:
        try:
            return run(*arguments, **more)
        except EOFError:
            raise SSHException("the connection has ended") from None

    client.exec_command = exec_command  # type: ignore[method-assign]


def is_lost(host: Host) -> bool:
    """Whether the connection of HOST has ended.

    For pyinfra a command that was under way has then ended with an error, and without a word.
    """
    client = getattr(host.connector, "client", None)
    transport = client.get_transport() if client else None
    gevent.sleep(0)  # it says so to who waits for the command before it notes it for itself
    return transport is not None and not transport.is_active()


def show_errors_once() -> None:
    """Keep gevent from printing pyinfra's own errors with a traceback.

    What an operation raises goes to the main greenlet, which shows it as an error; the hub would
    show it as well, as if nobody had expected it.
    """
    hub = gevent.get_hub()
    if PyinfraError not in hub.NOT_ERROR:
        hub.NOT_ERROR = (*hub.NOT_ERROR, PyinfraError)


def at_once(state: State) -> Pool:
    """Room for as many greenlets as pyinfra works on hosts at once: ``--parallel``.

    A host that is late takes up one place of it, and the others go on.
    """
    return Pool(state.pool.size)


def allow_open_connections() -> None:
    """Let this process have as many files open as the system lets it.

    Each host is a connection that stays open; often 1,024 are allowed until more are asked for.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def join(state: State, name: str) -> Host:
    """Bring a host that ``--limit`` leaves out into a run, connected where that succeeds."""
    host = state.inventory.get_host(name)
    host.connect()
    if host.connected:
        state.activate_host(host)
        state.limit_hosts.append(host)
    return host


def load_deploy(state: State, host: Host) -> None:
    """Run the deploy file for a host that has joined late, as pyinfra did for the others."""

    def load_file() -> None:
        with ctx_config.use(state.config.copy()), ctx_host.use(host):
            exec_file(state.current_deploy_filename)

    # A greenlet of its own: operations are ordered by where in the stack they are called.
    gevent.spawn(load_file).get()


@contextmanager
def using(context: Any, module: object) -> Iterator[None]:
    """MODULE as pyinfra's CONTEXT; unlike its own `use`, also undone where an exception ends it."""
    before = context.get()
    context.set(module)
    try:
        yield
    finally:
        context.set(before)


@contextmanager
def connected(state: State, name: str) -> Iterator[Host]:
    """The host NAME, connected, with pyinfra's context set to it.

    Raises:
        ConnectError: the host cannot be reached.
        NoHostError: the inventory has no such host.
    """
    host = state.inventory.get_host(name)
    with (
        using(ctx_state, state),
        using(ctx_inventory, state.inventory),
        using(ctx_config, state.config),
        using(ctx_host, host),
    ):
        if not host.connected:
            state.current_stage = StateStage.Connect
            host.connect(raise_exceptions=True)
        state.current_stage = StateStage.Execute
        yield host


@contextmanager
def reached(state: State, name: str) -> Iterator[Host]:
    """The host NAME in a run of pyinfra's; one that it leaves out is connected for the time being.

    Unlike ``connected`` it leaves the stage alone that the run is in.

    Raises:
        PyinfraError: the host cannot be reached.
    """
    host = state.inventory.get_host(name)
    if host.connected:
        with using(ctx_host, host):
            yield host
        return
    had_failed = host in state.failed_hosts
    with using(ctx_state, state), using(ctx_config, state.config), using(ctx_host, host):
        host.connect(raise_exceptions=True)
        notice_loss(host)
        try:
            yield host
        except (OSError, EOFError, SSHException) as error:  # the connection has ended
            raise PyinfraError(f"{name} gives no answer: {error or type(error).__name__}") from None
        finally:
            host.disconnect()
            if not had_failed:
                # The run would end with an error for a host that is not its own.
                state.failed_hosts.discard(host)
