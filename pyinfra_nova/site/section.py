"""What everything has in common that an operator gives as keys and values."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from ipaddress import IPv4Address, IPv4Network
from types import NoneType
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator


class Section(BaseModel):
    """A group of settings; a key that it does not name is an error, which shows no value.

    So is a value of another type, which would be made one that was not meant: "10" of the number,
    the address 0.0.3.234 of 1002.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    @field_validator("*", mode="before")
    @classmethod
    def _is_of_its_type(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, (str, int, float)):
            problem = _problem(type(value), _types_of(cls, str(info.field_name)))
            if problem:
                raise ValueError(problem)
        return value


def _problem(given: type, types: frozenset[type]) -> str:
    if given is str and types <= {int, float, bool}:
        return "is text: write it without quotes"
    if given is bool and types <= {int, float}:
        return "has to be a number"
    if given is not str and types <= {IPv4Address, IPv4Network}:
        return "is a number: write the address in quotes"
    return ""


@cache
def _types_of(model: type[BaseModel], name: str) -> frozenset[type]:
    """The types that the field NAME of MODEL takes, beside None."""
    return frozenset(_flat(model.model_fields[name].annotation)) - {NoneType}


def _flat(annotation: Any) -> Iterator[type]:
    if isinstance(annotation, type) and not get_args(annotation):
        yield annotation
        return
    inner = get_args(annotation)
    # What stands behind the first of Annotated are conditions.
    for each in inner[:1] if hasattr(annotation, "__metadata__") else inner:
        yield from _flat(each)
    if not inner:
        yield object
