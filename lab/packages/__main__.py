"""The stand-in packages' commands: lock, build, list."""

from __future__ import annotations

import argparse
import os
import sys

from lab.packages import build, locking, releases, shape
from lab.shell import LabError, say


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m lab.packages", description=__doc__)
    words = top.add_subparsers(dest="word", required=True)
    lock = words.add_parser("lock", help="choose the libraries of releases anew, with uv")
    lock.add_argument("--release", action="append", help="this one alone; may be given again")
    made = words.add_parser("build", help="packages and their repository, if not there yet")
    made.add_argument("--series", default="jammy", help=", ".join(shape.SERIES))
    made.add_argument("--release", action="append", required=True, help="may be given again")
    words.add_parser("list", help="what was built")
    return top


def main() -> int:
    options = parser().parse_args()
    if options.word == "list":
        print("\n".join(build.built()) or f"nothing was built in {build.DEBS}")
        return 0
    if options.word == "lock":
        for name in options.release or releases.RELEASES:
            say(str(locking.lock(name)))
        return 0
    if os.geteuid() != 0:
        raise LabError("packages are built in a Debian of their own, which needs root: use sudo")
    for name in options.release:
        build.build(options.series, name)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except LabError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted: the same command goes on from here")
