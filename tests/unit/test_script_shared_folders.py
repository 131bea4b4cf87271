"""files/shared_folders.py: which guests' folders a compute shares with others."""

from __future__ import annotations

from pathlib import Path

import pytest
import shared_folders


@pytest.mark.parametrize(("is_shared", "there"), [(True, ["g1"]), (False, [])])
def test_a_folder_counts_where_it_is_on_shared_storage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_shared: bool, there: list[str]
) -> None:
    (tmp_path / "g1").mkdir()
    (tmp_path / "g2").touch()
    monkeypatch.setattr(shared_folders.host_guests, "is_shared", lambda _: is_shared)
    request = {"instances": str(tmp_path), "guests": ["g1", "g2", "g3"]}
    assert shared_folders.answer(request) == {"there": there}
