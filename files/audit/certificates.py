"""When certificates end: those of a server, read without trusting it, and those of a file.

Python tells the end only of a certificate that it has verified, so its few bytes are read here.
"""

import base64
import calendar
import re
import socket
import ssl

TIMEOUT = 3
PEM = re.compile(r"-----BEGIN CERTIFICATE-----(.+?)-----END CERTIFICATE-----", re.DOTALL)
BUNDLE = 10
"""Certificates in a file beyond which it is a distribution's, with some that have always ended."""
LARGEST = 1 << 20
VERSION, UTC_TIME = 0xA0, 0x17


class NoCertificateError(ValueError):
    """These bytes are no X.509 certificate."""


def part(data, start):
    """The tag, beginning and end of the value at START of DER (X.690, 8.1)."""
    tag, length, start = data[start], data[start + 1], start + 2
    if length & 0x80:
        size = length & 0x7F
        length, start = int.from_bytes(data[start : start + size], "big"), start + size
    return tag, start, start + length


def end_of(data):
    """The epoch of notAfter of a certificate in DER (RFC 5280, 4.1)."""
    try:
        _, start, _ = part(data, 0)
        _, start, _ = part(data, start)
        tag, _, _ = part(data, start)
        for _ in range(4 if tag == VERSION else 3):  # version, serial, algorithm, issuer
            start = part(data, start)[2]
        _, start, _ = part(data, start)
        tag, start, end = part(data, part(data, start)[2])
        text = data[start:end].decode("ascii")
        if tag == UTC_TIME:
            text = ("19" if text >= "50" else "20") + text
        numbers = [int(text[:4]), *(int(text[at : at + 2]) for at in range(4, 14, 2))]
        return float(calendar.timegm((*numbers, 0, 0, 0)))
    except (IndexError, ValueError) as error:
        raise NoCertificateError(str(error)) from None


def end_at(host, port, begin=None):
    """When the certificate ends that a server shows to whoever connects; BEGIN says what has to be
    said there before TLS.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    plain = socket.create_connection((host, port), timeout=TIMEOUT)
    with plain:
        if begin:
            begin(plain)
        with context.wrap_socket(plain, server_hostname=host) as stream:
            return end_of(stream.getpeercert(binary_form=True))


def first_end(path):
    """When the first certificate of a file ends; None for a file without one, and for a bundle."""
    with open(path, encoding="ascii", errors="replace") as stream:
        found = PEM.findall(stream.read(LARGEST))
    if not found or len(found) > BUNDLE:
        return None
    return min(end_of(base64.b64decode(text)) for text in found)
