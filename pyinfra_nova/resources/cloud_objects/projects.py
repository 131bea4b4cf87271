"""Server groups, quotas and keypairs in ``resources.yml``."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from functools import partial
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from pyinfra_nova.resources.cloud_objects.values import (
    MAXIMUM,
    Check,
    Found,
    Object,
    Positive,
    matching,
)
from pyinfra_nova.site.secrets import forbidden_character
from pyinfra_nova.site.value_types import Text

# nova/api/validation/parameter_types.py.
KEYPAIR_NAME = re.compile(r"(?! )[a-zA-Z0-9 _-]{1,255}(?<! )")
# What sshd takes for an authorized key (OpenSSH, sshkey.c); the base64 begins with the type again.
KEY_TYPES = (
    *("ssh-rsa", "ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384"),
    *("ecdsa-sha2-nistp521", "sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com"),
)


def _public_key(text: str) -> str:
    words = text.split()
    if len(words) < 2 or words[0] not in KEY_TYPES:
        raise ValueError(f"is not a line of authorized_keys: {', '.join(KEY_TYPES)} and the key")
    if found := forbidden_character(text.strip()):
        raise ValueError(f"contains {found}")
    try:
        data = base64.b64decode(words[1], validate=True)
    except binascii.Error:
        raise ValueError("holds a key that is cut off or damaged") from None
    length = int.from_bytes(data[:4], "big")
    if data[4 : 4 + length].decode("ascii", "replace") != words[0] or len(data) < 32:
        raise ValueError("holds a key that is cut off, or of another type than it says")
    return text.strip()


KeypairName = Annotated[
    str,
    AfterValidator(
        partial(matching, KEYPAIR_NAME, "is not made of letters, digits, '_', '-' and spaces")
    ),
]
PublicKey = Annotated[str, AfterValidator(_public_key)]
Limit = Annotated[int, Field(ge=-1, le=MAXIMUM, strict=True)]
"""A quota; -1 is none."""


class ServerGroup(Object):
    """A rule about where guests of the administrator's project run, relative to each other.

    Attributes:
        replace: an empty group with another policy is made again.
    """

    policy: Literal["affinity", "anti-affinity", "soft-affinity", "soft-anti-affinity"] | None = (
        None
    )
    max_server_per_host: Positive | None = None
    replace: bool = False

    @model_validator(mode="after")
    def _agree(self) -> ServerGroup:
        self.needs("policy")
        # nova/api/openstack/compute/server_groups.py.
        if self.max_server_per_host and self.policy != "anti-affinity":
            raise ValueError("max_server_per_host needs policy anti-affinity")
        return self


class Quota(Object):
    """The limits of a project, named by the key; ``absent`` gives it the default ones again.

    Attributes:
        domain: of the project.
        ram: MiB. The others are counts; -1 is no limit.
    """

    domain: Text = "Default"
    instances: Limit | None = None
    cores: Limit | None = None
    ram: Limit | None = None
    key_pairs: Limit | None = None
    metadata_items: Limit | None = None
    server_groups: Limit | None = None
    server_group_members: Limit | None = None


class Keypair(Object):
    """A public key of the administrator's own user.

    Attributes:
        public_key: a line as in authorized_keys.
        replace: a key that differs is deleted and made again; guests keep the one they have.
    """

    public_key: PublicKey | None = None
    replace: bool = False

    @model_validator(mode="after")
    def _complete(self) -> Keypair:
        self.needs("public_key")
        return self


class QuotaCheck(Check):
    """Quotas that the site keeps elsewhere."""

    def faults(self, quotas: Mapping[str, Quota]) -> Found:
        for host in self.site.controllers:
            driver = self.option(host, "quota", "driver")
            if quotas and "UnifiedLimits" in str(driver):
                remedy = "set limits with `openstack limit create`"
                problem = "with [quota] driver UnifiedLimitsDriver limits are Keystone's"
                yield self.wrong("quotas", problem, remedy)
                return
