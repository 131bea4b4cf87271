"""Computes are maintained one after the other: ``python -m pyinfra_nova.maintain``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from fnmatch import fnmatch

import click
from pyinfra.api import output
from pyinfra.api.inventory import Inventory
from pyinfra.context import ctx_inventory

from pyinfra_nova.commands.site_command import ERROR, agreed, ended, note
from pyinfra_nova.commands.summary import aligned
from pyinfra_nova.maintenance.cloud import MaintainedCloud
from pyinfra_nova.maintenance.course import Course
from pyinfra_nova.maintenance.reason import MaintenanceError, Work, refused
from pyinfra_nova.session.connections import using
from pyinfra_nova.session.loaded_site import loaded
from pyinfra_nova.session.redaction import Redactor
from pyinfra_nova.session.unmatched_patterns import WARNING, UnmatchedPattern
from pyinfra_nova.session.usage import Parser
from pyinfra_nova.site.names import named
from pyinfra_nova.site.settings import HostSettings, Site

DESCRIPTION = """\
Maintain computes, one batch after the other: close, drain, do what is asked for, wait for the
deploy's proof, open, and only then go on to the next. It stops at the first host that does not come
back. Called again by the same words it goes on where it was. See docs/maintain.md.
"""
EPILOG = (
    "Exit status: 0 all was done, 1 it has stopped, a guest did not return, or the words are wrong."
)
MOST = 1_000_000_000
"""A time that no float holds is no time to wait."""
WORK = ("--packages", "--command", "--reboot")


def _number(text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() else 0
    if not 1 <= number <= MOST:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 to {MOST}")
    return number


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(prog="./run maintain", description=DESCRIPTION, epilog=EPILOG)
    parser.add_argument("inventory", metavar="INVENTORY", help=argparse.SUPPRESS)
    parser.add_argument(
        "hosts", metavar="HOST", nargs="+", help="computes: names, groups or patterns of them"
    )
    parser.add_argument("--packages", action="store_true", help="upgrade all packages")
    parser.add_argument("--command", metavar="CMD", help="run CMD as root; no secret belongs in it")
    parser.add_argument(
        "--reboot", action="store_true", help="reboot; after packages and command, if there are any"
    )
    parser.add_argument(
        "--return",
        dest="returning",
        action="store_true",
        help="move the guests back that were moved away for it",
    )
    parser.add_argument(
        "--batch", type=_number, default=1, metavar="N", help="so many hosts at once (1)"
    )
    parser.add_argument(
        "--wait",
        type=_number,
        default=900,
        metavar="SECONDS",
        help="that a host may take to be back after a reboot (900)",
    )
    parser.add_argument("--dry", action="store_true", help="say what would be done, do nothing")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")
    found = parser.parse_intermixed_args(words)
    if not (found.packages or found.command is not None or found.reboot):
        parser.error(f"say what is to be done: {', '.join(WORK)}")
    if found.command is not None and not found.command.strip():
        parser.error("--command: give a command")
    try:
        (found.command or "").encode()
    except UnicodeEncodeError:
        parser.error("--command: it is not UTF-8; put it into a file, and run that")
    return found


def named_hosts(inventory: Inventory, patterns: Sequence[str]) -> list[str]:
    """The hosts that PATTERNS stand for, as with ``--limit``, in the inventory's order.

    Raises:
        UnmatchedPattern: one stands for none.
        MaintenanceError: for ``--limit`` the name of one would stand for others.
    """
    found: set[str] = set()
    for pattern in patterns:
        group = [host.name for host in inventory.groups.get(pattern, ())]
        mine = group or [name for name in inventory.hosts if fnmatch(name, pattern)]
        if not mine:
            with using(ctx_inventory, inventory):
                raise UnmatchedPattern(f"{WARNING}HOST pattern: {pattern}")
        found.update(mine)
    for name in found:
        others = [host.name for host in inventory.groups.get(name, ()) if host.name != name]
        if others:
            raise MaintenanceError(
                f"{name} is also a group, with {named(others)} in it, and --limit would take that: "
                "call one of them otherwise"
            )
    return [name for name in inventory.hosts if name in found]


def computes(site: Site, names: Sequence[str]) -> list[HostSettings]:
    """The hosts NAMES, if each is one to be maintained.

    Raises:
        MaintenanceError: some are not, with a line for each.
    """
    wrong = [why for name in names if (why := refused(site.host(name), name))]
    if wrong:
        raise MaintenanceError("\n".join(wrong))
    return [site.hosts[name] for name in names]


def summary(course: Course) -> Iterator[str]:
    """What has become of each host, and of guests that did not return."""
    rows = [
        (name, outcome.text, f"{outcome.seconds:.0f} s")
        for name, outcome in course.outcomes.items()
    ]
    yield from aligned("Maintenance", rows)
    yield from course.stayed


def _run(options: argparse.Namespace) -> int:
    # What is run on hosts is shown; the site's secrets are masked in it once they are loaded.
    output.set_echo(click.echo)
    state, site = loaded(options.inventory)
    mask = Redactor(site.secrets).mask
    hosts = computes(site, named_hosts(state.inventory, options.hosts))
    cloud = MaintainedCloud(state, site, options.inventory, lambda text: note(mask(f"==> {text}")))
    course = Course(
        cloud,
        hosts,
        Work(options.packages, options.command, options.reboot),
        at_once=options.batch,
        patience=options.wait,
        returning=options.returning,
    )
    course.check()
    if options.dry or not options.yes:
        print(mask("\n".join(course.plan())), flush=True)
    if options.dry:
        return 0
    if not agreed("Do it?", yes=options.yes):
        return ERROR
    done = course.run()
    print(mask("\n".join(summary(course))), flush=True)
    return 0 if done else ERROR


def main(words: Sequence[str] | None = None) -> int:
    """Maintain, and return the exit code."""
    options = arguments(words)
    return ended(lambda: _run(options))


if __name__ == "__main__":
    sys.exit(main())
