"""The exercise done: commands run where they belong, their output looked at, all of it undone."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from lab import machines, state
from lab.settings import CHECKOUT
from lab.shell import LabError, run
from lab.workshop.exercise import exercise, tidy
from lab.workshop.place import Place
from lab.workshop.steps import KEY, NAME, Command, Step, Where

BEFORE = state.LAB / f"{NAME}.json"
"""The numbers from before the exercise, while anything of it is there."""
COMMAND_SECONDS = 240
PAUSE_SECONDS = 2.0
PROGRESS_SECONDS = 10.0
SETTLE_SECONDS = 60.0
"""For what goes on being removed after the command that asked for it has ended."""


@dataclass(frozen=True)
class Result:
    """How a command ended, and what it printed."""

    code: int
    output: str
    errors: str = ""


@dataclass
class Cloud:
    """What the cloud says of itself.

    Attributes:
        services: the types in its catalogue.
        things: what there is of the exercise.
        broken: the guests of it that are in ERROR.
        numbers: every limit, and how much of it is used.
    """

    services: set[str] = field(default_factory=set)
    things: set[str] = field(default_factory=set)
    broken: set[str] = field(default_factory=set)
    numbers: dict[str, int] = field(default_factory=dict)


class Lab(Protocol):
    """The hosts as the exercise needs them."""

    def run(self, where: Where, text: str, timeout: float) -> Result:
        """Run the line TEXT there, however it ends."""
        ...

    def ask(self) -> Cloud:
        """Look at the cloud.

        Raises:
            LabError: it does not answer.
        """
        ...


class RealLab:
    """The lab that runs on this machine.

    Attributes:
        place: where the exercise takes place.
    """

    def __init__(self, place: Place) -> None:
        self.place = place

    def run(self, where: Where, text: str, timeout: float) -> Result:
        if where == "here":
            script = "\n".join((*self.place.definitions, text))
            return _ended(["sh", "-c", script], timeout)
        return _ended([*self._ssh, text], timeout)

    @property
    def _ssh(self) -> list[str]:
        return ["ssh", *machines.SSH_OPTIONS, f"root@{self.place.controller_address}"]

    def ask(self) -> Cloud:
        script = (CHECKOUT / "lab" / "files" / "workshop_state.py").read_text(encoding="utf-8")
        words = f"python3 - {NAME} {self.place.first} {self.place.second}"
        done = run(*self._ssh, words, check=False, stdin=script, timeout=COMMAND_SECONDS)
        try:
            answer = json.loads(done.stdout)
        except ValueError as error:
            said = (done.stderr.strip() or done.stdout.strip()).splitlines()[-3:]
            raise LabError(
                f"the cloud cannot be asked on {self.place.controller}:\n" + "\n".join(said)
            ) from error
        things = set(answer["things"]) | ({"key file"} if KEY.exists() else set())
        return Cloud(set(answer["services"]), things, set(answer["broken"]), answer["numbers"])


def _ended(command: list[str], timeout: float) -> Result:
    """Run COMMAND; where it is late, or we are interrupted, end all that it has started."""
    with subprocess.Popen(
        command,
        cwd=CHECKOUT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            output, errors = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return Result(124, "", f"not ended after {timeout:.0f} s")
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    return Result(process.returncode, output.strip(), errors.strip())


def show(text: str) -> None:
    """A line for whoever watches, at once also where it goes into a file."""
    print(text, flush=True)


class StepError(LabError):
    """A step that went wrong; the message says why, and where to look."""


class Course:
    """One walk through the exercise.

    Attributes:
        place: where it takes place.
        lab: the hosts.
        cloud: what is known of it, kept up to date with every command.
    """

    def __init__(
        self,
        place: Place,
        lab: Lab,
        *,
        show: Callable[[str], None] = show,
        before: Path = BEFORE,
        pause: float = PAUSE_SECONDS,
    ) -> None:
        self.place = place
        self.lab = lab
        self.show = show
        self.before = before
        self.pause = pause
        self.cloud = lab.ask()

    # --- there ------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Be ready for the first step, whatever an earlier walk has left.

        Raises:
            LabError: there is no compute service.
        """
        if "compute" not in self.cloud.services:
            raise LabError(f"there is no Nova on the lab yet: {self.place.run} deploy")
        if "keypair" in self.cloud.things and "key file" not in self.cloud.things:
            self.show("An earlier walk's private key is gone; what it has left is removed first.")
            self.remove()
        elif self.cloud.things:
            self.show("Going on from what is there: " + ", ".join(sorted(self.cloud.things)))
        if not self.cloud.things:
            state.write_json(self.before, self.cloud.numbers)
        for command in tidy(self.place):
            if command.removes in self.cloud.broken:
                self.show(f"{command.removes} is in ERROR, and is made again.")
                self._do(command)
                self.cloud.things.discard(f"volume at {command.removes}")  # Nova lets go of it

    def walk(self, steps: Iterable[Step]) -> None:
        """Do STEPS one after the other.

        Raises:
            StepError: one went wrong; what was made stays, to be looked at.
        """
        steps = list(steps)
        for number, step in enumerate(steps, start=1):
            self.show(f"\n{number}/{len(steps)}  {step.name}: {step.title}")
            begun = time.monotonic()
            if reason := self._is_left_out(step):
                self.show(f"    left out: {reason}")
                continue
            try:
                for command in step.commands:
                    self._do(command)
            except LabError as error:
                raise StepError(self._what_went_wrong(step, error)) from error
            self.show(f"    what to see: {step.expect} ({time.monotonic() - begun:.1f} s)")

    def _is_left_out(self, step: Step) -> str:
        if step.service and step.service not in self.cloud.services:
            return f"the catalogue has no service of type {step.service}"
        if step.past and step.past in self.cloud.things:
            return f"it lies behind: {step.past}"
        return ""

    def _what_went_wrong(self, step: Step, error: LabError) -> str:
        lines = [f"step {step.name} failed", str(error)]
        if step.why:
            reason = self.lab.run("controller", step.why, COMMAND_SECONDS)
            lines += [f"{step.why}:", *_shortened(reason.output or reason.errors)]
        if step.look:
            lines += ["where to look:", *(f"  {line}" for line in step.look)]
        lines.append(
            f"what was made is still there: `{self.place.run} workshop` goes on from it, "
            f"`{self.place.run} workshop --clean` removes it"
        )
        return "\n".join(lines)

    # --- a command --------------------------------------------------------------------------------

    def _do(self, command: Command) -> None:
        """Run COMMAND, repeating it until it is seen to have worked, if it is one to be repeated.

        Raises:
            LabError: it did not work.
        """
        if command.makes in self.cloud.things:
            self.show(f"    {command.makes} is there already")
            return
        if command.removes and command.removes not in self.cloud.things:
            return
        self.show(f"  {command.where}# {command.text}")
        if command.program and shutil.which(command.program) is None:
            self.show(f"    left out: this machine has no {command.program}")
            return
        result = self._repeated(command)
        if command.see:
            for line in _shortened(result.output):
                self.show(f"    {line}")
        if command.proof:
            self.show(f"    {command.proof(result.output)}")
        self._remember(command)

    def _repeated(self, command: Command) -> Result:
        begun = time.monotonic()
        said = begun
        while True:
            result = self.lab.run(command.where, command.text, COMMAND_SECONDS)
            fault = _fault(command, result)
            if not fault:
                return result
            now = time.monotonic()
            useless = command.never and re.search(command.never, result.output)
            if useless or now - begun >= command.within:
                after = f", {now - begun:.0f} s long" if command.within and not useless else ""
                raise LabError(f"{command.text}{after}:\n{fault}")
            if now - said >= PROGRESS_SECONDS:
                said = now
                last = fault.splitlines()[-1]
                self.show(f"    … {now - begun:.0f} of at most {command.within:.0f} s: {last}")
            time.sleep(self.pause)

    def _remember(self, command: Command) -> None:
        if command.makes:
            self.cloud.things.add(command.makes)
        self.cloud.things.discard(command.removes)

    # --- and back ---------------------------------------------------------------------------------

    def remove(self) -> None:
        """Remove all that there is of the exercise.

        Raises:
            LabError: something could not be removed; all the rest is.
        """
        faults = []
        for command in tidy(self.place):
            try:
                self._do(command)
            except LabError as error:
                faults.append(str(error))
        if faults:
            raise LabError(
                "\n".join(faults) + f"\n`{self.place.run} workshop --clean` tries it again"
            )
        self._look_again()

    def _look_again(self) -> None:
        """See that nothing is left and every number is what it was before."""
        before = {key: int(value) for key, value in state.read_json(self.before).items()}
        deadline = time.monotonic() + SETTLE_SECONDS
        while True:
            self.cloud = self.lab.ask()
            left = sorted(self.cloud.things)
            changed = differences(before, self.cloud.numbers)
            if not left and not changed:
                break
            if time.monotonic() >= deadline:
                if not left:
                    self.before.unlink(missing_ok=True)
                raise LabError("\n".join([*(f"still there: {thing}" for thing in left), *changed]))
            time.sleep(self.pause)
        if before:
            self.show(f"\nNothing is left of it; {len(before)} limits and usages are as before.")
        else:
            self.show("\nNothing is left of it.")
        self.before.unlink(missing_ok=True)


