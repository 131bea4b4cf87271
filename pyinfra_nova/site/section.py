"""What everything has in common that an operator gives as keys and values."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A group of settings; a key that it does not name is an error, which shows no value."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
