"""What hosts are called, and who is meant by a name that is only spelt in another way."""

import re
import shlex

ADDRESS = re.compile(r"[\d.]+|.*:.*")


def short(name):
    """NAME without domain and in small letters; an address is its own."""
    return name if ADDRESS.fullmatch(name) else name.lower().partition(".")[0]


def by_short_name(hosts):
    """Each of HOSTS by its short name; one that two of them share tells them not apart."""
    found = {}
    for host in hosts:
        found.setdefault(short(host), []).append(host)
    return {name: same[0] for name, same in found.items() if len(same) == 1}


def grouped(rows, *keys):
    """Rows by what they have under KEYS."""
    found = {}
    for row in rows:
        found.setdefault(tuple(row[key] for key in keys), []).append(row)
    return found


def marked_deleted(table, uuids):
    """What marks rows of a cell's database as deleted that no API deletes."""
    return (
        f"`UPDATE {table} SET deleted = id, deleted_at = UTC_TIMESTAMP() WHERE deleted = 0 AND "
        f"uuid IN ({', '.join(map(repr, uuids))})`"
    )


def word(text):
    """A name that somebody else gave, as a word of a command that a person pastes."""
    return shlex.quote(str(text))


def counted(number, what, does=""):
    """`2 guests`, `1 guest`; with what they do, `2 messages wait`, `1 message waits`."""
    found = f"{number} {what}" + ("" if number == 1 else "s")
    return f"{found} {does}" + ("s" if number == 1 else "") if does else found


def age(seconds):
    """A time that has passed, in words that a person reads."""
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}s"
    return f"{max(seconds, 0):.0f} s"
