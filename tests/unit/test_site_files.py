"""A mistake of Python in the inventory or in group data is a line that names file and line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pyinfra.api import State
from pyinfra.context import ctx_state
from pyinfra_cli import inventory

from pyinfra_nova.session.site_files import refuse_broken_files, run_site_file
from pyinfra_nova.site.faults import SettingsError


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "group_data").mkdir()
    with ctx_state.use(State()):
        yield tmp_path


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a = []\nlab = a + computes\n", "line 2: NameError: name 'computes' is not defined"),
        ("\nimport nosuch\n", "line 2: ModuleNotFoundError: No module named 'nosuch'"),
        ("a = (\n", "line 1: SyntaxError: '(' was never closed"),
        ("import json\n\njson.loads('{')\n", "line 3: JSONDecodeError: Expecting property name"),
        ("a = [\n  1,\n  b.c,\n]\n", "line 3: NameError: name 'b' is not defined"),
        ("raise KeyError\n", "line 1: KeyError"),
    ],
)
def test_the_line_at_which_a_file_ends_is_named(here: Path, text: str, said: str) -> None:
    path = here / "group_data" / "all.py"
    path.write_text(text)
    with pytest.raises(SettingsError) as caught:
        run_site_file(str(path))
    (fault,) = caught.value.faults
    assert str(fault).startswith(f"group_data/all.py: {said}")


def test_a_file_without_a_mistake_is_read_as_pyinfra_reads_it(here: Path) -> None:
    path = here / "inventory.py"
    path.write_text('computes = ["one"]\n')
    assert run_site_file(str(path), return_locals=True)["computes"] == ["one"]


def test_pyinfras_own_command_reads_both_this_way(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inventory, "exec_file", inventory.exec_file)
    refuse_broken_files()
    (here / "inventory.py").write_text('computes = ["one"]\n')
    (here / "group_data" / "computes.py").write_text("region = \n")
    with pytest.raises(SettingsError, match=r"group_data/computes\.py: line 1: SyntaxError"):
        inventory.make_inventory("inventory.py", cwd=str(here))
