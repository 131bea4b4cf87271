"""Which side moves first where Nova is to speak TLS and a service does not, or the other way."""

from __future__ import annotations

import re

from pyinfra_nova.resources.host_report import Check
from pyinfra_nova.site.settings import Site

PAGE = "docs/tls.md, Moving a cloud that runs"
IN_PLAIN_TEXT = re.compile(
    # files/common/trust.py; files/host_report.py of the catalogue.
    "speaks? plain text where TLS was expected|may speak plain text|in plain text: with tls on"
)
NOBODY = re.compile(r"\[Errno 111\]")
DENIED = re.compile(r"\b1045\b")
"""MariaDB's word, the same for a wrong password and for REQUIRE SSL."""
ENCRYPTED_ALONE = re.compile(
    "speaks TLS where plain text was expected"
    # Apache's words; MariaDB's with require_secure_transport (ER_SECURE_TRANSPORT_REQUIRED).
    r"|plain HTTP to an SSL-enabled|require_secure_transport|\b3159\b"
    # The catalogue has https, of an authority that this host does not know without tls.
    "|shows a certificate that (is self-signed|no trusted authority)"
)


def remedy(site: Site, check: Check, ordinary: str) -> str:
    """What is to be done about a CHECK that fails, ORDINARY unless one side has moved too early."""
    mode, is_on = site.settings.tls.mode, site.settings.tls.is_on
    if not is_on:
        if DENIED.search(check.detail):
            return f"{ordinary}; or the account is let in over TLS alone: ALTER USER … REQUIRE NONE"
        if not ENCRYPTED_ALONE.search(check.detail):
            return ordinary
        first, last = "have it accept plain text again, beside TLS", "TLS goes there last"
    else:
        first = "have it accept TLS as well, beside plain text"
        last = "plain text is refused there last"
    advice = f"tls.mode is {mode}: {first}; Nova moves then, and {last} ({PAGE})"
    if not is_on or IN_PLAIN_TEXT.search(check.detail):
        return advice
    # The broker has a port of its own for TLS; a closed one may be that it does not run, too.
    if check.name.startswith("RabbitMQ ") and NOBODY.search(check.detail):
        return f"{ordinary}; or nothing listens for TLS there yet, {advice}"
    return ordinary
