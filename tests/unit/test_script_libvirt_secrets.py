"""files/libvirt_secrets.py with a virsh that keeps secrets as libvirt does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import libvirt_secrets
import pytest

UUID = "457eb676-33da-42ec-9a8c-9293d545c337"
KEY, OTHER = "AQAAAAAAAAAAABAA5uXlYJ0Z90aSo6KpU8y1MQ==", "AQAAAAAAAAAAABAAAAAAAAAAAAAAAAAAAAAAAA=="
DEFINE = f"define libvirt secret {UUID} (usage)"
SET = f"set the value of libvirt secret {UUID}"


class Virsh:
    """Secrets by their UUID; every command's words, without what came over standard input."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.definitions: dict[str, str] = {}
        self.values: dict[str, str] = {}
        self.words: list[str] = []
        self.guests: dict[str, str] = {}
        self.kept_from_us: set[str] = set()
        self.answers = True

    def __call__(self, *words: str, text: str = "") -> tuple[int, str, str]:
        self.words.append(" ".join(words))
        if not self.answers:
            return 1, "", "error: failed to connect to the hypervisor"
        verb, uuid = words[0], words[1]
        if verb == "list":
            return 0, "\n".join(self.guests), ""
        if verb == "dumpxml":
            if words[-1] in self.kept_from_us:
                return 1, "", "error: Timed out during operation: cannot acquire state change lock"
            return 0, self.guests[words[-1]], ""
        if verb == "secret-define":
            uuid = text.partition("<uuid>")[2].partition("</uuid>")[0]
            self.definitions[uuid] = text
            (self.folder / f"{uuid}.xml").write_text(text)
        elif verb == "secret-undefine":
            del self.definitions[uuid]
            self.values.pop(uuid, None)
            (self.folder / f"{uuid}.xml").unlink()
        elif verb == "secret-set-value":
            self.values[uuid] = text
        elif verb == "secret-dumpxml":
            return 0, self.definitions[uuid], ""
        elif uuid not in self.values:
            return 1, "", "error: secret has no value"
        else:
            return 0, self.values[uuid], ""
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
    for old, new in (('private="no"', 'private="yes"'), ('"ceph"', '"volume"')):
        converge()
        virsh.definitions[UUID] = virsh.definitions[UUID].replace(old, new)
        assert converge() == [f"define libvirt secret {UUID} anew (usage)", SET]


def test_a_secret_of_somebody_else_with_the_same_key_is_left_as_it_is(virsh: Virsh) -> None:
    converge()
    virsh.definitions[UUID] = virsh.definitions[UUID].replace("usage<", "client.cinder secret<")
    assert asked() == {"error": None, "changes": [], "remarks": []}


def test_a_libvirt_that_does_not_answer_is_said_in_a_plan_and_ends_a_run(virsh: Virsh) -> None:
    converge()
    virsh.answers = False
    assert "failed to connect" in asked()["error"]
    with pytest.raises(SystemExit, match="failed to connect"):
        asked(apply=True)


def test_the_key_is_in_no_word_of_a_command(virsh: Virsh) -> None:
    converge(OTHER)
    converge()
    assert not [words for words in virsh.words if KEY in words or OTHER in words]


# --- what is no longer wanted ---------------------------------------------------------------------

OLD = "0f2c59a1-7d0a-4d0e-8d4e-7f1b2a3c4d5e"


def without(*uuids: str, apply: bool = False) -> dict[str, Any]:
    request = {"wanted": None, "unwanted": list(uuids), "apply": apply}
    return dict(libvirt_secrets.answer(request))


def earlier(virsh: Virsh, usage: str = f"pyinfra-nova {OLD}") -> None:
    virsh("secret-define", "/dev/stdin", text=libvirt_secrets.definition(OLD, usage))
    virsh("secret-set-value", OLD, text=KEY)


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


def test_a_changed_uuid_is_the_new_secret_and_not_the_old_one(virsh: Virsh) -> None:
    earlier(virsh)
    wanted = {"uuid": UUID, "usage": "usage", "value": KEY}
    answer = libvirt_secrets.answer({"wanted": wanted, "unwanted": [OLD], "apply": True})
    assert len(answer["changes"]) == 3
    assert list(virsh.definitions) == [UUID]
