"""What group data and the inventory may say to pyinfra itself, and what would belie a run."""

from __future__ import annotations

from typing import Any

import pytest
from pyinfra.api.arguments import all_global_arguments

from pyinfra_nova.site.faults import SettingsError
from pyinfra_nova.site.sources import REFUSED_ARGUMENTS
from tests.unit.site_data import HOSTS, site


def test_what_is_refused_is_what_pyinfra_knows() -> None:
    assert set(REFUSED_ARGUMENTS) <= {name for name, _ in all_global_arguments()}


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("_ignore_errors", True, "go on after what ends it"),
        ("_continue_on_error", True, "go on after what ends it"),
        ("_success_exit_codes", [0, 1], "go on after what ends it"),
        ("_if", lambda: False, "hosts would be passed over"),
        ("_run_once", True, "hosts would be passed over"),
        ("_stdin", "x", "passwords included"),
        ("_get_pty", True, "passwords included"),
        ("name", "x", "called the same"),
    ],
)
def test_no_argument_of_pyinfra_may_belie_what_a_run_says(key: str, value: Any, why: str) -> None:
    """As data it holds for each operation and each question of a run."""
    data = {key: value}
    places: list[tuple[str, dict[str, Any]]] = [
        (f"group_data/all.py: {key}", {"all_data": data}),
        (f"group_data/computes.py: {key}", {"group_data": {"computes": data}}),
        (f"inventory.py: compute1.{key}", {"hosts": {**HOSTS, "compute1": data}}),
        (f"--data: {key}", {"override_data": data}),
    ]
    for place, said in places:
        with pytest.raises(SettingsError) as caught:
            site(**said)
        text = f"{place}: is not to be set for all operations: "
        assert text in str(caught.value)
        assert why in str(caught.value)
        assert str(caught.value.faults[0]).endswith("; leave it out")


def test_an_argument_of_pyinfra_that_says_what_holds_anyway_is_let_be() -> None:
    site({"_ignore_errors": False, "_success_exit_codes": [0], "_if": None, "_timeout": 60})
