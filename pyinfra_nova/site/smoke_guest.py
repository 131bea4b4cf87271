"""The guest that shows of a new compute that guests work there, before anybody else's come."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import Field, field_validator

from pyinfra_nova.site.section import Section
from pyinfra_nova.site.value_types import Text


class SmokeGuest(Section):
    """What the guest is made of, and what it has to show.

    Attributes:
        image: the name of one in Glance; it needs as much disk as it is large.
        network: the name of one that the administrator's project may use, with DHCP.
        ram: MiB of memory.
        expects: a regular expression for what its console says once its network works; None for
            one of its addresses, which cirros and cloud-init print.
        volume: whether Cinder, where the catalogue has it, has to give it a volume.
        timeout: seconds that one compute's proof may take.
        at_once: computes that are proven at the same time.
    """

    image: Text
    network: Text
    ram: Annotated[int, Field(ge=16, le=65536)] = 512
    expects: Text | None = None
    volume: bool = True
    timeout: Annotated[int, Field(ge=30, le=86400)] = 600
    at_once: Annotated[int, Field(ge=1, le=100)] = 10

    @field_validator("expects")
    @classmethod
    def _is_an_expression(cls, value: str | None) -> str | None:
        try:
            re.compile(value or "")
        except re.error as error:
            raise ValueError(f"is no regular expression: {error}") from None
        return value
