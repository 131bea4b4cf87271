"""files/libvirt_secrets.py with a virsh that keeps secrets as libvirt does."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import libvirt_secrets
import pytest

UUID = "457eb676-33da-42ec-9a8c-9293d545c337"
KEY, OTHER = "AQAAAAAAAAAAABAA5uXlYJ0Z90aSo6KpU8y1MQ==", "AQAAAAAAAAAAABAAAAAAAAAAAAAAAAAAAAAAAA=="
DEFINE = f"define libvirt secret {UUID} (usage)"
SET = f"set the value of libvirt secret {UUID}"


class Virsh:
    """Secrets by their UUID, and guests; it refuses what libvirt refuses, and any other words."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.definitions: dict[str, str] = {}
        self.values: dict[str, str] = {}
        self.words: list[str] = []
        self.guests: dict[str, str] = {}
        self.shut_off: set[str] = set()
        self.after_a_restart: dict[str, str] = {}
        self.kept_from_us: set[str] = set()
        self.answers = True
        self.refused: dict[str, str] = {}

    def __call__(self, *words: str, text: str = "") -> tuple[int, str, str]:
        self.words.append(" ".join(words))
        if not self.answers:
            return 1, "", "error: failed to connect to the hypervisor"
        if words[0] in self.refused:
            return 1, "", self.refused[words[0]]
        match words:
            case ("list", "--all", "--name"):
                return 0, "\n".join(self.guests), ""
            case ("list", "--name"):
                return 0, "\n".join(set(self.guests) - self.shut_off), ""
            case ("dumpxml", *options, "--domain", name) if options in ([], ["--inactive"]):
                return self.domain(name, "--inactive" in options)
            case ("secret-define", "/dev/stdin"):
                return self.define(text)
            case ("secret-undefine", uuid):
                del self.definitions[uuid]
                self.values.pop(uuid, None)
                (self.folder / f"{uuid}.xml").unlink()
            case ("secret-set-value", uuid, "--file", "/dev/stdin"):
                self.values[uuid] = text
            case ("secret-dumpxml", uuid):
                return 0, self.definitions[uuid], ""
            case ("secret-get-value", uuid) if uuid in self.values:
                return 0, self.values[uuid], ""
            case ("secret-get-value", _):
                return 1, "", f"error: secret '{words[1]}' does not have a value"
            case _:
                return 1, "", f"error: unknown command: {words}"
        return 0, "", ""

    def domain(self, name: str, inactive: bool) -> tuple[int, str, str]:
        if name in self.kept_from_us:
            return 1, "", "error: Timed out during operation: cannot acquire state change lock"
        kept = self.after_a_restart if inactive else self.guests
        return 0, kept.get(name, self.guests[name]), ""

    def define(self, text: str) -> tuple[int, str, str]:
        """As virSecretObjListAdd: neither another usage nor what was private made readable."""
        root = ElementTree.fromstring(text)  # noqa: S314 - of this test
        assert root.tag == "secret"
        uuid = root.findtext("uuid") or ""
        if uuid in self.definitions:
            old = ElementTree.fromstring(self.definitions[uuid])  # noqa: S314
            if old.findtext("usage/name") != root.findtext("usage/name"):
                return 1, "", "error: internal error: a secret with UUID is already defined for use"
            if old.get("private") == "yes" and root.get("private") == "no":
                return 1, "", "error: cannot change private flag on existing secret"
        self.definitions[uuid] = text
        (self.folder / f"{uuid}.xml").write_text(text)
        return 0, "", ""


@pytest.fixture
def virsh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Virsh:
    fake = Virsh(tmp_path)
    monkeypatch.setattr(libvirt_secrets, "FOLDER", str(tmp_path))
    monkeypatch.setattr(libvirt_secrets, "virsh", fake)
    return fake


def asked(value: str = KEY, *, apply: bool = False) -> dict[str, Any]:
    wanted = {"uuid": UUID, "usage": "usage", "value": value}
    return dict(libvirt_secrets.answer({"wanted": wanted, "unwanted": [], "apply": apply}))


def converge(value: str = KEY) -> list[str]:
    planned = asked(value)["changes"]
    assert asked(value, apply=True)["changes"] == planned
    assert asked(value) == {"error": None, "changes": [], "remarks": []}
    return list(planned)


def test_a_secret_that_is_missing_is_defined_and_set(virsh: Virsh) -> None:
    assert converge() == [DEFINE, SET]
    assert virsh.values == {UUID: KEY}
    assert virsh.definitions[UUID] == (
        f'<secret ephemeral="no" private="no"><uuid>{UUID}</uuid>'
        '<usage type="ceph"><name>usage</name></usage></secret>'
    )


def test_a_host_without_libvirt_is_not_asked(virsh: Virsh) -> None:
    assert asked()["changes"] == [DEFINE, SET]
    assert virsh.words == []


def test_another_value_or_none_is_put_right(virsh: Virsh) -> None:
    converge(OTHER)
    assert converge() == [SET]
    virsh.values.clear()
    assert converge() == [SET]


