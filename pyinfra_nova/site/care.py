"""What is done for the cloud day by day, on the primary controller; ``None`` leaves a part out."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from pyinfra_nova.site.section import Section

TIME_OF_DAY = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")
RECIPIENT = re.compile(r"(age1[0-9a-z]{58})|ssh-(ed25519|rsa) [A-Za-z0-9+/=]+( [^\n]*)?")
BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
"""Letters and polynomial of Bech32 (BIP 173), in which age writes its recipients."""
NO_RECIPIENT = (
    "no recipient of age: `age1` with 58 small letters and digits (`age-keygen -y KEY` prints it), "
    "or a public key of SSH"
)
FOLDER = re.compile(r"(/[A-Za-z0-9._@+-]+)+")


def _time_of_day(text: str) -> str:
    if not TIME_OF_DAY.fullmatch(text):
        raise ValueError(f"{text[:20]!r} is not a time of day such as 03:10")
    return text


def _folder(text: str) -> str:
    if not FOLDER.fullmatch(text) or "/.." in text:
        raise ValueError("is not the absolute path of a folder")
    return text


def _has_its_checksum(text: str) -> bool:
    """Whether no letter of a recipient of age is wrong: its last six tell (BIP 173)."""
    prefix, _, rest = text.rpartition("1")
    if set(rest) - set(BECH32):
        return False
    values = [*(ord(c) >> 5 for c in prefix), 0, *(ord(c) & 31 for c in prefix)]
    check = 1
    for value in (*values, *map(BECH32.index, rest)):
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for bit, term in enumerate(GENERATOR):
            check ^= term if top >> bit & 1 else 0
    return check == 1


def _recipient(text: str) -> str:
    if text.upper().startswith("AGE-SECRET-KEY-"):
        raise ValueError(
            "is a secret key of age; the recipient is what `age-keygen -y` makes of it"
        )
    found = RECIPIENT.fullmatch(text)
    if not found:
        raise ValueError(f"{text[:20]!r} is {NO_RECIPIENT}")
    if found[1] and not _has_its_checksum(text):
        raise ValueError(f"{text[:20]!r} has a wrong letter in it: copy it anew")
    return text


Days = Annotated[int, Field(ge=1, le=36500)]
TimeOfDay = Annotated[str, AfterValidator(_time_of_day)]
Every = Annotated[int, Field(ge=1, le=1440)]
Recipient = Annotated[str, AfterValidator(_recipient)]
Folder = Annotated[str, AfterValidator(_folder)]


class Archive(Section):
    """Deleted rows go to the shadow tables once a day.

    Attributes:
        days: how long a row has been deleted by then.
        at: when, in the controller's own time.
        batch: rows of one call, after which a deploy may come in between.
        pause: seconds between two calls, for the database to serve others.
    """

    days: Days = 30
    at: TimeOfDay = "03:10"
    batch: Annotated[int, Field(ge=1, le=100_000)] = 1000
    pause: Annotated[int, Field(ge=0, le=3600)] = 1


class Purge(Section):
    """What is in the shadow tables is deleted once a day.

    Attributes:
        days: how long a row has been deleted by then.
        at: when, in the controller's own time.
    """

    days: Days = 90
    at: TimeOfDay = "04:10"


class AuditTimer(Section):
    """The cloud's records are held against each other; EVERY is in minutes."""

    every: Every = 60


class Metrics(Section):
    """Figures for Prometheus' node_exporter.

    Attributes:
        every: minutes.
        folder: its ``--collector.textfile.directory``; nothing is written where there is none.
    """

    every: Every = 1
    folder: Folder = "/var/lib/prometheus/node-exporter"


class BackupTimer(Section):
    """A backup once a day, which stays on the first controller.

    Attributes:
        at: when, in the controller's own time.
        keep: how many of them stay; an older one goes once a new one is verified.
        folder: where they are; root's alone.
        recipient: for whom age encrypts them; who has that key opens them, the controller does not.
    """

    at: TimeOfDay = "02:10"
    keep: Annotated[int, Field(ge=1, le=10_000)] = 14
    folder: Folder = "/var/backups/pyinfra-nova"
    recipient: Recipient


class Care(Section):
    """All parts of it."""

    archive: Archive | None = Archive()
    purge: Purge | None = Purge()
    audit: AuditTimer | None = AuditTimer()
    metrics: Metrics | None = Metrics()
    backup: BackupTimer | None = None
