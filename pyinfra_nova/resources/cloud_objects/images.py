"""Images in ``resources.yml``."""

from __future__ import annotations

import re
from functools import partial
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from pyinfra_nova.resources.cloud_objects.values import Number, Object, Texts, matching
from pyinfra_nova.site.value_types import Text, Url

CHECKSUM = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")


def _path(text: str) -> str:
    if not text.startswith("/") or text.endswith("/"):
        raise ValueError("is not an absolute path of a file on the primary controller")
    return text


Checksum = Annotated[
    str,
    AfterValidator(
        partial(
            matching,
            CHECKSUM,
            "is neither sha256: and 64 nor sha512: and 128 small hexadecimal digits",
        )
    ),
]
FilePath = Annotated[Text, AfterValidator(_path)]


class Image(Object):
    """An image of the administrator's project; without ``file`` and ``url`` it has to be there.

    Attributes:
        file: on the primary controller. url: fetched from there. Either needs disk_format.
        checksum: "sha512:..." or "sha256:..." of what the image holds.
        min_disk: GiB. min_ram: MiB.
        properties: anything else, as Glance keeps it; None takes one away.
        replace: an image that holds something else is uploaded anew, and the old one deleted.
    """

    file: FilePath | None = None
    url: Url | None = None
    checksum: Checksum | None = None
    disk_format: Literal["raw", "qcow2", "vmdk", "vdi", "vhd", "vhdx", "iso", "ami"] | None = None
    container_format: Literal["bare", "ovf", "ova", "ami"] = "bare"
    visibility: Literal["public", "private", "shared", "community"] | None = None
    min_disk: Number = 0
    min_ram: Number = 0
    properties: Texts = Field(default_factory=dict)
    replace: bool = False

    @model_validator(mode="after")
    def _agree(self) -> Image:
        if self.file and self.url:
            raise ValueError("file and url exclude each other")
        if self.url and not self.checksum:
            raise ValueError("url needs checksum: what a server sends has to be known beforehand")
        if self.file or self.url:
            self.needs("disk_format")
        elif self.checksum:
            raise ValueError("checksum needs file or url")
        for name in self.properties:
            if name in RESERVED or name.startswith("os_hash_"):
                raise ValueError(
                    f"property {name} is no property: Glance decides it, or another key"
                )
        return self


# glance/api/v2/images.py: attributes of an image beside its properties.
RESERVED = frozenset(
    (
        *("id", "name", "status", "created_at", "updated_at", "checksum", "size", "virtual_size"),
        *("owner", "file", "self", "schema", "direct_url", "locations", "tags", "visibility"),
        *("protected", "min_disk", "min_ram", "disk_format", "container_format", "stores"),
        *("deleted", "deleted_at", "is_public", "os_hidden"),
    )
)
