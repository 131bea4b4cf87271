"""What a restore says of guests and domains that Nova, as it was, does not have as they are."""

from __future__ import annotations

from collections.abc import Mapping

import kinds
import pytest
import restored_databases as databases
import sql

from pyinfra_nova.audit.report import Audit, Finding
from pyinfra_nova.backup import differences
from pyinfra_nova.backup.restoring import COMING
from pyinfra_nova.commands import restore

from .audited_guests import named

WEB, DB = named("web"), named("db")


def finding(kind: str, what: str, uuid: str = WEB) -> Finding:
    words = {"where": "compute1", "since": None, "effect": "e", "remedy": "do", "repair": None}
    return Finding.model_validate({"kind": kind, "what": what, "key": f"{kind}/c/{uuid}", **words})


def told(*findings: Finding, replaced: Mapping[str, str] | None = None) -> str:
    audit = Audit(findings=list(findings), skipped={}, silent={}, seconds={}, at=1.0)
    found = differences.of(audit, replaced, "nova_before_restore")
    return "\n".join(restore.reported(audit, found))


@pytest.mark.parametrize("kind", ["guest-forgotten", "domain-unknown-to-nova"])
def test_a_guest_that_what_was_replaced_knows_is_younger_and_is_to_be_saved(kind: str) -> None:
    assert told(finding(kind, "domain a"), replaced={WEB: "here"}) == (
        "1 guest that is younger than the backup:\n"
        "  domain a; save what is in it: its row is in nova_before_restore.instances until "
        f"`./run restore --finish`, and `virsh dumpxml {WEB}` on compute1 names its disks"
    )


def test_a_domain_that_nova_never_had_is_not_called_younger() -> None:
    text = told(
        finding("domain-unknown-to-nova", "domain a"),
        finding("domain-unknown-to-nova", "domain b", DB),
        replaced={WEB: "here"},
    )
    assert "1 guest that is younger than the backup:\n  domain a; save" in text
    assert (
        "1 domain that neither the backup nor what it has replaced knows:\n  domain b; do" in text
    )


def test_a_younger_guest_that_was_deleted_already_is_nobodys_to_save() -> None:
    text = told(finding("guest-forgotten", "domain a"), replaced={WEB: "deleted"})
    assert text.startswith("1 guest that was made and deleted since the backup, and is still there")


@pytest.mark.parametrize("replaced", [None, {}])
def test_a_guest_whose_row_is_nowhere_is_still_a_guest(replaced: dict[str, str] | None) -> None:
    """On a new controller nothing was replaced that could know it."""
    text = told(finding("guest-forgotten", "domain a"), replaced=replaced)
    assert text == "1 guest that Nova has made and that is in no database:\n  domain a; do"


def test_without_an_answer_nothing_is_said_of_its_age() -> None:
    text = told(finding("domain-unknown-to-nova", "domain a"))
    assert text.startswith("1 domain that the backup does not know:\n")


DELETE, ANEW = f"`openstack server delete {WEB}`", f"`openstack server reboot --hard {WEB}`"


@pytest.mark.parametrize(("replaced", "head", "first"), [
    ({WEB: "deleted"}, "1 guest that was deleted since:", DELETE),
    ({WEB: "here"}, "1 guest whose domain is lost:", ANEW),
    ({}, "1 guest that was deleted since, or is lost:", DELETE),
    (None, "1 guest that was deleted since, or is lost:", DELETE),
])  # fmt: skip
def test_a_guest_that_was_deleted_since_is_deleted_again(
    replaced: dict[str, str] | None, head: str, first: str
) -> None:
    line, said = told(finding("guest-without-domain", "guest b"), replaced=replaced).splitlines()
    assert line == head
    assert said.startswith(f"  guest b; {first}")
    assert ANEW in said


def test_other_findings_are_counted_and_of_the_restore_itself_nothing_is_said() -> None:
    others = [finding("rows-not-archived", "rows"), finding(differences.OWN, "not over")]
    assert told(*others) == "1 other finding: ./run audit"


def test_each_kind_that_is_waited_for_or_told_is_one_of_the_audits() -> None:
    assert set(kinds.EFFECTS) >= COMING | differences.KINDS


# --- what was replaced ----------------------------------------------------------------------------


def asked(
    monkeypatch: pytest.MonkeyPatch, *answers: object, there: str = "nova_before_restore"
) -> object:
    told = list(answers)

    def run(subject: str, statement: str) -> object:
        assert (
            f"`nova_before_restore`.`{('instances', 'shadow_instances')[len(told) - 1]}`"
            in statement
        )
        assert statement.endswith(f"WHERE uuid IN ('{WEB}', '{DB}')")
        answer = told.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(databases, "names_there", lambda: {there})
    monkeypatch.setattr(databases, "run", run)
    return databases.replaced_guests({"cell": "nova", "uuids": [WEB, DB, "'; DROP"]})


def test_guests_of_what_was_replaced_are_here_or_deleted_archived_ones_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = asked(monkeypatch, [[DB, "7"]], [[WEB, "0"]])
    assert found == {WEB: "here", DB: "deleted"}


def test_where_nothing_was_replaced_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    assert asked(monkeypatch, there="nova") is None
    gone = sql.NotThereError("nova_before_restore", 1146, "no such table")
    assert asked(monkeypatch, [], gone) is None
