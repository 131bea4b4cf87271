"""Bring Nova's rows to the form of the installed release: `nova-manage db online_data_migrations`.

Request: {"database", "names": as for nova_state.py, "batch": rows at a time}
Answer:  {"migrated": {migration: rows}, "left": {migration: rows}, "few": [uuids]}
`left` is what was matched and will never be migrated; it ends the run unless it is known what that
is: guests without a compute node (guest_numbers.py), of whom `few` live.

Nova ends with 0 also where nothing can be migrated any more, and without an order it may match the
same rows each time: so many at once have to be asked for that those which stay are not all of them.
"""

import contextlib
import re
import subprocess

import guest_numbers
import nova_state
import sql

NUMBERS = "populate_instance_compute_id"
ROW = re.compile(r"^\|\s*(\w+)\s*\|\s*(\d+)\s*\|\s*(\d+)\s*\|$", re.MULTILINE)
"""Migration, total needed, completed (nova/cmd/manage.py)."""
MATCHED = re.compile(r"^\d+ rows matched query|^\+|^\|")
MOST = 10_000
"""Batches, after which something else adds rows as fast as they are migrated."""


def nova_manage(*words):
    """The exit code of `nova-manage db WORDS` as the user nova, and what it printed."""
    done = subprocess.run(
        ["runuser", "-u", "nova", "--", "nova-manage", "db", *words],
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return done.returncode, done.stdout


def last_words(text):
    lines = [line.strip() for line in text.splitlines() if not MATCHED.match(line)]
    return ([line for line in lines if line] or ["it says nothing"])[-1][-300:]


def without_number(request):
    with contextlib.closing(nova_state.connect(request)) as connection:
        return guest_numbers.to_be_given(connection, request["names"]["cell1"])


def batch_of(rows, wanted):
    return wanted + rows["left"]


def migrate(size):
    """What one batch has found and done, by migration: (found, done)."""
    code, said = nova_manage("online_data_migrations", "--max-count", str(size))
    found = {name: (int(needed), int(done)) for name, needed, done in ROW.findall(said)}
    # 1: some were migrated, and there may be more (nova/cmd/manage.py).
    if code not in (0, 1) or not found:
        raise SystemExit(f"nova-manage ended with {code}: {last_words(said)}")
    return found


def migrated(request):
    rows = without_number(request)
    total = {}
    for _ in range(MOST):
        found = migrate(batch_of(rows, request["batch"]))
        done = {name: count for name, (_, count) in found.items() if count}
        for name, count in done.items():
            total[name] = total.get(name, 0) + count
        if not done:
            return total, {name: needed for name, (needed, _) in found.items() if needed}
    raise SystemExit(f"after {MOST} batches there are still rows to migrate: {total}")


def answer(request):
    try:
        total, left = migrated(request)
        rows = without_number(request)
    except (sql.NoAnswerError, sql.NotInstalledError) as error:
        raise SystemExit(str(error)) from None
    others = {name: count for name, count in left.items() if name != NUMBERS}
    # A guest that has been shelved meanwhile is one more that stays.
    if others or left.get(NUMBERS, 0) > rows["left"]:
        told = ", ".join(f"{count} of {name}" for name, count in sorted(left.items()))
        raise SystemExit(
            f"rows that Nova does not migrate are left: {told}; see nova-manage.log, then run again"
        )
    return {"migrated": total, "left": left, "few": rows["few"] if left else []}
