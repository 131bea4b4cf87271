"""A host that is asked something: connected, and its own words where it does not answer."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from paramiko import SSHException
from pyinfra import logger
from pyinfra.api.exceptions import ConnectError, PyinfraError
from pyinfra.api.host import Host
from pyinfra.api.state import State
from typing_extensions import override

from pyinfra_nova.session.connections import connected


class NoAnswerError(Exception):
    """A host that cannot be reached, or on which a question ended with an error."""


class _Errors(logging.Handler):
    """What pyinfra logs about a host that fails; its exception only counts the hosts left."""

    def __init__(self, name: str) -> None:
        super().__init__(logging.ERROR)
        self.prefix = f"[{name}]"
        self.texts: list[str] = []

    @override
    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if text.startswith(self.prefix):
            said = text.removeprefix(self.prefix).strip()
            self.texts += [] if said.startswith("Error: could not load fact") else [said]


@contextmanager
def answering(state: State, name: str) -> Iterator[Host]:
    """The host NAME, connected.

    Raises:
        NoAnswerError: it cannot be reached, or what was run there failed.
    """
    heard = _Errors(name)
    logger.addHandler(heard)
    try:
        with connected(state, name) as host:
            yield host
    except ConnectError as error:
        raise NoAnswerError(f"{name} cannot be reached: {error}") from None
    except PyinfraError as error:
        why = heard.texts[-1] if heard.texts else error
        raise NoAnswerError(f"{name} gives no answer: {why}") from None
    except (OSError, EOFError, SSHException) as error:  # the connection has ended
        raise NoAnswerError(f"{name} gives no answer: {error or type(error).__name__}") from None
    finally:
        logger.removeHandler(heard)
