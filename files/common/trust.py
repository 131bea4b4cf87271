"""Whom a script takes a server's word from: TLS as all of them speak it, and in a line what of it
was refused.

The authorities come with the request (session/host_script.py), as nothing has to be on a host yet;
what a timer starts reads them from a file and hands them to `rely_on`. Without any, nothing but
what has a URL with https is encrypted, and that is verified as by everybody on that host.
"""

import functools
import socket
import ssl
import sys
import time

import __main__

TIMEOUT = 10
# ssl.create_default_context, changed in 3.13: an authority that says no keyUsage is refused, too.
BY_ITSELF = (
    ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN if sys.version_info >= (3, 13) else 0
)
NOT_YET, EXPIRED, SELF_SIGNED = 9, 10, 18
UNKNOWN = (2, 7, 19, 20, 21, 24, 27, 30)
"""No issuer that is trusted, a signature that is not that issuer's, an issuer that may issue none
(openssl/x509_vfy.h)."""
ANOTHER_NAME = (62, 64)
"""Of a host, of an address."""
PLAIN = ("WRONG_VERSION_NUMBER", "UNKNOWN_PROTOCOL", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG")
"""What OpenSSL makes of bytes that are no record of TLS."""
OLD = ("UNSUPPORTED_PROTOCOL", "TLSV1_ALERT_PROTOCOL_VERSION", "VERSION_TOO_LOW")
ALERT = 0x15
"""How TLS begins that complains of plain text (RFC 8446, 5.1), with 3 after it."""
SILENT = "handshake operation timed out"
ENDS = "ends the connection at the first word of TLS: it may speak plain text"
NAMES = 6
"""Of a certificate that are told."""

TRUSTED = getattr(__main__, "message", {}).get("trusted")
"""The certificates of the authorities, in PEM; None where nothing is encrypted."""


class RefusedError(ConnectionError):
    """What is wrong with a server's TLS, in a line; nothing was said to it."""


def rely_on(pem):
    """Trust the authorities of PEM, and no others, from here on."""
    global TRUSTED
    TRUSTED = pem


def context():
    """How to speak TLS to whom TRUSTED authorities know by the name asked for; None without any."""
    return None if TRUSTED is None else _context(TRUSTED)


@functools.lru_cache(maxsize=3)
def _context(pem, is_named=True, more=0):
    found = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # it verifies, names included
    found.minimum_version = ssl.TLSVersion.TLSv1_2
    found.check_hostname = is_named
    found.verify_flags |= more
    found.load_verify_locations(cadata=_ascii(pem))
    return found


def as_python_does():
    """As `context`, and as strict as this Python is by itself, which is PyMySQL's way."""
    return None if TRUSTED is None else _context(TRUSTED, more=BY_ITSELF)


def beside_others():
    """How to speak TLS to the world: this host's own authorities are good beside the trusted."""
    found = ssl.create_default_context()
    found.load_verify_locations(cadata=_ascii(TRUSTED))
    return found


def _ascii(pem):
    # What stands between certificates is in any language, and read by nobody.
    return pem.encode("ascii", "replace").decode()


def connected(host, port, timeout=TIMEOUT):
    """A connection to a server, encrypted where anybody is trusted.

    Raises RefusedError for its TLS, any other OSError where it does not answer.
    """
    stream = socket.create_connection((host, port), timeout=timeout)
    return secured(stream, host, port) if TRUSTED is not None else stream


def secured(stream, host, port, begin=None, how=None):
    """STREAM, encrypted; where that is refused it is closed. BEGIN and errors as of `refusal`."""
    try:
        return (how or context()).wrap_socket(stream, server_hostname=host)
    except OSError as error:
        stream.close()
        text = refusal(error, (host, port), begin)
        if isinstance(error, ConnectionResetError):
            text = f"{place((host, port))} {ENDS}"
        raise (RefusedError(text) if text else error) from error


# --- what was refused -----------------------------------------------------------------------------


def place(where):
    host, port = where
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def refusal(error, where, begin=None):
    """In a line what of TLS is wrong with the server at WHERE, its host and port; None where ERROR
    is of anything else.

    BEGIN says on a new connection what has to be said there before TLS.
    """
    if getattr(error, "line", "")[:2] == chr(ALERT) + "\3":  # http.client.BadStatusLine
        return in_tls(where)
    is_tls = isinstance(error, (ssl.SSLError, ssl.CertificateError))
    what = _what(error, where, begin) if is_tls or SILENT in str(error) else None
    return what and f"{place(where)} {what}"


def in_tls(where):
    return f"{place(where)} speaks TLS where plain text was expected"


def in_plain_text(where):
    return f"{place(where)} speaks plain text where TLS was expected"


def _what(error, where, begin):
    code = getattr(error, "verify_code", None)
    if code is not None:
        return "shows a certificate " + _fault(code, error, where, begin)
    reason = getattr(error, "reason", None) or ""
    if reason in PLAIN:
        return "speaks plain text where TLS was expected"
    if reason in OLD:
        return "speaks no TLS from 1.2 on"
    if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
        return ENDS
    if SILENT in str(error):
        return "says nothing to the first word of TLS: it may speak plain text"
    return f"does not agree on TLS: {reason.replace('_', ' ').lower() or error}"


def _fault(code, error, where, begin):
    clock = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    if code == EXPIRED:
        return f"that has expired, by this host's clock of {clock}"
    if code == NOT_YET:
        return f"that is not valid yet, by this host's clock of {clock}"
    if code == SELF_SIGNED:
        return "that is self-signed: no trusted authority has issued it"
    if code in UNKNOWN:
        return "that no trusted authority has issued"
    if code in ANOTHER_NAME:
        names = _names_at(where, begin)
        known = ", ".join(names[:NAMES]) + (
            f" and {len(names) - NAMES} more" * (len(names) > NAMES)
        )
        return f"for {known or 'another name'}, and it was asked as {where[0]}"
    return f"that is refused: {error.verify_message}"


def speaks_tls(where):
    """Whether who answers at WHERE does so to TLS, whoever it is."""
    how = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    how.check_hostname, how.verify_mode = False, ssl.CERT_NONE
    try:
        with socket.create_connection(where, timeout=TIMEOUT) as plain:
            how.wrap_socket(plain).close()
            return True
    except OSError:
        return False


def _names_at(where, begin):
    """The names that the certificate at WHERE is for; only a trusted authority's is read."""
    how = ssl.create_default_context() if TRUSTED is None else _context(TRUSTED, is_named=False)
    how.check_hostname = False
    try:
        with socket.create_connection(where, timeout=TIMEOUT) as plain:
            if begin:
                begin(plain)
            # Nothing is sent there: it only shows its certificate.
            with how.wrap_socket(plain, server_hostname=where[0]) as stream:
                shown = stream.getpeercert()
    except OSError:
        return []
    return [str(name) for _, name in shown.get("subjectAltName", ())]
