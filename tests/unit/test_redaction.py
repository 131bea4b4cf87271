"""No secret in what pyinfra prints."""

from __future__ import annotations

import json
import logging
import pickle
import re
import shlex
from collections.abc import Callable, Iterator
from urllib.parse import quote

import pyinfra
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from pyinfra.api import output
from pyinfra.connectors.util import write_stdin

from pyinfra_nova.nova_conf.values import option
from pyinfra_nova.session.redaction import MASK, Redactor, SecretFilter, SecretInput, install
from tests.unit.site_data import AWKWARD, secrets


@pytest.fixture
def printed() -> Iterator[list[str]]:
    """What pyinfra logs and echoes, with its state put back afterwards."""
    lines: list[str] = []

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.msg % record.args if record.args else str(record.msg))

    def echo(message: object = None, **_: object) -> None:
        lines.append(str(message))

    handler, level, before = Collect(), pyinfra.logger.level, output._echo
    pyinfra.logger.addHandler(handler)
    pyinfra.logger.setLevel(logging.DEBUG)
    output.set_echo(echo)
    yield lines
    pyinfra.logger.removeHandler(handler)
    pyinfra.logger.setLevel(level)
    for found in [f for f in pyinfra.logger.filters if isinstance(f, SecretFilter)]:
        pyinfra.logger.removeFilter(found)
    output.set_echo(before)


@pytest.mark.parametrize("secret", AWKWARD.values())
@pytest.mark.parametrize(
    "write",
    [str, repr, quote, lambda s: quote(s, safe=""), json.dumps, option, shlex.quote],
    ids=["bare", "repr", "path-quoted", "quoted", "json", "nova.conf", "shell"],
)
def test_every_way_to_write_a_secret_is_masked(secret: str, write: object) -> None:
    assert callable(write)
    written = write(secret)
    masked = Redactor(secrets()).mask(f"before {written} after")
    assert secret not in masked
    assert written not in masked
    assert MASK in masked
    assert masked.startswith("before ")
    assert masked.endswith(" after")


@pytest.mark.parametrize("secret", AWKWARD.values())
def test_one_way_inside_another_is_masked(secret: str) -> None:
    for written in (json.dumps(option(secret)), repr(json.dumps(secret)), quote(option(secret))):
        masked = Redactor(secrets()).mask(f"[{written}]")
        quotes = r"(?:[\\'\"]|%22)*"
        assert re.fullmatch(rf"\[{quotes}{re.escape(MASK)}{quotes}\]", masked)


def test_a_secret_inside_another_leaves_no_rest() -> None:
    held = secrets(nova_password="abcdefgh", admin_password="abcdefgh-and-more")
    assert Redactor(held).mask("x abcdefgh-and-more y") == f"x {MASK} y"


def test_log_and_echo_are_masked(printed: list[str]) -> None:
    held = secrets()
    install(held)
    value = held.nova_password.get_secret_value()
    pyinfra.logger.debug("set %s on %s", value, "controller")
    pyinfra.logger.error(f"100% of {value}")
    output.echo(f"+ password = {value}", err=True)
    output.echo()
    assert printed == [
        f"set {MASK} on controller",
        f"100% of {MASK}",
        f"+ password = {MASK}",
        "None",
    ]


def test_installing_again_changes_nothing(printed: list[str]) -> None:
    install(secrets())
    echo, filters = output._echo, list(pyinfra.logger.filters)
    install(secrets())
    assert output._echo is echo
    assert pyinfra.logger.filters == filters
    assert not printed


class Sink:
    """The end of a command's standard input, as pyinfra writes to it."""

    def __init__(self) -> None:
        self.content = b""

    def write(self, data: bytes) -> None:
        self.content += data

    def close(self) -> None:
        pass


def test_input_reaches_the_command_but_not_the_screen() -> None:
    text = json.dumps({"password": AWKWARD["metadata_secret"]}) + "\u2028"
    held, sink = SecretInput(text), Sink()
    write_stdin(held, sink)
    assert sink.content.decode() == text + "\n"
    assert AWKWARD["metadata_secret"] not in f"{held!r} {held} {vars(held).keys()}"
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(held)


class Replaced(str):
    """A text that counts how often something in it is replaced."""

    times = 0

    def replace(self, *arguments: object, **more: object) -> str:
        type(self).times += 1
        return super().replace(*arguments, **more)  # type: ignore[arg-type]


def test_a_line_without_any_part_of_a_secret_is_not_gone_through_for_each_way_to_write_it() -> None:
    redactor = Redactor(secrets())
    line = Replaced("[compute1] No changes")
    assert redactor.mask(line) is line
    assert Replaced.times == 0


@given(
    st.text(st.characters(exclude_categories=["C"]), min_size=8, max_size=30),
    st.text(max_size=10),
    st.sampled_from([str, repr, quote, json.dumps, shlex.quote, option]),
)
def test_no_secret_is_overlooked_for_what_its_ways_to_be_written_share(
    secret: str, around: str, write: Callable[[str], str]
) -> None:
    passwords = secrets().model_copy(update={"nova_password": SecretStr(secret)})
    text = f"{around}{write(secret)}{around}"
    assert secret in MASK or secret not in Redactor(passwords).mask(text)
