"""Keep known secrets out of everything that pyinfra prints."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote, quote_plus

import pyinfra
from pyinfra.api import output
from typing_extensions import override

from pyinfra_nova.site.secrets import Secrets

MASK = "********"


class SecretInput:
    """Text for a command's standard input (pyinfra's ``_stdin``) that never shows itself."""

    def __init__(self, text: str) -> None:
        self._text = text

    def readlines(self) -> list[str]:
        """The text as pyinfra wants it: a list of lines."""
        return [self._text]

    def __iter__(self) -> Iterator[str]:
        return iter(self.readlines())

    def __repr__(self) -> str:
        return "SecretInput(********)"

    def __reduce_ex__(self, protocol: object) -> Any:
        raise TypeError("secret input is not pickled")


def _written(secret: str) -> Iterable[str]:
    """The ways a text is written: bare, in a URL, in nova.conf, in JSON, YAML, a quoted word."""
    return (
        secret,
        quote(secret, safe=""),
        quote(secret),
        quote(secret, safe=" +"),  # sqlalchemy/engine/url.py
        quote_plus(secret),
        secret.replace("$", "\\$"),
        secret.replace("$", "$$"),
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        repr(secret)[1:-1],
        repr('"' + secret)[2:-1],  # in a text with both kinds of quotes
        secret.replace("'", "''"),
        secret.replace("'", "'\"'\"'"),
    )


def forms(secret: str) -> frozenset[str]:
    """Every way in which SECRET may be met, one inside another included.

    Such as a line of nova.conf in JSON, or a quoted word in a message.
    """
    return frozenset(form for written in _written(secret) for form in _written(written))


def _mark(secret: str) -> str:
    """What every way of writing SECRET has in it: its longest run of letters and digits, or ""."""
    return max(re.findall("[A-Za-z0-9]+", secret), key=len, default="")


class Redactor:
    """Replaces the values of SECRETS wherever they occur in a text."""

    def __init__(self, secrets: Secrets) -> None:
        found = {form for value in secrets.masked for form in forms(value)}
        # Longest first, so that a secret inside another does not leave the rest of it.
        self._forms = sorted(found, key=lambda form: (-len(form), form))
        marks = {_mark(value) for value in secrets.masked}
        have_marks = all(any(mark in form for mark in marks) for form in self._forms)
        self._marks = sorted(marks) if have_marks else [""]

    def mask(self, text: str) -> str:
        """TEXT without any secret."""
        # Of the ways to write a secret there are dozens; few lines hold a part that all share.
        if not any(mark in text for mark in self._marks):
            return text
        for form in self._forms:
            text = text.replace(form, MASK)
        return text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Redactor) and self._forms == other._forms

    def __hash__(self) -> int:
        return hash(tuple(self._forms))


class SecretFilter(logging.Filter):
    """Masks every record of the logger it is added to."""

    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self.redactor = redactor

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        record.msg = self.redactor.mask(record.getMessage())
        record.args = ()
        return True


class MaskedEcho:
    """pyinfra's ``echo`` with every message masked."""

    def __init__(self, redactor: Redactor, echo: Any) -> None:
        self.redactor = redactor
        self.echo = echo

    def __call__(self, message: Any = None, **arguments: Any) -> None:
        text = message if message is None else self.redactor.mask(str(message))
        self.echo(text, **arguments)


def install(secrets: Secrets) -> None:
    """Mask SECRETS in pyinfra's log and output from now on; calling it again changes nothing."""
    redactor = Redactor(secrets)
    installed = (f for f in pyinfra.logger.filters if isinstance(f, SecretFilter))
    if not any(f.redactor == redactor for f in installed):
        pyinfra.logger.addFilter(SecretFilter(redactor))
    current = output._echo
    if not (isinstance(current, MaskedEcho) and current.redactor == redactor):
        output.set_echo(MaskedEcho(redactor, current))
