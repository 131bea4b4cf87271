"""What a deploy would change: ``python -m pyinfra_nova.plan INVENTORY [pyinfra arguments]``.

pyinfra's ``--dry`` always exits with 0, and with ``-y`` or ``PYINFRA_YES`` it finds no changes at
all; this runs it so that neither can happen and puts the answer into the exit code: 0 nothing to
change, 2 changes pending, 1 an error.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pyinfra_nova.session.typed_pyinfra import PYINFRA, clean_environment
from pyinfra_nova.site.names import named

NOTHING, ERROR, PENDING = 0, 1, 2


def pending(plan: Mapping[str, Any]) -> dict[str, list[str]]:
    """The hosts that each operation of a plan would change, operations in order.

    Conditional changes are left out: pyinfra lists them on converged hosts too.
    """
    return {
        str(operation["name"]): sorted(operation["hosts_with_change"])
        for operation in plan["plan"]
        if operation["hosts_with_change"]
    }


def main(arguments: Sequence[str]) -> int:
    """Print the plan and return the exit code."""
    as_json = "--json" in arguments
    inventory, *more = [argument for argument in arguments if argument != "--json"]
    if not Path(inventory).is_file():
        print(f"{inventory}: no such inventory file", file=sys.stderr)
        return ERROR
    process = subprocess.run(
        [str(PYINFRA), inventory, "deploy.py", "--dry", "--diff", "--json", *more],
        env=clean_environment(os.environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    try:
        plan = json.loads(process.stdout)
    except json.JSONDecodeError:
        return ERROR
    if process.returncode:
        return ERROR
    if not plan["plan"]:
        # pyinfra only warns when --limit names nobody, and exits with 0.
        print(f"{inventory}: no host matched, so nothing was planned", file=sys.stderr)
        return ERROR
    changes = pending(plan)
    if as_json:
        json.dump({"pending": changes}, sys.stdout, indent=2)
        print()
    else:
        print_table(changes)
    return PENDING if changes else NOTHING


def print_table(changes: Mapping[str, Sequence[str]]) -> None:
    """The operations that would change something, and on which hosts."""
    if not changes:
        print("Nothing to change.")
        return
    print("To be changed (details above):")
    width = max(len(name) for name in changes)
    for name, hosts in changes.items():
        print(f"  {name:<{width}}  {named(hosts)}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
