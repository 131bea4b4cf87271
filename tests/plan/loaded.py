"""A process that has loaded pyinfra, and becomes a run of it by a fork for each line it is told.

A line is {"words", "env", "paths"}: what follows the program's name, all of its environment, and
where what it says goes. Its exit code is the answer. tests/plan/warm.py is at the other end.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyinfra_cli.main
from gevent import monkey

PROGRAM = Path(sys.executable).with_name("pyinfra")


def run(asked: Mapping[str, Any]) -> int:
    """Do what the program does; its exit code."""
    os.environ.clear()
    os.environ.update(asked["env"])
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, path in enumerate(asked["paths"], start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    sys.argv = [str(PROGRAM), *asked["words"]]
    sys.path[:1] = [str(PROGRAM.parent), asked["env"]["PYTHONPATH"]]
    try:
        pyinfra_cli.main.main()
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


def serve() -> None:
    # gevent's own would wait in its loop, which each run begins anew.
    read, wait = monkey.get_original("os", ["read", "waitpid"])
    line = b""
    while chunk := read(0, 65536):
        line += chunk
        if not line.endswith(b"\n"):
            continue
        asked, line = json.loads(line), b""
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                code = run(asked)
            finally:
                os._exit(code)
        _, status = wait(pid, 0)
        os.write(1, b"%d\n" % os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    serve()
