"""Certificates that servers have read, as their ports show: nobody is restarted for a new one."""

from __future__ import annotations

import hashlib
import re
import ssl
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from pyinfra import host
from pyinfra.api import operation

from pyinfra_nova.session.host_script import NO_ANSWER, ScriptFact, ask, script_command
from pyinfra_nova.session.steps import Commands, Step, refused, taken
from pyinfra_nova.site.names import named

DEADLINE = 180
"""Seconds until a port has to show its new certificate. uwsgi leaves requests 60 to come to an end
(worker-reload-mercy), then loads the application."""
PEM = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


@dataclass(frozen=True)
class Server:
    """Who shows a certificate.

    Attributes:
        unit: it is the main process of that one.
        wanted: what is to be shown, as ``shown_of`` has it.
        means: how it is told to read its file again: by SIGHUP, by systemd, or by a command.
        greeting: what comes before TLS; None where that begins with the first byte.
    """

    unit: str
    address: str
    port: int
    wanted: tuple[str, ...]
    means: Literal["hup", "reload"] | tuple[str, ...]
    greeting: Literal["mysql"] | None = None


class UnreadCertificates(ScriptFact):
    """The units whose ports show another certificate."""

    script = "renewed_certificates"
    uses = ("trust", "sql", "streams", "served_certificates", "unit_logs", "units")


def shown_of(pem: str) -> tuple[str, ...]:
    """What a server shows that has read PEM: SHA-256 of each certificate there, in order."""
    found = (ssl.PEM_cert_to_DER_cert(text) for text in PEM.findall(pem))
    return tuple(hashlib.sha256(certificate).hexdigest() for certificate in found)


@operation()
def read(servers: Sequence[Server], deadline: int = DEADLINE) -> Commands:
    """Have SERVERS show what is wanted, without a restart, within DEADLINE seconds.

    What their ports show decides: who has been restarted meanwhile has read it.
    """
    request = {"servers": [asdict(server) for server in servers]}
    found = ask(host, UnreadCertificates, request)
    if not found:
        yield from refused(NO_ANSWER)
        return
    if units := found["behind"]:
        command = script_command(
            UnreadCertificates.script,
            "reread",
            {**request, "wait": deadline},
            UnreadCertificates.uses,
        )
        whose = "its new certificate" if len(units) == 1 else "their new certificates"
        yield from taken([Step(f"have {named(units)} read {whose}, without a restart", (command,))])
