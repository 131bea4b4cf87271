"""Who connects to a host's libvirt with a certificate, and whether libvirt lets him in."""

from __future__ import annotations

import socket
import ssl
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from .conftest import ROOT

PORT = 16514
LET_IN = b"\1"
"""What libvirt says once it has looked at the certificate (src/rpc/virnetserverclient.c)."""


def read(host: str, *paths: str) -> str:
    """What files of HOST hold, which is shown by no test."""
    command = ("./run", "ssh", host, f"cat {' '.join(paths)}")
    return subprocess.check_output(command, cwd=ROOT, text=True)


@dataclass(frozen=True)
class Peer:
    """A certificate with its key, as a host had it.

    Attributes:
        pem: both of them.
    """

    pem: str = field(repr=False)

    @classmethod
    def of(cls, host: str) -> Peer:
        """Whom HOST shows itself as to other computes."""
        pki = "/etc/pki/libvirt"
        shown = read(host, f"{pki}/clientcert.pem", f"{pki}/private/clientkey.pem")
        assert shown.count("-----BEGIN ") == 2
        return cls(shown)

    def is_let_in(self, address: str) -> bool:
        """Whether libvirt at ADDRESS takes its commands; who answers there, others look at."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "pem")
            path.touch(mode=0o600)
            path.write_text(self.pem)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            context.load_cert_chain(path)
        try:
            with (
                socket.create_connection((address, PORT), 10) as connection,
                context.wrap_socket(connection) as stream,
            ):
                return stream.recv(1) == LET_IN
        except (ssl.SSLError, ConnectionResetError):
            return False
