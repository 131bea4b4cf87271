"""files/broker_users.py against a stand-in for rabbitmqctl: only its own word changes anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import broker_users
import pytest

from .rabbitmqctl_stand_in import Rabbitmqctl


@pytest.fixture
def broker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rabbitmqctl:
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(broker_users, "TIMEOUT", 2)
    return Rabbitmqctl(tmp_path)


def asked(**more: Any) -> dict[str, Any]:
    request = {"user": "openstack", "password": "s3cret", "virtual_host": "/"}
    wanted = {"set_password": True, "permit": True, "apply": True}
    return dict(broker_users.answer({**request, **wanted, **more}))


def test_a_user_that_is_not_there_is_made(broker: Rabbitmqctl) -> None:
    answer = {"users": ["openstack"], "permitted": False, "error": None}
    assert asked(virtual_host="nova") == answer
    assert broker.users == {"openstack": "s3cret"}
    assert broker.changes == ["add_user", "add_vhost", "set_permissions"]
    assert broker.permitted == [["-p", "nova", "openstack", ".*", ".*", ".*"]]


def test_a_wrong_password_is_changed(broker: Rabbitmqctl) -> None:
    broker.set(users={"openstack": "old", "theirs": "kept"})
    asked(permit=False)
    assert broker.users == {"openstack": "s3cret", "theirs": "kept"}
    assert broker.changes == ["change_password"]


def test_a_password_that_is_right_is_left_alone(broker: Rabbitmqctl) -> None:
    broker.set(users={"openstack": "s3cret"})
    asked(permit=False)
    assert broker.changes == []


LIST = ["-q", "--formatter", "json", "list_users"]


def test_a_plan_asks_who_is_there_and_nothing_else(broker: Rabbitmqctl) -> None:
    broker.set(users={"openstack": "old", "amy": "kept"})
    answer = {"users": ["amy", "openstack"], "permitted": False, "error": None}
    assert asked(apply=False, virtual_host="nova") == answer
    assert broker.asked == [LIST, [*LIST[:3], "list_user_permissions", "openstack"]]


@pytest.mark.parametrize(
    ("rights", "found"),
    [
        (["-p", "/", "openstack", ".*", ".*", ".*"], True),
        (["-p", "/", "openstack", ".*", "^nova", ".*"], False),
        (["-p", "nova", "openstack", ".*", ".*", ".*"], False),
        (["-p", "/", "amy", ".*", ".*", ".*"], False),
    ],
)
def test_a_plan_asks_what_a_user_who_is_refused_may_do(
    broker: Rabbitmqctl, rights: list[str], found: bool
) -> None:
    broker.set(users={"openstack": "old"}, permitted=[rights])
    assert asked(apply=False)["permitted"] is found
    broker.set(users={})
    assert asked(apply=False)["permitted"] is False


def test_only_what_is_asked_for_is_done(broker: Rabbitmqctl) -> None:
    broker.set(users={"openstack": "old"})
    asked(set_password=False)
    assert broker.users == {"openstack": "old"} and broker.changes == ["set_permissions"]
    asked(set_password=False, permit=False)
    assert broker.changes == ["set_permissions"]


FAILURES = {
    "down": "ended with 69: Error: unable to perform an operation on node 'rabbit@mq'",
    "hangs": "has not ended after 2 s",
    "silent": "ended with 1: without a word",
}


@pytest.mark.parametrize("at", [1, 2, 3])
@pytest.mark.parametrize("how", FAILURES)
def test_a_tool_that_fails_ends_with_its_words_and_nothing_is_done_after(
    broker: Rabbitmqctl, how: str, at: int
) -> None:
    # list_users, authenticate_user, change_password
    broker.set(users={"openstack": "old"}, at=at, fails=how)
    with pytest.raises(SystemExit) as error:
        asked()
    assert FAILURES[how] in str(error.value) and "s3cret" not in str(error.value)
    assert len(broker.asked) == at
    assert broker.users == {"openstack": "old"}


@pytest.mark.parametrize(
    ("how", "said"),
    [("repeats", "Error: *** is too short"), ("repeats it late", "x" * 397 + "***")],
)
def test_what_the_tool_repeats_of_a_password_is_shown_without_any_of_it(
    broker: Rabbitmqctl, how: str, said: str
) -> None:
    """It says some of its errors on its standard output; what is too long of them is cut off."""
    broker.set(at=2, fails=how)
    with pytest.raises(SystemExit) as error:
        asked()
    assert str(error.value) == f"rabbitmqctl add_user openstack ended with 70: {said}"


def test_half_a_list_is_no_list(broker: Rabbitmqctl) -> None:
    broker.set(users={"openstack": "old"}, at=1, fails="half")
    with pytest.raises(SystemExit, match="list_users answers no list"):
        asked()
    assert broker.changes == []


def test_only_reading_says_what_is_wrong_and_exits_well(broker: Rabbitmqctl) -> None:
    broker.set(at=1, fails="down")
    answer = asked(apply=False)
    assert answer["users"] == [] and "ended with 69" in answer["error"]


def test_a_host_without_the_tool_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "rabbitmqctl -q --formatter json list_users cannot be run" in asked(apply=False)["error"]
