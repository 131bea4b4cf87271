"""files/nova_state.py: what is read from files and rows, without a database."""

import datetime
from pathlib import Path
from typing import Any

import nova_state
import pytest


def revision(folder: Path, name: str, after: str | None) -> None:
    down = repr(after)
    (folder / f"{name}_x.py").write_text(
        f'"""x\n\nRevises: {after}\n"""\nrevision = {name!r}\ndown_revision = {down}\n'
    )


def test_the_head_is_the_revision_nobody_builds_on(tmp_path: Path) -> None:
    revision(tmp_path, "8f2f1571d55b", None)
    revision(tmp_path, "16f1fbcab42b", "8f2f1571d55b")
    assert nova_state.head(str(tmp_path)) == "16f1fbcab42b"


def test_no_package_means_no_head(tmp_path: Path) -> None:
    assert nova_state.head(str(tmp_path)) is None


def test_an_unregistered_compute_is_named_with_what_it_lacks() -> None:
    found = {
        "a": {"up": True, "node": True, "address": "10.0.0.1"},
        "b": {"up": False, "node": True, "address": "10.0.0.2"},
        "c": {"up": True, "node": False, "address": None},
        "e": {"up": True, "node": True, "address": "127.0.0.1"},
    }
    expected = {name: f"10.0.0.{number}" for number, name in enumerate("abcde", 1)}
    missing = nova_state.unregistered(found, expected)
    assert sorted(missing) == ["b", "c", "d", "e"]
    assert "not up" in missing["b"]
    assert "no compute node" in missing["c"]
    assert "has not registered" in missing["d"]
    assert "address 127.0.0.1 instead of 10.0.0.5" in missing["e"]


def test_a_server_that_is_not_there_is_an_answer() -> None:
    request = {
        "database": {"host": "127.0.0.1", "port": 1, "user": "nova", "password": "x"},
        "names": {"api": "nova_api", "cell0": "nova_cell0", "cell1": "nova"},
    }
    answer = nova_state.answer(request)
    assert answer["schemas"] == {"api": "missing", "cell0": "missing", "cell1": "missing"}
    assert answer["cells"] == [] and answer["error"]


@pytest.mark.parametrize(("seconds", "up"), [(60, False), (180, True)])
def test_a_compute_is_up_as_long_as_nova_itself_calls_it_so(
    monkeypatch: pytest.MonkeyPatch, seconds: int, up: bool
) -> None:
    seen = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=100)
    row = {"host": "compute1", "last_seen_up": seen, "forced_down": 0, "mapped": 1,
           "host_ip": "10.0.0.31"}  # fmt: skip

    def rows(*_: Any) -> list[dict[str, Any]]:
        return [row]

    monkeypatch.setattr(nova_state, "rows", rows)
    names = {"api": "nova_api", "cell0": "nova_cell0", "cell1": "nova"}
    found = nova_state.computes(None, {"names": names, "service_down_time": seconds})
    assert found["compute1"]["up"] is up
