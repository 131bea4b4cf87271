"""Compare configuration files with what they should be, or write them.

Request: {"files": [{"path", "content", "owner", "group", "mode"}], "write": bool}
Answer:  {"files": [{"path", "change", "diff"}]}, only those that differ.
The diff is made here, on the host, and masked here, so that no secret travels back.
"""

import difflib
import grp
import os
import pwd
import re

SECRET_KEY = re.compile(
    r"^\s*([\w-]*(?:password|passwd|secret|token|transport_url|connection|private_key)[\w-]*"
    r"\s*[=:]\s*)(.*)$",
    re.IGNORECASE,
)
URL_PASSWORD = re.compile(r"(://[^:/@\s]*:)[^@\s]*(@)")
PLAIN = re.compile(r"^(true|false|\d+|)$", re.IGNORECASE)
MASK = "********"


def masked(line, unchanged_lines):
    """LINE with the secret in it hidden; one that is new is said to have changed."""
    match = SECRET_KEY.match(line)
    has_url = URL_PASSWORD.search(line)
    if match and not PLAIN.match(match.group(2).strip()) and not has_url:
        hidden = match.group(1) + MASK
    elif has_url:
        hidden = URL_PASSWORD.sub(r"\g<1>" + MASK + r"\g<2>", line)
    else:
        return line
    return hidden if line in unchanged_lines else hidden + " (changed)"


def diff(path, before, after):
    """A unified diff from BEFORE to AFTER that shows no secret."""
    old, new = before.splitlines(), after.splitlines()
    old_set, new_set = set(old), set(new)
    lines = difflib.unified_diff(
        [masked(line, new_set) if line in new_set else masked(line, {line}) for line in old],
        [masked(line, old_set if before else {line}) for line in new],
        path if before else "/dev/null",
        path,
        lineterm="",
        n=2,
    )
    return "\n".join(lines)


def owner_names(status):
    """The owner's and group's names, or their numbers where they have none."""
    try:
        owner = pwd.getpwuid(status.st_uid).pw_name
    except KeyError:
        owner = str(status.st_uid)
    try:
        group = grp.getgrgid(status.st_gid).gr_name
    except KeyError:
        group = str(status.st_gid)
    return owner, group


def compare(wanted):
    """What differs for one file: None when nothing does."""
    path = wanted["path"]
    try:
        status = os.lstat(path)
        with open(path, encoding="utf-8", errors="replace") as stream:
            content = stream.read()
    except (FileNotFoundError, NotADirectoryError):
        return {"path": path, "change": "create", "diff": diff(path, "", wanted["content"])}
    changes = []
    if content != wanted["content"]:
        changes.append("content")
    if owner_names(status) != (wanted["owner"], wanted["group"]):
        changes.append("owner {}:{}".format(*owner_names(status)))
    mode = "%04o" % (status.st_mode & 0o7777)
    if mode != wanted["mode"] or os.path.islink(path):
        changes.append("mode " + mode)
    if not changes:
        return None
    return {
        "path": path,
        "change": ", ".join(changes),
        "diff": diff(path, content, wanted["content"]),
    }


def write(wanted):
    """Put the file in place at once; nobody else can read it before its mode is right."""
    path = wanted["path"]
    folder = os.path.dirname(path)
    os.makedirs(folder, exist_ok=True)
    beside = os.path.join(folder, "." + os.path.basename(path) + ".pyinfra-nova")
    if os.path.lexists(beside):
        os.unlink(beside)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(wanted["content"])
        stream.flush()
        owner = pwd.getpwnam(wanted["owner"]).pw_uid
        group = grp.getgrnam(wanted["group"]).gr_gid
        os.fchown(stream.fileno(), owner, group)
        os.fchmod(stream.fileno(), int(wanted["mode"], 8))
        os.fsync(stream.fileno())
    os.rename(beside, path)


def set_owner_and_mode(wanted):
    """Leave the content and its time alone: no daemon has to read the file again."""
    owner = pwd.getpwnam(wanted["owner"]).pw_uid
    group = grp.getgrnam(wanted["group"]).gr_gid
    os.chown(wanted["path"], owner, group)
    os.chmod(wanted["path"], int(wanted["mode"], 8))


def answer(request):
    differing = []
    for wanted in request["files"]:
        difference = compare(wanted)
        if difference is None:
            continue
        differing.append(difference)
        if not request["write"]:
            continue
        same_content = not any(w in difference["change"] for w in ("create", "content"))
        if same_content and not os.path.islink(wanted["path"]):
            set_owner_and_mode(wanted)
        else:
            write(wanted)
    return {"files": differing}
