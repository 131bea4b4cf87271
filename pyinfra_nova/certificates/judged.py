"""What is wrong with a certificate that somebody else has made, as those find who are shown it.

Nova and its services verify with OpenSSL, libvirt and QEMU with GnuTLS. What either of them refuses
is refused here.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Iterator, Sequence
from ipaddress import ip_address

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa

from pyinfra_nova.certificates.authority import is_of
from pyinfra_nova.certificates.purposes import Purpose

LONGEST_CHAIN = 8
"""Certificates between a host's own and its authority, at most; a circle has no end."""
READ_BY_GNUTLS = ("libvirt", "qemu", "screen")
"""Purposes whose daemons look at a certificate of their own before they show it (libvirt's
src/rpc/virnettlscert.c before 11, QEMU's crypto/tlscredsx509.c before 10.1)."""
SMALLEST_RSA = 2048
WEAK_HASHES = ("md5", "sha1")
"""Refused by OpenSSL at Debian's and EL's security level 2, as are smaller keys of RSA."""


def is_authority(certificate: x509.Certificate) -> bool:
    """Whether CERTIFICATE says that others may be of it."""
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, ValueError):
        return False


def authority_problem(authority: x509.Certificate, now: dt.datetime) -> str:
    """What keeps daemons from starting with a file that has AUTHORITY, or trusting it; else empty.

    Its own signature is nobody's concern: it is trusted because it is in the file.
    """
    whose = authority.subject.rfc4514_string()
    if not is_authority(authority):
        return f"has a certificate that is no authority's: {whose}"
    if now >= authority.not_valid_after_utc:
        return f"has an authority that ended on {authority.not_valid_after_utc:%Y-%m-%d}: {whose}"
    if now < authority.not_valid_before_utc:
        begin = f"{authority.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
        return f"has an authority that is not valid before {begin}: {whose}"
    if problem := _signs_nothing(authority) or _short_key(authority):
        return f"has an authority that {problem}: {whose}"
    return ""


def missing_above(authority: x509.Certificate, trusted: Sequence[x509.Certificate]) -> str:
    """What OpenSSL lacks to take AUTHORITY's word, of all that are TRUSTED; empty if nothing.

    It goes on up to one that is its own, unless it is told otherwise (X509_V_FLAG_PARTIAL_CHAIN):
    Python tells it so from 3.13 on, in create_default_context alone (PyMySQL), and urllib3 from 2.4
    on with that. py-amqp and MariaDB's client do not, and Erlang refuses such a one as well
    (unknown_ca, 25); GnuTLS takes any that is in its file.
    """
    if authority.subject == authority.issuer or any(is_of(authority, each) for each in trusted):
        return ""
    above = authority.issuer.rfc4514_string()
    return (
        f"has {authority.subject.rfc4514_string()}, but not {above}, which has signed it: OpenSSL "
        "takes the one only with the other; add that one's certificate to the file"
    )


def problem_of(
    chain: Sequence[x509.Certificate],
    trusted: Sequence[x509.Certificate],
    purpose: Purpose,
    names: Collection[str],
    now: dt.datetime,
) -> str:
    """What is wrong with a certificate, the first of CHAIN; empty if nothing is."""
    own = chain[0]
    for each in chain:
        if now < each.not_valid_before_utc:
            return f"is not valid before {each.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
        if now >= each.not_valid_after_utc:
            return f"ended on {each.not_valid_after_utc:%Y-%m-%d}"
    if weak := next(filter(None, map(_weakness, chain)), ""):
        return weak
    if is_authority(own):
        return "is an authority's own, which libvirt and QEMU do not show: put the host's own first"
    paths = list(_paths(chain, trusted))
    if not paths:
        return f"is of no authority in {purpose.authority}-ca.pem, nor are those after it"
    if purpose.is_server and (problem := _names_problem(own, names)):
        return problem
    if purpose.name in READ_BY_GNUTLS and (problem := _key_usage_problem(own)):
        return problem
    if lacking := _lacking(own, purpose):
        return f"is not for {lacking}"
    # An authority may be there twice, the new one beside that of before.
    found = [_path_problem(path, purpose) for path in paths]
    return "" if "" in found else found[0]


def _paths(
    chain: Sequence[x509.Certificate], trusted: Sequence[x509.Certificate]
) -> Iterator[list[x509.Certificate]]:
    """The ways from a host's certificate to the authorities that are TRUSTED, both included."""
    above = [*chain[1:LONGEST_CHAIN], None]
    for count, (here, following) in enumerate(zip(chain[:LONGEST_CHAIN], above, strict=False), 1):
        ends = [authority for authority in trusted if is_of(here, authority)]
        if ends:
            yield from ([*chain[:count], end] for end in ends)
            return
        if following is None or not is_of(here, following):
            return


