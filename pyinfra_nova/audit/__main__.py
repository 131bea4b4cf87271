"""The command line of the audit; ``--help`` explains it."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from pyinfra_nova.session.usage import Parser

if TYPE_CHECKING:
    from pyinfra_nova.audit.cloud import AuditedCloud
    from pyinfra_nova.audit.report import Audit, Repair

ERROR, INTERRUPTED = 1, 130
DESCRIPTION = """\
Say what a cloud does not say of itself: records that nobody stands behind, allocations without
guests, guests that nobody knows, services that hear nothing. It only reads, except with --repair.
"""
EPILOG = """\
Exit status: 0 nothing was found, 2 something was, 1 an error, or something could not be looked at
(what was found is said all the same). docs/audit.md has every kind of finding.
"""


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(
        prog="audit",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("inventory", metavar="INVENTORY", help="such as inventory.py")
    parser.add_argument("--json", action="store_true", help="all of it, for programs")
    parser.add_argument(
        "--repair",
        action="store_true",
        help="mend what is safe to mend, after showing what and asking",
    )
    parser.add_argument("-y", "--yes", action="store_true", help="with --repair: do not ask")
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="list every finding, and what took how long"
    )
    found = parser.parse_args(words)
    if found.yes and not found.repair:
        parser.error("-y goes with --repair")
    return found


def _note(text: str) -> None:
    """Say something that is no part of the report."""
    print(text, file=sys.stderr, flush=True)


class _Command:
    """One call: where the report goes, and how much of it."""

    def __init__(
        self, cloud: AuditedCloud, mask: Callable[[str], str], options: argparse.Namespace
    ) -> None:
        self.cloud = cloud
        self.mask = mask
        self.options = options

    def say(self, lines: Iterable[str], *, to_report: bool = True) -> None:
        """Lines for a person; beside JSON they go where progress goes."""
        text = self.mask("\n".join(lines))
        if to_report and not self.options.json:
            print(text, flush=True)
        else:
            _note(text)

    def run(self) -> int:
        from pyinfra_nova.audit import report

        audit = self.cloud.audit()
        each = self.options.verbose
        if not self.options.repair:
            self.show(audit, [])
            return audit.exit_code
        if not self.options.json:
            self.show(audit, [])
        self.say(["", *report.plan(audit, each=each)])
        keys = [finding.key for finding in audit.findings if finding.repair]
        if not keys or not self.agreed():
            if self.options.json:
                self.show(audit, [])
            return audit.exit_code
        return self.repaired(audit, keys)

    def repaired(self, audit: Audit, keys: Sequence[str]) -> int:
        """Repair KEYS of AUDIT, and audit again."""
        from pyinfra_nova.audit import report

        repairs = self.cloud.repair(keys)
        self.say(["", *report.outcomes(repairs, audit, each=self.options.verbose), ""])
        left = self.cloud.audit()
        self.show(left, repairs)
        return ERROR if report.is_unsure(repairs) else left.exit_code

    def show(self, audit: Audit, repairs: Sequence[Repair]) -> None:
        from pyinfra_nova.audit import report

        if self.options.json:
            print(report.as_json(audit, repairs, self.mask), flush=True)
        else:
            self.say(report.as_text(audit, each=self.options.verbose))
        if self.options.verbose:
            took = ", ".join(f"{source} {s:.1f} s" for source, s in audit.seconds.items())
            _note(f"==> answered after: {took}")

    def agreed(self) -> bool:
        """Whether it may be done: said beforehand, or at a terminal."""
        if self.options.yes:
            return True
        if not sys.stdin or not sys.stdin.isatty():
            _note("nothing was done: there is nobody to ask here; -y does it without")
            return False
        print("Do it? [y/N] ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() in ("y", "yes"):
            return True
        _note("nothing was done")
        return False


def _run(options: argparse.Namespace) -> int:
    from pyinfra_nova.session.loaded_site import loaded

    state, site = loaded(options.inventory)

    from pyinfra_nova.audit.cloud import AuditedCloud
    from pyinfra_nova.session.answering import NoAnswerError
    from pyinfra_nova.session.redaction import Redactor

    mask = Redactor(site.secrets).mask
    cloud = AuditedCloud(state, site, lambda text: _note(mask(f"==> {text}")))
    try:
        with cloud.opened():
            return _Command(cloud, mask, options).run()
    except NoAnswerError as error:
        others = [text for text in cloud.unreachable.values() if text != str(error)]
        _note(mask("\n".join([*others, str(error)])))
        return ERROR


def _open_streams() -> None:
    """Have both outputs, where the caller has closed one; else some connection takes its place."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w"))


def main(words: Sequence[str] | None = None) -> int:
    """Audit, and return the exit code."""
    _open_streams()
    options = _arguments(words)
    from pyinfra.api.exceptions import PyinfraError

    try:
        return _run(options)
    except BrokenPipeError:
        # Nobody reads on; Python would say so once more when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ERROR
    except PyinfraError as error:
        _note(str(error))
        return ERROR
    except KeyboardInterrupt:
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
