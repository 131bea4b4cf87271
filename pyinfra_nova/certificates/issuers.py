"""Which authorities stand behind a host's certificate for a purpose, and whom it lets in there."""

from __future__ import annotations

from pyinfra_nova.certificates.authority import Authority, authority, authority_below
from pyinfra_nova.certificates.purposes import Purpose


def issuer_name(purpose: Purpose, host: str) -> str:
    """What the authority is called that gives HOST its certificate for PURPOSE."""
    return purpose.below.format(host=host) if purpose.below else purpose.authority


def issuer(secret: str, purpose: Purpose, host: str) -> Authority:
    """The authority that gives HOST its certificate for PURPOSE."""
    return _named(secret, purpose, issuer_name(purpose, host))


def let_in(secret: str, purpose: Purpose, host: str) -> tuple[Authority, ...]:
    """Those whose certificates HOST takes from others where it shows the one for PURPOSE."""
    names = purpose.lets_in or (purpose.authority,)
    return tuple(_named(secret, purpose, name.format(host=host)) for name in names)


def _named(secret: str, purpose: Purpose, name: str) -> Authority:
    if name == purpose.authority:
        return authority(secret, name)
    return authority_below(secret, purpose.authority, name)
