"""Which certificate a port serves, or which a file holds: SHA-256 of it, as hexadecimal digits.

Whoever serves one shows it before it wants to know who asks, so no certificate of one's own is
needed, and none is verified here: it is compared.
"""

import hashlib
import re
import socket
import ssl
import struct

from streams import exactly

TIMEOUT = 10
PEM = re.compile("-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
DER = 2
"""_ssl.ENCODING_DER."""
VENCRYPT = 19
"""RFB's number for it; what follows is in QEMU's ui/vnc-auth-vencrypt.c."""
WITH_CERTIFICATE = (260, 261, 262, 263, 264)
"""X509NONE, X509VNC, X509PLAIN, X509SASL..., of which each begins with the same handshake."""


class PlainError(OSError):
    """What speaks no TLS with certificates."""


def of_file(path):
    """That of the first certificate in a file of PEM; None where there is none."""
    try:
        with open(path, encoding="ascii", errors="replace") as stream:
            found = PEM.search(stream.read())
        return digest(ssl.PEM_cert_to_DER_cert(found.group())) if found else None
    except (OSError, ValueError):
        return None


def digest(certificate):
    return hashlib.sha256(certificate).hexdigest()


def of_stream(stream):
    """What is served on a connection at the point at which TLS begins. Raises OSError."""
    return chain_of_stream(stream)[0]


def chain_of_stream(stream):
    """The same with all that is shown after it, as a server's file has it. Raises OSError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    # Before 1.3 whoever has no certificate is turned away in the handshake itself.
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    with context.wrap_socket(stream) as secured:
        if secured.version() is None:  # a connection that is over already is wrapped and no more
            raise ConnectionResetError("the connection was ended before TLS began")
        return [digest(each) for each in chain(secured)]


def chain(secured):
    """What the other side has shown; before Python 3.10 nobody says more than the first of it."""
    if hasattr(secured, "get_unverified_chain"):  # since 3.13
        return secured.get_unverified_chain()
    if not hasattr(secured._sslobj, "get_unverified_chain"):
        return [secured.getpeercert(binary_form=True)]
    return [each.public_bytes(DER) for each in secured._sslobj.get_unverified_chain()]


def of_port(address, port):
    """What a port serves that speaks TLS from the first byte. Raises OSError."""
    with socket.create_connection((address, port), timeout=TIMEOUT) as stream:
        return of_stream(stream)


def chain_of_port(address, port, begin=None):
    """All that a port serves, with BEGIN for what is said before TLS begins. Raises OSError."""
    with socket.create_connection((address, port), timeout=TIMEOUT) as stream:
        if begin:
            begin(stream)
        return chain_of_stream(stream)


def of_screen(address, port):
    """What a VNC server serves. Raises OSError, PlainError where it speaks no TLS."""
    with socket.create_connection((address, port), timeout=TIMEOUT) as stream:
        go_on_to_tls(stream)
        return of_stream(stream)


def go_on_to_tls(stream):
    """Ask a VNC server for TLS, which begins then. Raises OSError, PlainError if it has none."""
    version = exactly(stream, 12)
    if not version.startswith(b"RFB 003."):
        raise OSError(f"it says {version!r}, which is no VNC")
    stream.sendall(b"RFB 003.008\n")
    if VENCRYPT not in exactly(stream, exactly(stream, 1)[0]):
        raise PlainError("it speaks no TLS")
    stream.sendall(bytes([VENCRYPT]))
    stream.sendall(exactly(stream, 2))  # of VeNCrypt the version that it has
    if exactly(stream, 1)[0]:
        raise OSError("it does not take its own version of VeNCrypt")
    count = exactly(stream, 1)[0]
    kinds = struct.unpack(f">{count}I", exactly(stream, 4 * count))
    kind = next((kind for kind in kinds if kind in WITH_CERTIFICATE), None)
    if kind is None:
        raise PlainError("its TLS has no certificate")
    stream.sendall(struct.pack(">I", kind))
    if exactly(stream, 1)[0] != 1:
        raise OSError("it does not go on to TLS")
