"""A stand-in for `rabbitmqctl` in PATH: it keeps users, and fails at the call it is told to."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

PROGRAM = f"""#!{sys.executable}
import json, pathlib, sys, time
file = pathlib.Path(__file__).with_suffix(".json")
state, words = json.loads(file.read_text()), sys.argv[1:]
rest = words[1:] if words[0] == "-q" else words
verb, *rest = rest[2:] if rest[0] == "--formatter" else rest
reads = verb in ("add_user", "change_password", "authenticate_user")
password = sys.stdin.read().strip() if reads else ""
assert not (reads and len(words) != 2)
state["asked"].append(words)
file.write_text(json.dumps(state))
how = state["fails"] if len(state["asked"]) == state["at"] else ""
if how == "down":
    print("Error: unable to perform an operation on node 'rabbit@mq'", file=sys.stderr)
    sys.exit(69)
if how == "hangs":
    time.sleep(60)
if how == "silent":
    sys.exit(1)
if how == "repeats":
    print("Error:\\n\\n  %s is too short\\n" % password)
    sys.exit(70)
if how == "repeats it late":
    print("x" * 397 + password)
    sys.exit(70)
users, answer = state["users"], ""
if verb == "list_users":
    answer = json.dumps([{{"user": name, "tags": []}} for name in users])
elif verb == "list_vhosts":
    answer = json.dumps([{{"name": name}} for name in state["vhosts"]])
elif verb == "list_user_permissions":
    keys = ("configure", "write", "read")
    mine = [words for words in state["permitted"] if words[2] == rest[0]]
    answer = json.dumps([{{"vhost": m[1], **dict(zip(keys, m[3:]))}} for m in mine])
elif verb == "authenticate_user" and users[rest[0]] != password:
    print('Error: failed to authenticate user "%s"' % rest[0], file=sys.stderr)
    sys.exit(65)
elif verb == "add_user":
    assert rest[0] not in users
    users[rest[0]] = password
elif verb == "change_password":
    users[rest[0]] = password
elif verb == "add_vhost":
    state["vhosts"].append(rest[0])
elif verb == "set_permissions":
    state["permitted"].append(rest)
elif verb != "authenticate_user":
    sys.exit(64)
file.write_text(json.dumps(state))
print(answer[: len(answer) // 2] if how == "half" else answer)
"""


class Rabbitmqctl:
    """The program in FOLDER, and what it knows and was asked."""

    def __init__(self, folder: Path, **state: Any) -> None:
        self.file = folder / "rabbitmqctl.json"
        program = folder / "rabbitmqctl"
        program.write_text(PROGRAM)
        program.chmod(0o755)
        known = {"users": {}, "vhosts": ["/"], "permitted": [], "asked": [], "at": 0, "fails": ""}
        self.file.write_text(json.dumps({**known, **state}))

    def set(self, **more: Any) -> None:
        self.file.write_text(json.dumps({**json.loads(self.file.read_text()), **more}))

    def __getattr__(self, key: str) -> Any:
        return json.loads(self.file.read_text())[key]

    @property
    def changes(self) -> list[str]:
        """The verbs that change something, in the order in which they were given."""
        verbs = ("add_user", "change_password", "add_vhost", "set_permissions")
        return [word for words in self.asked for word in words if word in verbs]
