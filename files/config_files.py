"""Compare configuration files with what they should be, or write them.

Request: {"files": [{"path", "content", "owner", "group", "mode", "hidden",
                     "keeps_about": [names]|absent, "keeps_from": path of "absent"|null,
                     "own_lines": regular expression|absent}],
          "write": bool, "absent": [{"path": pattern, "form", "how", "hidden"}],
          "wanted": [paths that no pattern is about, beside those of "files"]};
          to compare a long file, "digest" (SHA-256) may stand for "content"
Answer:  {"files": [{"path", "change", "diff"}], "left": [paths]}, only those that differ.
The diff is made here, on the host, and masked here, so that no secret travels back.
What is to be absent goes only where it has the form that this project gives it; `how` says what of
a file that is: "all" lines, the first as a "marker", each "line" by itself, or an "ssh_key" whose
comment is the form. Anything else at its path is left, and told.
A file with `own_lines` is somebody else's: only the lines of that form are ours. They stand first,
where what reads a file takes the first of two lines that say the same, as libvirt does
(util/virconf.c, virConfGetValue).
"""

import base64
import difflib
import glob
import grp
import hashlib
import os
import pwd
import re
import stat

# Also commented out: what somebody once tried may still be right.
SECRET_KEY = re.compile(
    r"^([#;\s]*[\w.-]*(?:passw|passphrase|secret|token|transport_url|connection|_key|credential)"
    r"[\w.-]*\s*[=:]\s*)(.*)$",
    re.IGNORECASE,
)
# What options such as service_token_roles_required and connection_recycle_time hold.
PLAIN = re.compile(r"^(true|false|\d{1,6}|)$", re.IGNORECASE)
PASSWORD_KEY = re.compile("passw|passphrase|secret|credential", re.IGNORECASE)
# A URL whose passwords can be told from the rest with certainty: everything awkward is encoded.
USER = r"(?:[\w.~%+-]*(?::[\w.~%+-]*)?@)?"
QUERY = r"(?:\?ssl_ca=[\w./-]+(?:&plugin=[\w-]+)?)?"
URL = re.compile(
    r"^([\w+.-]+://)({0}[\w.:-]*(?:,{0}[\w.:-]*)*)((?:/[\w.-]*{1})?)$".format(USER, QUERY)
)
URL_PASSWORD = re.compile(r"(^|,)([\w.~%+-]*:)[\w.~%+-]*(?=@)")
URL_LOGIN = re.compile(r"://.*@")
MASK = "********"


def masked_value(key, value):
    """VALUE of option KEY, which may hold a secret."""
    match = URL.match(value)
    if not match or "@" not in value:
        return value if PLAIN.match(value) and not PASSWORD_KEY.search(key) else MASK
    scheme, hosts, rest = match.groups()
    return scheme + URL_PASSWORD.sub(r"\g<1>\g<2>" + MASK, hosts) + rest


def masked_line(line, inside_secret):
    """LINE with the secret in it hidden; INSIDE_SECRET where it goes on with a secret's value."""
    if inside_secret and line[:1] in (" ", "\t"):
        return line[:1] + MASK if line.strip() else line
    match = SECRET_KEY.match(line)
    if match:
        return match.group(1) + masked_value(match.group(1), match.group(2).strip())
    key, separator, value = line.partition("=")
    if URL.match(value.strip()) and "@" in value:
        return key + separator + " " + masked_value(key, value.strip())
    return URL_LOGIN.sub("://" + MASK + "@", line)


def masked(lines, unchanged):
    """LINES with their secrets hidden; one that is not UNCHANGED is said to have changed."""
    shown, inside = [], False
    for line in lines:
        hidden = masked_line(line, inside)
        # oslo.config takes an indented line for the continuation of the value above it.
        if line[:1] not in (" ", "\t"):
            inside = bool(SECRET_KEY.match(line))
        shown.append(hidden if hidden == line or line in unchanged else hidden + " (changed)")
    return shown


def shown_diff(wanted, before):
    """The diff of a file; none of one that is a secret as a whole, such as a private key."""
    if wanted.get("hidden") or "content" not in wanted:
        return ""
    return diff(wanted["path"], readable(before), readable(wanted["content"]))


