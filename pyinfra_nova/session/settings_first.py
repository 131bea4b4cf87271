"""Settings are read before the first connection, and once a run.

pyinfra connects to all hosts before it reads deploy.py, so that a host without an address hid every
fault of the settings, and wrong ones were told only after all hosts had been reached.
"""

from __future__ import annotations

import logging
from pathlib import Path
from weakref import WeakKeyDictionary

import click
import pyinfra
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.state import State
from pyinfra.context import ctx_state
from typing_extensions import override

from pyinfra_nova.certificates.trust import trusted_pem
from pyinfra_nova.session import host_script
from pyinfra_nova.session.unmatched_patterns import CONNECTING
from pyinfra_nova.site.load import site_of
from pyinfra_nova.site.names import named
from pyinfra_nova.site.settings import Site
from pyinfra_nova.site.sources import INVENTORY_FILE

DEPLOY = "deploy.py"
_SITES: WeakKeyDictionary[State, Site] = WeakKeyDictionary()
_DEAD: WeakKeyDictionary[State, frozenset[str]] = WeakKeyDictionary()


class OnlyDeadHosts(PyinfraError):  # noqa: N818 - what there is
    """A run that names none but computes that have no power."""

    def __init__(self, names: list[str], controller: str) -> None:
        one = len(names) == 1
        super().__init__(
            f"{named(names)} {'is' if one else 'are'} dead in the inventory, so in this run there "
            f"is no host to work on: name {controller}, too, where their guests are seen to"
        )


def site_in(state: State, inventory_file: str = INVENTORY_FILE) -> Site:
    """The site of a run, read when it is asked for first.

    Raises:
        SettingsError: something in group_data, inventory or secrets is wrong.
    """
    if state not in _SITES:
        hosts = state.limit_hosts
        limit = None if hosts is None else [host.name for host in hosts]
        site = site_of(state.inventory, inventory_file=inventory_file, limit=limit)
        host_script.trust(trusted_pem(site))
        _SITES[state] = site
    return _SITES[state]


def dead_in(state: State) -> frozenset[str]:
    """The hosts that belong to a run, and to which nobody connects, because they have no power."""
    return _DEAD.get(state, frozenset())


def leave_out_dead(state: State, site: Site) -> None:
    """Take dead hosts out of a run before it connects, as ``--exclude`` would.

    Raises:
        OnlyDeadHosts: no other is left.
    """
    if not site.dead:
        return
    of_run = list(state.inventory) if state.limit_hosts is None else state.limit_hosts
    dead = {host.name for host in site.dead}
    mine = [host.name for host in of_run if host.name in dead]
    _DEAD[state] = frozenset(mine)
    state.limit_hosts = [host for host in of_run if host.name not in dead]
    if mine and not state.limit_hosts:
        raise OnlyDeadHosts(mine, site.primary_controller.name)


def _deployed() -> str | None:
    """The inventory file of pyinfra's command with deploy.py; ``exec -- ls`` wants no settings."""
    context = click.get_current_context(silent=True)
    given = context.params if context else {}
    is_deploy = any(Path(str(word)).name == DEPLOY for word in given.get("operations") or ())
    return str(given["inventory"]) if is_deploy else None


class _Reading(logging.Filter):
    @override
    def filter(self, record: logging.LogRecord) -> bool:
        if record.msg == CONNECTING and (inventory_file := _deployed()):
            state = ctx_state.get()
            leave_out_dead(state, site_in(state, inventory_file))
        return True


def read_settings_first() -> None:
    """Have pyinfra read them then; calling it again changes nothing. See ``unmatched_patterns``."""
    if not any(isinstance(known, _Reading) for known in pyinfra.logger.filters):
        pyinfra.logger.addFilter(_Reading())
