"""Whether what goes between hosts is encrypted, and with whose certificates."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path, PurePath
from typing import Annotated, Any, Literal

from cryptography import x509
from pydantic import AfterValidator, Field, model_validator

from pyinfra_nova.site.section import Section

Mode = Literal["off", "internal", "provided"]
"""Plain text; certificates of authorities of the project's own; those that the site makes."""

FOLDER = "/etc/pyinfra-nova/tls"
TRUST = f"{FOLDER}/ca.pem"
"""On every host: the authorities that it takes the certificates of services from."""
SHORTEST = 2
"""Days. Of a certificate that ends sooner a deploy could not be repeated in time."""


def _local_file(text: str) -> str:
    if not text.strip() or "\0" in text:
        raise ValueError("is not the path of a file")
    return text


LocalPath = Annotated[str, AfterValidator(_local_file)]


DER = b"\x30"
"""What a certificate or a key begins with that is not in PEM: the tag of a sequence (X.690)."""


def as_pem(data: bytes, name: str) -> str:
    """How the certificate in DER that DATA, of file NAME, are becomes PEM; empty if it is none."""
    if data[:1] != DER:
        return ""
    made = f"{PurePath(name).stem}.pem"
    return f"is in DER, not PEM: openssl x509 -inform der -in {name} -out {made}"


def authorities_problem(data: bytes, name: str, now: dt.datetime) -> str:
    """What is wrong with DATA as a file, called NAME, of authorities in PEM; empty if nothing is.

    Of many some may have ended, as in what a system trusts.
    """
    if b"PRIVATE KEY" in data:
        return "holds a private key, and goes to every host"
    try:
        data.decode()
        found = x509.load_pem_x509_certificates(data)
    except UnicodeDecodeError:
        return as_pem(data, name) or "is no text"
    except ValueError:
        return as_pem(data, name) or "holds no certificates in PEM"
    for certificate in found:
        try:
            kind = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        except (x509.ExtensionNotFound, ValueError):
            kind = x509.BasicConstraints(ca=False, path_length=None)
        if not kind.ca:
            whose = certificate.subject.rfc4514_string()
            return f"holds a certificate that is no authority's: {whose}"
    last = max(certificate.not_valid_after_utc for certificate in found)
    if last <= now:
        return f"holds no authority that has not ended, the last on {last:%Y-%m-%d}"
    return ""


class Tls(Section):
    """What is encrypted: all that Nova says to anybody, or nothing.

    Attributes:
        mode: where certificates come from.
        certificates: the folder on this machine with the certificates that the site makes.
        cafile: a file on this machine with the authorities, in PEM, of services that others run.
        days: how long a certificate of the project's own is good for.
        renew_days: how long before its end a deploy makes a new one.
        minimum_version: of TLS; whoever speaks an older one is refused.
    """

    mode: Mode = "off"
    certificates: LocalPath | None = None
    cafile: LocalPath | None = None
    days: Annotated[int, Field(ge=SHORTEST, le=825)] = 90
    renew_days: Annotated[int, Field(ge=1)] = 30
    minimum_version: Literal["1.2", "1.3"] = "1.2"

    @model_validator(mode="before")
    @classmethod
    def _has_keys(cls, value: Any) -> Any:
        if not isinstance(value, (Mapping, Tls)):
            raise ValueError('is no section: write tls = {"mode": "internal"}, or another mode')
        return value

    @model_validator(mode="after")
    def _is_renewed_before_its_end(self) -> Tls:
        most = self.days * 2 // 3
        # No deploy renews what is provided: there it is when the table begins to warn.
        if self.mode != "provided" and self.renew_days > most:
            raise ValueError(
                f"renew_days ({self.renew_days}) is more than two thirds of days ({self.days}): "
                "certificates would hardly be made before they are made again, with a restart of "
                f"the APIs each time; leave renew_days at {most} or less"
            )
        return self

    @model_validator(mode="after")
    def _has_what_its_mode_needs(self) -> Tls:
        if self.mode == "provided" and self.certificates is None:
            raise ValueError('mode "provided" needs certificates, the folder that they are in')
        if self.mode == "internal" and self.certificates is not None:
            raise ValueError('certificates are of mode "provided"; leave them out, or say that')
        return self

    @property
    def is_on(self) -> bool:
        """Whether anything is encrypted at all."""
        return self.mode != "off"

    @cached_property
    def cafile_data(self) -> bytes:
        """What is in ``cafile``, read once a run; nothing without one.

        Raises:
            OSError: it cannot be read.
        """
        return Path(self.cafile).read_bytes() if self.cafile else b""

    @property
    def further_authorities(self) -> str:
        """The text of ``cafile``, which has been checked; empty without one."""
        return self.cafile_data.decode()