def is_wanted(wanted, content):
    if "content" in wanted:
        return content == wanted["content"]
    return hashlib.sha256(content.encode()).hexdigest() == wanted["digest"]


def name_of(line):
    """Whom a line such as those of known_hosts is about: the first name of a list of names."""
    return line.split(None, 1)[0].split(",")[0] if line.strip() else ""


def with_lines_kept(content, names, *earlier):
    """CONTENT and, of each of NAMES that it has no line about, what the first of EARLIER has."""
    lines = content.splitlines()
    for text in earlier:
        left = set(names) - {name_of(line) for line in lines}
        lines += {line for line in text.splitlines() if name_of(line) in left}
    return "".join(line + "\n" for line in sorted(lines))


def former_lines(pattern, absent):
    """What files of ours that are to be ABSENT have; PATTERN is the path of their entry."""
    texts = []
    for entry in absent:
        for path in absent_paths(entry) if entry["path"] == pattern else ():
            content, rest = taken_away(path, entry)
            texts += [content] if rest == "" else []
    return "\n".join(texts)


def among_others(wanted):
    """Make of WANTED the whole of a file of which only some lines are ours.

    The others stay as they are, and so does whose it is.
    """
    status, text = read(wanted["path"], as_it_is=True)
    if status is None:
        return
    others = [line for line in lines_of(text) if not is_of_form(line, wanted["own_lines"])]
    owner, group = owner_names(status)
    mode = "%04o" % stat.S_IMODE(os.stat(wanted["path"]).st_mode)
    content = wanted["content"] + "".join(others)
    wanted.update(content=content, owner=owner, group=group, mode=mode)


def diff(path, before, after):
    """A unified diff from BEFORE to AFTER that shows no secret."""
    # Not splitlines(): it breaks at characters that a value may hold.
    old, new = (text.split("\n")[: None if text[-1:] != "\n" else -1] for text in (before, after))
    if not before:
        old = []
    lines = difflib.unified_diff(
        masked(old, set(old)),
        masked(new, set(old) if before else set(new)),
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


def read(path, as_it_is=False):
    """What lstat says of a file, and its text; None, "" where it is not there.

    AS_IT_IS nothing of it is lost: a file of others keeps its bytes and the ends of its lines.
    """
    errors, newline = ("surrogateescape", "") if as_it_is else ("replace", None)
    try:
        status = os.lstat(path)
        with open(path, encoding="utf-8", errors=errors, newline=newline) as stream:
            return status, stream.read()
    except (FileNotFoundError, NotADirectoryError):
        return None, ""


def compare(wanted, absent=()):
    """What differs for one file: None when nothing does."""
    path = wanted["path"]
    if wanted.get("own_lines"):
        among_others(wanted)
    status, content = read(path, as_it_is=bool(wanted.get("own_lines")))
    if wanted.get("keeps_about"):
        former = former_lines(wanted["keeps_from"], absent)
        kept = with_lines_kept(wanted["content"], wanted["keeps_about"], content, former)
        if status is None and not kept:
            return None
        wanted["content"] = kept
    if status is None:
        return {"path": path, "change": "create", "diff": shown_diff(wanted, "")}
    changes = []
    if not is_wanted(wanted, content):
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
        "diff": shown_diff(wanted, content),
    }


def name_beside(path):
    """Where a file is written before it is moved into place."""
    folder, name = os.path.split(path)
    return os.path.join(folder, "." + name + ".pyinfra-nova")


def write(wanted):
    """Put the file in place at once; nobody else can read it before its mode is right."""
    path = wanted["path"]
    folder = os.path.dirname(path)
    # A folder that is made has to let daemons through, whatever root's umask is.
    os.umask(0o022)
    os.makedirs(folder, exist_ok=True)
    beside = name_beside(path)
    if os.path.lexists(beside):
        os.unlink(beside)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(wanted["content"].encode("utf-8", "surrogateescape"))
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


# --- what is no longer wanted ---------------------------------------------------------------------


# What an interrupted write has left (name_beside).
LEFT_BESIDE = re.compile(r"\..+\.pyinfra-nova")


