"""The key of Ceph that a compute's libvirt keeps for QEMU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr
from pyinfra import host
from pyinfra.api import operation

from pyinfra_nova.session.host_script import NO_ANSWER, ScriptFact, ask, script_command
from pyinfra_nova.session.steps import Commands, changing, refused, say


@dataclass(frozen=True)
class LibvirtSecret:
    """A secret of libvirt.

    Attributes:
        uuid: what volumes name it by.
        usage: what people see of it; no two secrets of a host have the same.
        value: base64, as Ceph prints its keys.
    """

    uuid: str
    usage: str
    value: SecretStr


class LibvirtSecretDifferences(ScriptFact):
    """What differs from the secrets that libvirt should have, or why it cannot be told."""

    script = "libvirt_secrets"


def _request(
    secret: LibvirtSecret | None, unwanted: Sequence[str], *, apply: bool
) -> dict[str, Any]:
    wanted = None
    if secret:
        value = secret.value.get_secret_value()
        wanted = {"uuid": secret.uuid, "usage": secret.usage, "value": value}
    return {"wanted": wanted, "unwanted": list(unwanted), "apply": apply}


@operation()
def kept(secret: LibvirtSecret | None, unwanted: Sequence[str] = ()) -> Commands:
    """Have SECRET in libvirt, for good, and none of UNWANTED that an earlier run gave it.

    Guests that run keep what they were given; the next volume is opened with the new value. A
    secret that a guest still names stays, and is said. A plan of a host whose libvirt does not
    answer says that it will be asked.
    """
    found = ask(host, LibvirtSecretDifferences, _request(secret, unwanted, apply=False))
    error = found.get("error", NO_ANSWER)
    if error and host.state.is_executing:
        yield from refused(f"libvirt does not tell its secrets: {error}")
        return
    if error:
        say(f"compare libvirt's secrets once libvirt answers ({error})")
    for text in (*found.get("changes", []), *found.get("remarks", [])):
        say(text)
    if error or found.get("changes"):
        yield changing(
            script_command("libvirt_secrets", "apply", _request(secret, unwanted, apply=True))
        )
