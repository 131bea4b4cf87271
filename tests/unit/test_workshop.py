"""The exercise's logic, on a lab that keeps in memory what its commands make and remove."""

from __future__ import annotations

import shlex
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from lab.settings import settings_from
from lab.shell import LabError
from lab.workshop import course
from lab.workshop.course import RealLab, Result, StepError
from lab.workshop.exercise import exercise, tidy
from lab.workshop.place import Place
from lab.workshop.steps import FIRST, NAME, SECOND, Command

from .small_lab import COMPUTES, CONTROLLER, SmallLab, Walk, place

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(course, "SETTLE_SECONDS", 0.2)


@pytest.fixture
def screen() -> Iterator[str]:
    """The URL of a guest's screen; whoever connects is greeted."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        # It ends when the socket is closed.
        with suppress(OSError):
            while True:
                stream, _ = server.accept()
                with stream:
                    stream.recv(4096)
                    stream.sendall(b"HTTP/1.1 101 Switching\r\n\r\n\x82\x0cRFB 003.008\n")

    threading.Thread(target=serve, daemon=True).start()
    yield f"http://controller:{server.getsockname()[1]}/vnc_auto.html?path=%3Ftoken%3Dabc"
    server.close()


@pytest.fixture
def walker(screen: str, tmp_path: Path) -> Walk:
    return Walk(SmallLab(place(), screen), tmp_path / "before.json")


def openstack(lab: SmallLab) -> list[str]:
    return [text.removeprefix("openstack ") for _, text in lab.typed if "openstack" in text]


def test_a_walk_does_every_step_and_leaves_nothing(walker: Walk) -> None:
    said = walker.do()
    for step in exercise(walker.lab.place):
        assert step.title in said and step.expect in said
    assert walker.lab.cloud.things == set()
    assert "Nothing is left of it; 1 limits and usages are as before." in said
    assert not walker.before.exists()


def test_every_command_is_shown_as_it_is_typed(walker: Walk) -> None:
    said = walker.do()
    for where, text in walker.lab.typed:
        assert f"  {where}# {text}" in said


def test_a_second_walk_is_like_the_first(walker: Walk) -> None:
    walker.do()
    first = list(walker.lab.typed)
    walker.do()
    assert walker.lab.typed == first


def test_everything_that_is_made_is_removed_and_nothing_else() -> None:
    here = place()
    made = {command.makes for step in exercise(here) for command in step.commands if command.makes}
    gone = {command.removes for command in tidy(here)}
    # These go with what they are in or at.
    parts = {"subnet", "router gateway", f"volume at {FIRST}", f"volume at {SECOND}"}
    parts |= {thing for thing in made if thing.startswith("security group rule")}
    parts |= {thing for thing in made if thing.endswith(" in use")}
    assert gone == made - parts


def test_guests_boot_while_other_steps_go_on() -> None:
    names = [step.name for step in exercise(place())]
    assert names.index("guest") < names.index("second-guest") < names.index("ssh")


def test_kept_things_are_gone_on_with(walker: Walk) -> None:
    assert "`./run workshop --clean` removes it" in walker.do(keep=True)
    kept = set(walker.lab.cloud.things)
    assert {FIRST, SECOND, f"volume at {SECOND}", "key file"} <= kept
    said = walker.do(keep=True)
    assert walker.lab.cloud.things == kept
    assert f"{FIRST} is there already" in said
    assert f"left out: it lies behind: volume at {SECOND}" in said
    assert not [words for words in openstack(walker.lab) if "create" in words]


def test_numbers_are_compared_with_those_of_before_the_first_of_several_walks(
    walker: Walk,
) -> None:
    walker.do(keep=True)
    assert "1 limits and usages are as before" in walker.do()


def test_a_step_can_be_done_alone_and_again(walker: Walk) -> None:
    walker.do(only="flavor")
    assert walker.lab.cloud.things == {"flavor"}
    walker.do(only="flavor")
    assert openstack(walker.lab) == []
    walker.do(only="router")
    walker.do(only="router")
    assert openstack(walker.lab) == ["router show -f value -c external_gateway_info workshop"]


def test_a_step_that_is_not_there_is_said_with_those_that_are(walker: Walk) -> None:
    with pytest.raises(LabError, match=r"'flavour'; there are flavor, keypair"):
        walker.do(only="flavour")
    assert walker.lab.typed == []


def test_a_guest_in_error_is_made_again(walker: Walk) -> None:
    walker.do(keep=True)
    walker.lab.cloud.broken.add(SECOND)
    walker.do(keep=True)
    made = [words for words in openstack(walker.lab) if "server" in words.split()[0]]
    assert made[0] == f"server delete --wait {SECOND}"
    assert made[1].startswith("server create") and made[1].endswith(SECOND)
    assert f"server add volume {SECOND} {NAME}" in made


def test_without_the_private_key_an_earlier_walk_cannot_be_gone_on_with(walker: Walk) -> None:
    walker.do(keep=True)
    walker.lab.cloud.things.discard("key file")
    said = walker.do()
    assert "private key is gone" in said
    assert walker.lab.cloud.things == set()


def test_clean_removes_what_a_failed_walk_has_left(walker: Walk) -> None:
    walker.lab.faults["$FIRST hostname"] = [Result(255, "", "Connection refused")] * 10_000
    fails_at_once(walker)
    walker.lab.faults.clear()
    walker.course().remove()
    assert walker.lab.cloud.things == set()


def test_where_there_is_nothing_clean_types_nothing(walker: Walk) -> None:
    walker.course().remove()
    assert walker.lab.typed == []


def fails_at_once(walker: Walk, *, only: str | None = None) -> str:
    """What a failed walk says, where nothing is waited for."""
    here = walker.course()
    impatient = [
        replace(step, commands=tuple(replace(command, within=0) for command in step.commands))
        for step in exercise(here.place)
    ]
    here.begin()
    with pytest.raises(StepError) as caught:
        here.walk(course.chosen(impatient, only))
    return str(caught.value)


def test_a_failed_step_says_which_why_and_where_to_look(walker: Walk) -> None:
    # The client of Nova 26 ends with 0 here.
    walker.lab.faults["server create"] = [Result(0, "Error creating server", "Error creating")]
    said = fails_at_once(walker)
    assert said.startswith("step guest failed\nopenstack server create --image tiny")
    assert "Error creating server" in said
    assert f"openstack server show -f value -c fault {FIRST} | grep" in said
    assert "No valid host was found." in said
    assert "  ./run ssh compute1 tail -n 20 /var/log/nova/nova-compute.log" in said
    assert "`./run workshop` goes on from it" in said


def test_after_a_failure_the_next_walk_goes_on(walker: Walk) -> None:
    walker.lab.faults["router add subnet"] = [Result(1, "", "HTTP 503")]
    assert "HTTP 503" in fails_at_once(walker)
    said = walker.do()
    assert "Going on from what is there: flavor, key file" in said
    assert not [words for words in openstack(walker.lab) if words.startswith("network create")]
    assert walker.lab.cloud.things == set()


def test_a_command_is_repeated_until_its_output_is_right(walker: Walk) -> None:
    refused = Result(255, "", "ssh: connect to host 198.51.100.253 port 22: Connection refused")
    walker.lab.faults["$FIRST hostname"] = [refused, refused]
    walker.do()
    assert walker.lab.typed.count(("here", "$FIRST hostname")) == 3


def test_waiting_is_said_from_time_to_time(walker: Walk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(course, "PROGRESS_SECONDS", 0.0)
    walker.lab.faults["$FIRST hostname"] = [Result(255, "", "Connection refused")]
    assert "… 0 of at most 180 s: Connection refused" in walker.do()


def test_waiting_ends_where_it_is_of_no_use(walker: Walk) -> None:
    walker.lab.faults["volume show"] = [Result(0, "error")] * 2
    with pytest.raises(StepError, match="step volume failed"):
        walker.do()
    assert len(walker.lab.faults["volume show"]) == 1


def test_two_guests_on_one_host_are_not_apart(walker: Walk) -> None:
    both = f"{FIRST} ACTIVE compute1\n{SECOND} ACTIVE compute1"
    walker.lab.faults["server list"] = [Result(0, both)]
    assert both in fails_at_once(walker)


def test_a_guest_without_a_host_yet_is_not_apart(walker: Walk) -> None:
    walker.lab.faults["server list"] = [
        Result(0, f"{FIRST} ACTIVE compute1\n{SECOND} BUILD None"),
    ]
    assert f"{SECOND} BUILD None" in fails_at_once(walker)


def test_what_is_still_in_use_is_removed_a_little_later(walker: Walk) -> None:
    walker.lab.faults["network delete"] = [Result(1, "", "409: one or more ports in use")]
    walker.do()
    assert walker.lab.cloud.things == set()


def test_a_removal_that_fails_keeps_no_other_from_being_tried(walker: Walk) -> None:
    walker.lab.faults["keypair delete"] = [Result(1, "", "HTTP 500")]
    with pytest.raises(LabError, match=r"HTTP 500\n.*workshop --clean. tries it again"):
        walker.do()
    assert walker.lab.cloud.things == {"keypair"}


def test_a_usage_that_is_another_afterwards_is_named(
    walker: Walk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(course, "SETTLE_SECONDS", 0.0)
    here = walker.course()
    here.begin()
    walker.lab.used = 1
    with pytest.raises(LabError, match="compute totalCoresUsed is 1, it was 0"):
        here.remove()


def test_without_nova_the_way_to_it_is_said(walker: Walk) -> None:
    walker.lab.cloud.services = {"identity", "network"}
    with pytest.raises(LabError, match=r"no Nova on the lab yet: ./run deploy"):
        walker.do()


def test_a_screen_that_shows_nothing_fails_the_step(walker: Walk) -> None:
    server = socket.create_server(("127.0.0.1", 0))
    port = server.getsockname()[1]
    server.close()
    walker.lab.screen = f"http://controller:{port}/vnc_auto.html?path=%3Ftoken%3Dsecret"
    said = fails_at_once(walker)
    assert said.startswith("step console failed\nhttp://127.0.0.1:")
    assert "secret" not in said


def test_without_block_storage_its_steps_are_left_out_with_a_word(walker: Walk) -> None:
    walker.lab.cloud.services.discard("block-storage")
    said = walker.do()
    assert said.count("left out: the catalogue has no service of type block-storage") == 5
    assert not [words for words in openstack(walker.lab) if "volume" in words]


def test_on_a_single_compute_nothing_is_kept_apart(screen: str, tmp_path: Path) -> None:
    walker = Walk(SmallLab(place(computes=1), screen), tmp_path / "before.json")
    walker.do()
    assert not [words for words in openstack(walker.lab) if "server group" in words]


def test_without_ping_on_this_machine_ssh_alone_shows_it(
    walker: Walk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert "left out: this machine has no ping" in walker.do()
    assert ("here", "$FIRST hostname") in walker.lab.typed


def every_command() -> list[Command]:
    here = place()
    return [*(c for step in exercise(here) for c in step.commands), *tidy(here)]


def test_addresses_are_those_of_the_lab() -> None:
    inventory = {"controllers": CONTROLLER, "computes": COMPUTES}
    settings = settings_from(inventory, {}, {"provider_network": "192.0.2.0/25"})
    here = Place.of(settings, Path("inventories/other.py"))
    assert (here.gateway, here.first, here.second) == ("192.0.2.124", "192.0.2.125", "192.0.2.126")
    assert here.controller_address == "10.0.0.11"
    assert here.run == "./run -i inventories/other.py"


@pytest.mark.parametrize("command", every_command(), ids=lambda command: command.text[:40])
def test_a_line_is_one_that_a_shell_takes(command: Command) -> None:
    assert "\n" not in command.text
    assert subprocess.run(["sh", "-n", "-c", command.text], check=False).returncode == 0


def test_the_guests_variables_are_the_way_into_them() -> None:
    first, second = place().definitions
    script = f"{first}\n{second}\nprintf '%s\\n' $FIRST -- $SECOND"
    shown = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    one, _, two = shown.stdout.partition("--\n")
    assert one.split()[0] == two.split()[0] == "ssh"
    assert (one.split()[-1], two.split()[-1]) == ("root@198.51.100.253", "root@198.51.100.254")


def test_a_line_on_this_machine_is_run_in_the_checkout_with_the_guests_at_hand() -> None:
    here = RealLab(place())
    assert here.run("here", "pwd", 5) == Result(0, str(ROOT))
    assert here.run("here", "echo $SECOND", 5).output.endswith(" root@198.51.100.254")
    assert here.run("here", "echo no >&2; exit 3", 5) == Result(3, "", "no")


def test_a_line_that_does_not_end_is_ended() -> None:
    assert RealLab(place()).run("here", "sleep 9", 0.2) == Result(124, "", "not ended after 0 s")


def test_everything_that_is_made_bears_the_exercises_name() -> None:
    for command in every_command():
        if command.makes and command.where == "controller":
            assert any(NAME in word for word in shlex.split(command.text)), command.text