def test_a_secret_that_cannot_be_read_again_or_is_for_something_else_is_defined_anew(
    virsh: Virsh,
) -> None:
    usage = '<usage type="ceph"><name>usage</name></usage>'
    for old, new in (('private="no"', 'private="yes"'), ('"ceph"', '"volume"'), (usage, "")):
        converge()
        virsh.definitions[UUID] = virsh.definitions[UUID].replace(old, new)
        assert converge() == [f"define libvirt secret {UUID} anew (usage)", SET]


def test_a_secret_of_somebody_else_with_the_same_key_is_left_as_it_is(virsh: Virsh) -> None:
    converge()
    virsh.definitions[UUID] = virsh.definitions[UUID].replace("usage<", "client.cinder secret<")
    assert asked() == {"error": None, "changes": [], "remarks": []}


def test_of_a_secret_of_somebody_else_only_the_value_is_put_right(virsh: Virsh) -> None:
    """libvirt takes no other usage for a UUID that it has."""
    converge(OTHER)
    virsh.definitions[UUID] = virsh.definitions[UUID].replace("usage<", "client.cinder secret<")
    assert converge() == [SET]
    assert virsh.values == {UUID: KEY}


def test_what_libvirt_refuses_ends_a_run_with_its_words(virsh: Virsh) -> None:
    virsh.refused = {"secret-define": "error: Requested operation is not valid"}
    said = "virsh secret-define ended with 1: error: Requested operation is not valid"
    with pytest.raises(SystemExit, match=f"^{said}$"):
        asked(apply=True)
    assert virsh.values == {}


def test_a_libvirt_that_does_not_answer_is_said_in_a_plan_and_ends_a_run(virsh: Virsh) -> None:
    converge()
    virsh.answers = False
    assert "failed to connect" in asked()["error"]
    with pytest.raises(SystemExit, match="failed to connect"):
        asked(apply=True)


@pytest.mark.parametrize("said", ["error: Cannot recv data: Connection reset by peer", ""])
def test_a_value_that_libvirt_does_not_tell_is_not_set_for_that(virsh: Virsh, said: str) -> None:
    converge()
    virsh.refused = {"secret-get-value": said}
    assert asked()["error"] == (said or "virsh ended with 1")
    assert asked()["changes"] == []
    with pytest.raises(SystemExit, match=said or "virsh ended with 1"):
        asked(apply=True)
    assert virsh.values == {UUID: KEY}


@pytest.mark.parametrize("half", ["", "<secret ephemeral='no'"])
def test_half_a_definition_is_no_other_one(virsh: Virsh, half: str) -> None:
    converge()
    virsh.definitions[UUID] = half
    assert asked()["error"].startswith("virsh secret-dumpxml answers no definition")
    with pytest.raises(SystemExit, match="answers no definition"):
        asked(apply=True)
    assert virsh.values == {UUID: KEY}