def is_our_key(content, comment):
    """Whether CONTENT is a private key as nova_conf/migration_ssh.py writes it."""
    armour = "-----{} OPENSSH PRIVATE KEY-----\n"
    begin, end = armour.format("BEGIN"), armour.format("END")
    if not (content.startswith(begin) and content.endswith(end)):
        return False
    try:
        data = base64.b64decode(content[len(begin) : -len(end)].replace("\n", ""), validate=True)
    except ValueError:
        return False
    name = comment.encode()
    ending = re.escape(len(name).to_bytes(4, "big") + name) + b"[\\x01-\\x07]*"
    whole = b"openssh-key-v1\0\0\0\0\x04none\0\0\0\x04none.*" + ending
    return bool(re.fullmatch(whole, data, re.DOTALL))


def lines_of(text):
    """The lines of TEXT with their ends; not splitlines(), which breaks elsewhere, too."""
    return re.findall(r"[^\n]*\n|[^\n]+", text)


def is_of_form(line, form):
    """Whether a LINE, but for its end, matches FORM as a whole."""
    return re.fullmatch(form, line.rstrip("\r\n")) is not None


def without_ours(content, entry):
    """CONTENT without what this project wrote, "" if that is all of it; None if none of it is."""
    if entry["how"] == "ssh_key":
        return "" if is_our_key(content, entry["form"]) else None
    lines = lines_of(content)
    others = [line for line in lines if not is_of_form(line, entry["form"])]
    if entry["how"] == "marker":
        return "" if lines and lines[0] not in others else None
    if len(others) == len(lines) or (others and entry["how"] == "all"):
        return None
    return "".join(others) if "".join(others).strip() else ""


def taken_away(path, entry):
    """The text of a file, and what of it is to stay; None for what is somebody else's."""
    if LEFT_BESIDE.fullmatch(os.path.basename(path)):
        return "", ""
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            return "", None
        # newline: a file of others keeps its line ends.
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as stream:
            content = stream.read()
    except (FileNotFoundError, NotADirectoryError):
        return "", None
    return content, without_ours(content, entry)


def absent_paths(entry):
    return sorted([*glob.glob(entry["path"]), *glob.glob(name_beside(entry["path"]))])


def compare_absent(entry, wanted=()):
    """What is to go of an entry's files: differences, and the paths of what has to be left.

    Of a pattern, what is WANTED stays.
    """
    differing, left = [], []
    for path in sorted(set(absent_paths(entry)) - set(wanted)):
        content, rest = taken_away(path, entry)
        if rest is None:
            # A file of many authors need not hold anything of ours.
            left += [] if entry["how"] == "line" else [path]
            continue
        change = "remove what this project wrote there" if rest else "remove"
        hidden = entry["hidden"] or not content
        text = "" if hidden else diff(path, readable(content), readable(rest))
        differing.append({"path": path, "change": change, "diff": text})
    return differing, left


def readable(text):
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def take_away(path, entry):
    """Remove a file of ours, or our lines; read once more, for somebody may have changed it."""
    _, rest = taken_away(path, entry)
    if rest is None:
        return
    if not rest:
        os.unlink(path)
        folder = os.path.dirname(path)
        if folder.endswith(".dist-info") and not os.listdir(folder):
            os.rmdir(folder)  # to pip and others an empty one is a package without a name
        return
    status = os.lstat(path)
    beside = name_beside(path)
    if os.path.lexists(beside):
        os.unlink(beside)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(rest.encode("utf-8", "surrogateescape"))
        stream.flush()
        os.fchown(stream.fileno(), status.st_uid, status.st_gid)
        os.fchmod(stream.fileno(), stat.S_IMODE(status.st_mode))
        os.fsync(stream.fileno())
    os.rename(beside, path)


def answer(request):
    """Files are written before others go: lines of those may have moved into these."""
    differing = []
    for wanted in request["files"]:
        difference = compare(wanted, request.get("absent", ()))
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
    going, left = [], []
    # A run writes only what differs, and what does not stays.
    paths = [*request.get("wanted", ()), *(wanted["path"] for wanted in request["files"])]
    for entry in request.get("absent", ()):
        superfluous, others = compare_absent(entry, paths)
        going += superfluous
        left += others
        for difference in superfluous if request["write"] else ():
            take_away(difference["path"], entry)
    return {"files": going + differing, "left": left}
