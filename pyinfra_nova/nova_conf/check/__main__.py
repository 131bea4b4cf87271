"""The command line of the checker; ``--help`` explains it."""

from __future__ import annotations

import argparse
import stat
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from pyinfra_nova.knowledge.releases import VERSIONS, load
from pyinfra_nova.nova_conf.check import NotIni, Role, Source, findings
from pyinfra_nova.nova_conf.check.report import FORMATS

CLEAN, FOUND, FAILED = 0, 1, 2


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="check",
        description="Say what is wrong with a nova.conf. Several files are read as one service "
        "reads them: what a later one says wins.",
        epilog="Exit status: 0 nothing is wrong, 1 something is, 2 it could not be checked. A note "
        "says of nothing that it is wrong.",
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="- is standard input")
    parser.add_argument(
        "--release", required=True, choices=VERSIONS, metavar="RELEASE", help=", ".join(VERSIONS)
    )
    parser.add_argument("--role", required=True, choices=get_args(Role))
    parser.add_argument("--format", choices=FORMATS, default="text")
    return parser.parse_args(words)


def _source(name: str) -> Source:
    if name == "-":
        return Source("-", sys.stdin.read())
    path = Path(name)
    status = path.stat()
    mode = stat.S_IMODE(status.st_mode) if stat.S_ISREG(status.st_mode) else None
    return Source(name, path.read_text(encoding="utf-8"), mode)


def _read(names: Sequence[str]) -> list[Source]:
    """The files NAMES.

    Raises:
        OSError, UnicodeError: one cannot be read.
    """
    return [_source(name) for name in dict.fromkeys(names)]


def main(words: Sequence[str] | None = None) -> int:
    arguments = _arguments(words)
    try:
        found = findings(_read(arguments.files), arguments.release, arguments.role)
    except OSError as error:
        print(f"{error.filename}: {error.strerror}", file=sys.stderr)
        return FAILED
    except UnicodeError:
        print("a file is not UTF-8 text", file=sys.stderr)
        return FAILED
    except NotIni as error:
        print(f"{error}: not a configuration file", file=sys.stderr)
        return FAILED
    print(FORMATS[arguments.format](found, load(arguments.release), arguments.role))
    return FOUND if any(finding.level != "note" for finding in found) else CLEAN


if __name__ == "__main__":
    sys.exit(main())
