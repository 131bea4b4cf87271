"""The key of Ceph that a compute's libvirt keeps for QEMU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr
from pyinfra import host
from pyinfra.api import operation

from pyinfra_nova.session.host_script import ScriptFact, ask, script_command
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

    def as_request(self, *, apply: bool) -> dict[str, Any]:
        value = self.value.get_secret_value()
        return {"uuid": self.uuid, "usage": self.usage, "value": value, "apply": apply}


class LibvirtSecretDifferences(ScriptFact):
    """What differs from the secret that libvirt should have, or why it cannot be told."""

    script = "libvirt_secrets"


@operation()
def present(secret: LibvirtSecret) -> Commands:
    """Have SECRET in libvirt, for good: defined, and with its value.

    Guests that run keep what they were given; the next volume is opened with the new value.
    A plan of a host whose libvirt does not answer says that it will be asked.
    """
    found = ask(host, LibvirtSecretDifferences, secret.as_request(apply=False))
    error = found.get("error")
    if error and host.state.is_executing:
        yield from refused(f"libvirt does not tell its secrets: {error}")
        return
    if error:
        say(f"compare libvirt secret {secret.uuid} once libvirt answers ({error})")
    for text in found.get("changes", []):
        say(text)
    if error or found.get("changes"):
        yield changing(script_command("libvirt_secrets", "apply", secret.as_request(apply=True)))
