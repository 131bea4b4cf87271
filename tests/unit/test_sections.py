"""Every group of keys that an operator gives refuses the same things, in the same words."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator

import pytest
from pydantic import BaseModel, ValidationError

import pyinfra_nova.site
from pyinfra_nova.site.section import Section

FOLDER = pyinfra_nova.site.__path__


def groups() -> Iterator[type[BaseModel]]:
    for found in pkgutil.iter_modules(FOLDER):
        module = importlib.import_module(f"pyinfra_nova.site.{found.name}")
        for _, kind in inspect.getmembers(module, inspect.isclass):
            if issubclass(kind, BaseModel) and kind.__module__ == module.__name__:
                yield kind


@pytest.mark.parametrize("group", list(groups()), ids=lambda group: group.__name__)
def test_a_group_of_keys_is_a_section(group: type[BaseModel]) -> None:
    """One home for it: a new one cannot forget to hide what it refuses."""
    assert issubclass(group, Section)


@pytest.mark.parametrize("group", list(groups()), ids=lambda group: group.__name__)
def test_an_unknown_key_is_refused_without_its_value(group: type[BaseModel]) -> None:
    with pytest.raises(ValidationError) as refused:
        group.model_validate({"no_such_key": "a secret"})
    assert "no_such_key" in str(refused.value) and "a secret" not in str(refused.value)
