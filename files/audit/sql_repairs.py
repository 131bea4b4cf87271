"""Repairs of what no API of Nova's changes, each by one statement that checks all again.

end-migration: {"migration": id, "guest": uuid, "followed": whether the guest has had a later one}
"""

import contextlib

import nova_state
import sql
from repair_steps import Refused


def end_migration(session, each, held):
    """Have a move that nobody can confirm be in error, unless it or its guest is another by now.

    The statement reads what it rests on with locks, so whoever changes that meanwhile is before it
    or after it. A guest that is `resized` by a later move waits for the confirmation of that one.
    """
    repair, name = each["repair"], sql.quoted(session.request["names"]["cell1"])
    number = int(repair["migration"])
    states = ["error"] if repair["followed"] else ["error", "resized"]
    statement = (
        f"UPDATE {name}.migrations SET status = 'error', updated_at = UTC_TIMESTAMP()"
        f" WHERE id = {number} AND status = 'finished' AND deleted = 0 AND EXISTS"
        f" (SELECT 1 FROM {name}.instances WHERE uuid IN {sql.text_list([repair['guest']])}"
        f" AND deleted = 0 AND task_state IS NULL AND vm_state NOT IN {sql.text_list(states)})"
    )
    with contextlib.closing(nova_state.connect(session.request)) as connection:
        if not sql.changed(connection, f"migration {number}", statement):
            raise Refused(f"migration {number} or its guest has just become another one")
    return f"wrote down that migration {number} is in error"
