"""Flavors, aggregates, server groups, quotas, keypairs and images, as resources.yml has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pyinfra import host
from pyinfra.api import operation
from pyinfra.api.host import Host

from pyinfra_nova.resources.cloud_objects.declaration import Declared
from pyinfra_nova.resources.compute_api import Places
from pyinfra_nova.resources.keystone import KeystoneAdmin
from pyinfra_nova.session.host_script import NO_ANSWER, ScriptFact, ask, script_command
from pyinfra_nova.session.steps import Commands, changing, refused, say

USES = (
    *("trust", "rest", "keystone", "compute_api", "cloud_session"),
    *("cloud_flavors", "cloud_aggregates", "cloud_projects", "cloud_images"),
)


@dataclass(frozen=True)
class Declaration:
    """What is declared, and how to reach the cloud that it is declared of.

    Attributes:
        admin: who asks; server groups, keypairs and images are those of this user and project.
        region: whose endpoints are asked.
        places: where services are that are elsewhere.
        declared: what resources.yml says.
        left_out: computes that this run does not reach.
    """

    admin: KeystoneAdmin
    region: str
    declared: Declared
    places: Places
    left_out: tuple[str, ...] = ()

    def as_request(self, *, apply: bool) -> dict[str, Any]:
        """The script's request; the password goes in over standard input."""
        return {
            **self.admin.as_request(self.region, self.places),
            "declared": self.declared.given,
            "left_out": list(self.left_out),
            "apply": apply,
        }


class DeclaredDifferences(ScriptFact):
    """Whether the APIs answer the administrator, and what differs from what is declared."""

    script = "cloud_objects"
    uses = USES


class Differences(BaseModel):
    """What ``DeclaredDifferences`` answers.

    Attributes:
        error: why the APIs do not answer; then nothing else is known.
        changes: what would be changed, in order.
        refused: what differs, and is not changed unless the file says so.
        unregistered: hosts of aggregates that Nova does not know.
        remarks: what changes nothing, but keeps guests from being scheduled.
    """

    error: str | None
    changes: list[str] = []
    refused: list[str] = []
    unregistered: list[str] = []
    remarks: list[str] = []

    @classmethod
    def of(cls, host: Host, declaration: Declaration) -> Differences:
        """Those between DECLARATION and the cloud, asked from HOST."""
        answer = ask(host, DeclaredDifferences, declaration.as_request(apply=False))
        return cls.model_validate(answer or {"error": NO_ANSWER})


@operation()
def converged(declaration: Declaration) -> Commands:
    """Have what DECLARATION names in the cloud: created, brought in line, left alone.

    A plan of a site whose APIs do not answer yet says that they will be asked.
    Drift that nothing in the file allows to be mended ends the run before anything is changed, and
    so does a host of an aggregate that is no compute of the cloud by then.
    """
    found = Differences.of(host, declaration)
    if found.error and not host.state.is_executing:
        say(f"compare what is declared once the APIs answer ({found.error})")
    elif wrong := _wrong(found):
        yield from refused(wrong)
        return
    for text in (*found.remarks, *found.changes):
        say(text)
    if found.changes or found.error:
        yield changing(
            script_command("cloud_objects", "apply", declaration.as_request(apply=True), USES)
        )


def _wrong(found: Differences) -> str:
    """What ends the run, or ""."""
    wrong = [found.error] if found.error else list(found.refused)
    if host.state.is_executing:
        # In a plan a host that is added by the same run is not there yet.
        wrong += [
            f"host {name} of an aggregate is no compute of this cloud: deploy it first"
            for name in found.unregistered
        ]
    return "; ".join(wrong)