def test_a_libvirt_that_hangs_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "virsh").write_text("#!/bin/sh\nexec sleep 60\n")
    (tmp_path / "virsh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    monkeypatch.setattr(libvirt_secrets, "TIMEOUT", 0.1)
    monkeypatch.setattr(libvirt_secrets, "FOLDER", str(tmp_path))
    (tmp_path / f"{UUID}.xml").touch()
    assert asked()["error"] == "virsh secret-dumpxml has not ended after 0.1 s"
    with pytest.raises(SystemExit, match="virsh secret-define has not ended"):
        libvirt_secrets.must("secret-define", "/dev/stdin")


def test_the_key_is_in_no_word_of_a_command(virsh: Virsh) -> None:
    converge(OTHER)
    converge()
    assert not [words for words in virsh.words if KEY in words or OTHER in words]


# --- what is no longer wanted ---------------------------------------------------------------------

OLD = "0f2c59a1-7d0a-4d0e-8d4e-7f1b2a3c4d5e"


def without(*uuids: str, apply: bool = False) -> dict[str, Any]:
    request = {"wanted": None, "unwanted": list(uuids), "apply": apply}
    return dict(libvirt_secrets.answer(request))


def earlier(virsh: Virsh, usage: str = f"pyinfra-nova {OLD}", uuid: str = OLD) -> None:
    virsh("secret-define", "/dev/stdin", text=libvirt_secrets.definition(uuid, usage))
    virsh("secret-set-value", uuid, "--file", "/dev/stdin", text=KEY)


def test_a_secret_of_an_earlier_run_is_removed(virsh: Virsh) -> None:
    earlier(virsh)
    said = [f"remove libvirt secret {OLD}, which this project made"]
    assert without(OLD)["changes"] == without(OLD, apply=True)["changes"] == said
    assert OLD not in virsh.definitions
    assert without(OLD) == {"error": None, "changes": [], "remarks": []}


def test_a_secret_of_somebody_else_stays(virsh: Virsh) -> None:
    """Also one whose definition was replaced since the host was looked at."""
    earlier(virsh, usage="client.cinder secret")
    assert without(OLD, apply=True)["changes"] == []
    assert OLD in virsh.definitions


def test_a_secret_that_a_guest_names_stays_and_is_said(virsh: Virsh) -> None:
    earlier(virsh)
    virsh.guests = {"instance-1": "<domain/>", "instance-2": f"<secret uuid='{OLD}'/>"}
    assert without(OLD, apply=True) == {
        "error": None,
        "changes": [],
        "remarks": [
            f"libvirt secret {OLD} is no longer wanted, but stays: instance-2 has volumes with it"
        ],
    }
    assert OLD in virsh.definitions


def test_a_secret_that_a_guest_names_which_is_shut_off_stays(virsh: Virsh) -> None:
    earlier(virsh)
    virsh.guests = {"instance-1": f"<secret uuid='{OLD}'/>"}
    virsh.shut_off = {"instance-1"}
    assert without(OLD, apply=True)["changes"] == []
    assert OLD in virsh.definitions


def test_a_secret_that_a_guest_will_name_when_it_is_started_again_stays(virsh: Virsh) -> None:
    earlier(virsh)
    virsh.guests = {"instance-1": "<domain/>"}
    virsh.after_a_restart = {"instance-1": f"<secret uuid='{OLD}'/>"}
    assert without(OLD, apply=True)["changes"] == []
    assert OLD in virsh.definitions


def test_all_guests_that_name_a_secret_are_said(virsh: Virsh) -> None:
    earlier(virsh)
    virsh.guests = dict.fromkeys(("instance-1", "instance-2"), f"<secret uuid='{OLD}'/>")
    (said,) = without(OLD)["remarks"]
    assert said.endswith("stays: instance-1, instance-2 has volumes with it")


def test_each_secret_is_judged_by_itself(virsh: Virsh) -> None:
    """One that is gone, one of somebody else's and one that a guest names stand before it."""
    gone, others, named = (OLD[:-1] + digit for digit in "012")
    earlier(virsh, "client.cinder secret", others)
    earlier(virsh, f"pyinfra-nova {named}", named)
    earlier(virsh)
    virsh.guests = {"instance-1": f"<secret uuid='{named}'/>"}
    without(gone, others, named, OLD, apply=True)
    assert list(virsh.definitions) == [others, named]


def test_a_guest_of_any_name_is_looked_at(virsh: Virsh) -> None:
    earlier(virsh)
    virsh.guests = {"a guest by hand": f"<secret uuid='{OLD}'/>"}
    assert "a guest by hand has volumes with it" in without(OLD)["remarks"][0]


def test_nothing_is_removed_while_a_guest_cannot_be_looked_at(virsh: Virsh) -> None:
    earlier(virsh)
    virsh.guests = {"instance-1": f"<secret uuid='{OLD}'/>"}
    virsh.kept_from_us = {"instance-1"}
    assert "cannot acquire state change lock" in without(OLD)["error"]
    with pytest.raises(SystemExit, match="cannot acquire state change lock"):
        without(OLD, apply=True)
    assert OLD in virsh.definitions


def test_nothing_is_removed_while_libvirt_does_not_answer(virsh: Virsh) -> None:
    earlier(virsh)
    virsh.answers = False
    assert "failed to connect" in without(OLD)["error"]
    with pytest.raises(SystemExit, match="failed to connect"):
        without(OLD, apply=True)
    assert OLD in virsh.definitions


@pytest.mark.parametrize("verb", ["secret-dumpxml", "list", "dumpxml"])
@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("", "virsh ended with 1"),
        ("error: Failed\nerror: It\nerror: it is full", "error: it is full"),
    ],
    ids=["silent", "told"],
)
def test_nothing_is_removed_while_a_command_of_virsh_fails(
    verb: str, words: str, said: str, virsh: Virsh
) -> None:
    earlier(virsh)
    virsh.guests = {"instance-1": "<domain/>"}
    virsh.refused = {verb: words}
    assert without(OLD) == {"error": said, "changes": [], "remarks": []}
    with pytest.raises(SystemExit, match=f"^{said}$"):
        without(OLD, apply=True)
    assert OLD in virsh.definitions


@pytest.mark.parametrize("said", ["", "error: too many clients"], ids=["silent", "told"])
def test_a_definition_that_cannot_be_read_is_no_reason_to_make_another(
    said: str, virsh: Virsh
) -> None:
    converge()
    virsh.refused = {"secret-dumpxml": said}
    assert asked() == {"error": said or "virsh ended with 1", "changes": [], "remarks": []}


def test_a_value_goes_to_virsh_over_standard_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "virsh"
    program.write_text('#!/bin/sh\necho "$@"; cat; echo; echo "error: not found" >&2; exit 3\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert libvirt_secrets.virsh("secret-set-value", UUID, text=KEY) == (
        3,
        f"--quiet --connect qemu:///system secret-set-value {UUID}\n{KEY}",
        "error: not found",
    )


def test_a_changed_uuid_is_the_new_secret_and_not_the_old_one(virsh: Virsh) -> None:
    earlier(virsh)
    wanted = {"uuid": UUID, "usage": "usage", "value": KEY}
    answer = libvirt_secrets.answer({"wanted": wanted, "unwanted": [OLD], "apply": True})
    assert len(answer["changes"]) == 3
    assert list(virsh.definitions) == [UUID]
