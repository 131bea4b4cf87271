"""The stand-in packages' commands: lock, build, list."""

from __future__ import annotations

import argparse
import os
import sys

from lab.packages import locking, releases
from lab.shell import LabError, say


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m lab.packages", description=__doc__)
    words = top.add_subparsers(dest="word", required=True)
    lock = words.add_parser("lock", help="choose the libraries of releases anew, with uv")
    lock.add_argument("--release", action="append", help="this one alone; may be given again")
    return top


def main() -> int:
    options = parser().parse_args()
    for name in options.release or releases.RELEASES:
        say(str(locking.lock(name)))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except LabError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted: the same command goes on from here")
