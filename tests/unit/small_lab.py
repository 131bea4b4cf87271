"""A lab that keeps in memory what the exercise's commands make and remove."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path

from lab.settings import settings_from
from lab.workshop.course import Cloud, Course, Result, walk
from lab.workshop.exercise import exercise, tidy
from lab.workshop.place import Place
from lab.workshop.steps import FIRST, NAME, SECOND, Where

COMPUTES = [("compute1", {"my_ip": "10.0.0.31"}), ("compute2", {"my_ip": "10.0.0.32"})]
CONTROLLER = [("controller", {"my_ip": "10.0.0.11"})]
ATTACHED = {f"volume at {FIRST}", f"volume at {SECOND}"}
STANDS_ON = {
    "volume": ATTACHED,
    "server group": {FIRST, SECOND},
    "router interface": {"floating ip 198.51.100.253", "floating ip 198.51.100.254"},
    "router": {"router interface"},
    "network": {"router interface", FIRST, SECOND},
    "security group": {FIRST, SECOND},
}
"""What cannot be removed as long as one of these is there."""
GO_WITH = {
    "network": {"subnet"},
    FIRST: {f"volume at {FIRST}"},
    SECOND: {f"volume at {SECOND}"},
}


def place(computes: int = 2) -> Place:
    inventory = {"controllers": CONTROLLER, "computes": COMPUTES[:computes]}
    return Place.of(settings_from(inventory, {}, {}), Path("inventory.py"))


@dataclass
class SmallLab:
    """Hosts and a cloud in memory; `faults` are answers that come before the right one.

    Attributes:
        faults: a part of a command -> what it answers before it works.
        typed: every line that was run, and where.
    """

    place: Place
    screen: str = ""
    cloud: Cloud = field(default_factory=lambda: Cloud({"compute", "network", "block-storage"}))
    faults: dict[str, list[Result]] = field(default_factory=dict)
    typed: list[tuple[Where, str]] = field(default_factory=list)
    used: int = 0

    def ask(self) -> Cloud:
        cores = len({FIRST, SECOND} & self.cloud.things) + self.used
        return replace(
            self.cloud, things=set(self.cloud.things), numbers={"compute totalCoresUsed": cores}
        )

    def run(self, where: Where, text: str, timeout: float) -> Result:  # noqa: ARG002
        self.typed.append((where, text))
        for part, answers in self.faults.items():
            if part in text and answers:
                return answers.pop(0)
        known = [each for step in exercise(self.place) for each in step.commands]
        command = next((c for c in (*known, *tidy(self.place)) if c.text == text), None)
        if command is None:
            return Result(0, "{'message': 'No valid host was found.'}")
        if STANDS_ON.get(command.removes, set()) & self.cloud.things:
            return Result(1, "", f"{command.removes} is in use")
        if command.makes:
            self.cloud.things.add(command.makes)
        if command.removes:
            gone = command.removes
            self.cloud.things -= {thing for thing in self.cloud.things if re.match(gone, thing)}
            self.cloud.things -= GO_WITH.get(gone, set())
        return Result(0, self.printed(text))

    def printed(self, text: str) -> str:
        guest = SECOND if SECOND in text or "$SECOND" in text else FIRST
        answers = {
            "flavor create": "192\n1",
            "keypair create": "0e:a1:5c",
            "security group create": NAME,
            "--protocol icmp": "icmp",
            "--dst-port 22": "22",
            "network create": "ACTIVE",
            "subnet create": "10.98.0.0/24\n10.98.0.1",
            "router create": "ACTIVE",
            "router show": "{'ip_address': '198.51.100.252'}",
            "server group create": "id workshop ['anti-affinity']",
            "floating ip create": self.place.second
            if self.place.second in text
            else self.place.first,
            "tee ": "ssh-ed25519 AAAA workshop",
            "server create": "ACTIVE",
            "server list": f"{FIRST} ACTIVE compute2\n{SECOND} BUILD compute1",
            "ping": "1 packets transmitted, 1 received, 0% packet loss",
            " hostname": guest,
            "ip -4": "    inet 10.98.0.7/24 brd 10.98.0.255 scope global eth0",
            "console log": f"guest ready: name={guest} address=10.98.0.7",
            "console url": self.screen,
            "volume show": "in-use" if ATTACHED & self.cloud.things else "available",
            "partitions": " 254  16  1048576 vdb",
            "cat /mnt/note": f"written on {FIRST}",
        }
        return next((said for part, said in answers.items() if part in text), "")


@dataclass
class Walk:
    """A lab, and what walking through the exercise on it shows."""

    lab: SmallLab
    before: Path
    shown: list[str] = field(default_factory=list)

    def course(self) -> Course:
        here = replace(self.lab.place, controller_address="127.0.0.1")
        return Course(here, self.lab, show=self.shown.append, before=self.before, pause=0.01)

    def do(self, *, only: str | None = None, keep: bool = False) -> str:
        self.shown.clear()
        self.lab.typed.clear()
        walk(self.course(), only=only, keep=keep)
        return "\n".join(self.shown)
