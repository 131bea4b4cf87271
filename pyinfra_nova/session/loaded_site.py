"""The site of an inventory file, outside of pyinfra's own command."""

from __future__ import annotations

from pyinfra.api.state import State

from pyinfra_nova.certificates.trust import trusted_pem
from pyinfra_nova.session import host_script, redaction
from pyinfra_nova.session.connections import allow_open_connections, load
from pyinfra_nova.site.faults import Fault, SettingsError
from pyinfra_nova.site.load import site_of
from pyinfra_nova.site.secret_files import secrets_file
from pyinfra_nova.site.settings import Site


def loaded(inventory: str) -> tuple[State, Site]:
    """The hosts and the settings.

    Raises:
        SettingsError: something is wrong with them.
    """
    try:
        state = load(inventory)
    except SettingsError:
        raise
    except Exception as problem:  # whatever Python says of a file that somebody else wrote
        # pyinfra has wrapped it, in something that has no text.
        cause = getattr(problem, "exception", problem)
        file = str(getattr(problem, "filename", inventory) or inventory)
        raise SettingsError([Fault(file, "", f"{type(cause).__name__}: {cause}")]) from None
    site = site_of(state.inventory, secrets_file(), inventory)
    redaction.install(site.secrets)
    host_script.trust(trusted_pem(site))
    allow_open_connections()
    return state, site
