"""A command outside of a deploy: what it prints is shown as it comes, masked, with its host."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pyinfra.api import StringCommand, output
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.host import Host

from pyinfra_nova.session import redaction
from pyinfra_nova.session.connections import connected, load
from pyinfra_nova.session.host_script import carried_out
from pyinfra_nova.session.redaction import SecretInput

from .site_data import AWKWARD, secrets


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    lines: list[str] = []
    monkeypatch.setattr(output, "_echo", lambda text, **_: lines.append(text))
    redaction.install(secrets())
    return lines


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    monkeypatch.chdir(tmp_path)
    Path("one_host.py").write_text(
        "hosts = ['@local']\n"
    )  # pyinfra keeps what it has read by its name
    with connected(load("one_host.py"), "@local") as found:
        yield found


def test_it_is_shown_with_its_host_and_without_secrets(host: Host, shown: list[str]) -> None:
    said = StringCommand("cat; echo more >&2", _stdin=SecretInput(AWKWARD["admin_password"]))
    assert carried_out(host, said, shown=True) == [AWKWARD["admin_password"]]
    assert sorted(line.split()[-1] for line in shown) == ["********", "more"]
    assert all("[@local]" in line for line in shown)


def test_nothing_is_shown_of_what_only_answers(host: Host, shown: list[str]) -> None:
    assert carried_out(host, StringCommand("echo {}")) == ["{}"]
    assert shown == []


def test_a_failure_is_its_last_line(host: Host, shown: list[str]) -> None:
    failing = StringCommand("echo first >&2; echo no room >&2; exit 3")
    with pytest.raises(PyinfraError, match=r"^no room$"):
        carried_out(host, failing)
    with pytest.raises(PyinfraError, match=r"^it says nothing$"):
        carried_out(host, StringCommand("exit 1"))