def _path_problem(path: Sequence[x509.Certificate], purpose: Purpose) -> str:
    """What those above a host's certificate, the first of PATH, say that it must not be."""
    own, *above = path
    for count, each in enumerate(above):
        whose = each.subject.rfc4514_string()
        problem = "" if is_authority(each) else "is no authority"
        problem = problem or _signs_nothing(each) or _too_far_up(each, count)
        if not problem and (lacking := _lacking(each, purpose)):
            problem = f"vouches for nothing that is for {lacking}"
        if not problem and (excluded := _excluded(each, own)):
            problem = f"may not vouch for the names {', '.join(excluded)} (name constraints)"
        if problem:
            return f"is of {whose}, which {problem}"
    return ""


def _signs_nothing(authority: x509.Certificate) -> str:
    try:
        usage = authority.extensions.get_extension_for_class(x509.KeyUsage).value
    except (x509.ExtensionNotFound, ValueError):
        return ""  # good for everything (RFC 5280, 4.2.1.3)
    return "" if usage.key_cert_sign else "may sign no certificates (keyUsage without keyCertSign)"


def _too_far_up(authority: x509.Certificate, below: int) -> str:
    """Of BELOW, those between it and the host's own, it may allow less."""
    limit = authority.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length
    if limit is None or below <= limit:
        return ""
    return f"allows {limit or 'no'} other authorities below it (pathlen), and there are {below}"


def _lacking(certificate: x509.Certificate, purpose: Purpose) -> str:
    """What of PURPOSE a certificate is not for; above a host's own it is a limit, too."""
    try:
        usages = set(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except (x509.ExtensionNotFound, ValueError):
        return ""  # good for everything (RFC 5280, 4.2.1.12)
    return " and ".join(str(use._name) for use in purpose.usages if use not in usages)


# --- names ----------------------------------------------------------------------------------------


def _names_problem(certificate: x509.Certificate, names: Collection[str]) -> str:
    """Which of NAMES, by which others connect to it, a server's certificate lacks."""
    try:
        called = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return "has no subject alternative names, by which alone it is known"
    missing = [name for name in names if not _covers(called, name)]
    return f"does not hold the names {', '.join(missing)}" if missing else ""


def _covers(called: x509.SubjectAlternativeName, name: str) -> bool:
    try:
        return ip_address(name) in called.get_values_for_type(x509.IPAddress)
    except ValueError:
        pass
    names = [each.lower() for each in called.get_values_for_type(x509.DNSName)]
    # A star is one label, the first one (RFC 6125, 6.4.3), and OpenSSL wants two after it.
    _, _, rest = name.lower().partition(".")
    return name.lower() in names or ("." in rest and f"*.{rest}" in names)


def _excluded(authority: x509.Certificate, own: x509.Certificate) -> list[str]:
    """The names in OWN for which AUTHORITY may not vouch (RFC 5280, 4.2.1.10).

    One is enough to have the whole certificate refused, whichever name was asked for.
    """
    try:
        limits = authority.extensions.get_extension_for_class(x509.NameConstraints).value
        called = own.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return []
    found: list[str] = []
    for name in called:
        within = _WITHIN.get(type(name))
        if within is None:
            continue
        allowed = [e.value for e in limits.permitted_subtrees or () if type(e) is type(name)]
        refused = [e.value for e in limits.excluded_subtrees or () if type(e) is type(name)]
        is_allowed = not allowed or any(within(name.value, each) for each in allowed)
        if not is_allowed or any(within(name.value, each) for each in refused):
            found.append(str(name.value))
    return found


def _is_below(name: str, domain: str) -> bool:
    name, domain = name.lower(), domain.lower()
    return not domain or name == domain or name.endswith("." + domain.removeprefix("."))


_WITHIN: dict[type[x509.GeneralName], Callable[..., bool]] = {
    x509.DNSName: _is_below,
    x509.IPAddress: lambda address, network: address in network,
}


# --- keys and signatures --------------------------------------------------------------------------


def _short_key(certificate: x509.Certificate) -> str:
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < SMALLEST_RSA:
        return f"has an RSA key of {key.key_size} bits, and less than {SMALLEST_RSA} are refused"
    return ""


def _weakness(certificate: x509.Certificate) -> str:
    if short := _short_key(certificate):
        return short
    try:
        used = certificate.signature_hash_algorithm
    except UnsupportedAlgorithm:
        return "is signed in a way that nobody knows"
    return (
        f"is signed with {used.name}, which is refused" if used and used.name in WEAK_HASHES else ""
    )


def _key_usage_problem(certificate: x509.Certificate) -> str:
    """What libvirt and QEMU do not start with, although a key may have no use for it."""
    try:
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)
    except (x509.ExtensionNotFound, ValueError):
        return ""
    if not usage.critical or (usage.value.digital_signature and usage.value.key_encipherment):
        return ""
    return (
        "has a critical keyUsage without digitalSignature and keyEncipherment, both of which "
        "libvirt before 11 and QEMU before 10.1 want then, of every key: add them, or have it not "
        "be critical"
    )