def differences(before: Mapping[str, int], after: Mapping[str, int]) -> list[str]:
    """The limits and usages of BEFORE that are others in AFTER; those of new services are not."""
    return [
        f"{key} is {after[key]}, it was {value}"
        for key, value in sorted(before.items())
        if key in after and after[key] != value
    ]


def _fault(command: Command, result: Result) -> str:
    """Why RESULT is not what COMMAND should come to; empty where it is."""
    said = "\n".join(_shortened("\n".join(filter(None, (result.output, result.errors)))))
    if result.code != 0:
        return said or f"ended with {result.code}"
    if command.see and not re.search(command.see, result.output):
        return said or "printed nothing"
    return ""


SHOWN_LINES = 8


def _shortened(text: str) -> list[str]:
    lines = text.splitlines()
    return lines if len(lines) <= SHOWN_LINES else ["…", *lines[-SHOWN_LINES:]]


def chosen(steps: Iterable[Step], name: str | None) -> list[Step]:
    """STEPS, or the one that is called NAME.

    Raises:
        LabError: none is.
    """
    steps = list(steps)
    found = [step for step in steps if name in (None, step.name)]
    if not found:
        names = ", ".join(step.name for step in steps)
        raise LabError(f"no step is called {name!r}; there are {names}")
    return found


def walk(course: Course, *, only: str | None, keep: bool) -> None:
    """The whole exercise, or the step ONLY; all it made is removed again unless KEEP is set."""
    begun = time.monotonic()
    steps = chosen(exercise(course.place), only)
    course.begin()
    course.walk(steps)
    if keep or only:
        word = course.place.run
        course.show(f"\nIt is all still there; `{word} workshop --clean` removes it.")
        return
    course.show("\nAnd back:")
    course.remove()
    minutes, seconds = divmod(round(time.monotonic() - begun), 60)
    course.show(f"All of it took {minutes} min {seconds:02d} s.")
