"""Which side moves first where Nova is to speak TLS and a service does not yet, or the other way."""

from __future__ import annotations

import re

from pyinfra_nova.site.settings import Site

PAGE = "docs/tls.md, Moving a cloud that runs"
IN_PLAIN_TEXT = re.compile(
    # files/common/trust.py; files/host_report.py of the catalogue.
    r"speaks plain text|may speak plain text|in plain text: with tls on"
    # Nobody at the port for TLS: of RabbitMQ it is another one.
    r"|does not answer: \[Errno 111\]"
)
ENCRYPTED_ALONE = re.compile(
    r"speaks TLS where plain text was expected"
    # Apache's words; MariaDB's with require_secure_transport (ER_SECURE_TRANSPORT_REQUIRED).
    r"|plain HTTP to an SSL-enabled|require_secure_transport|\b3159\b"
    # The catalogue has https, of an authority that this host does not know without tls.
    r"|shows a certificate that (is self-signed|no trusted authority)"
    r"|does not answer: \[Errno 111\]"
)


def remedy(site: Site, detail: str) -> str | None:
    """What has to be done first where DETAIL says that a service speaks what Nova is not to.

    None where it is about something else.
    """
    mode = site.settings.tls.mode
    if site.settings.tls.is_on and IN_PLAIN_TEXT.search(detail):
        first = "have it accept TLS as well, beside plain text"
        then = "Nova moves then, and plain text is refused there last"
    elif not site.settings.tls.is_on and ENCRYPTED_ALONE.search(detail):
        first = "have it accept plain text again, beside TLS"
        then = "Nova moves then, and TLS goes there last"
    else:
        return None
    return f"tls.mode is {mode}: {first}; {then} ({PAGE})"
