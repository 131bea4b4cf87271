"""Whose servers this host knows, and whose keys it lets in, as Nova's user."""

import hashlib
import re

KEY = re.compile(r"(?:^|\s)((?:ssh|ecdsa|sk)-\S+)\s+[A-Za-z0-9+/=]+(?:\s+(.*))?$")
FROM = re.compile(r'\bfrom="([^"]*)"')


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()


def lines(path):
    """What a file says, line by line; none of one that is not there."""
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            found = [line.strip() for line in stream]
    except FileNotFoundError:
        return []
    return [line for line in found if line and not line.startswith("#")]


def names(path):
    """Whom the lines of known_hosts are about (sshd(8))."""
    found = set()
    for line in lines(path):
        words = line.split()
        about = words[1] if words[0].startswith("@") and len(words) > 1 else words[0]
        for name in about.split(","):
            found.add(re.sub(r"^\[(.*)\](:\d+)?$", r"\1", name))
    return sorted(found)


def keys(path, own):
    """The keys of authorized_keys, but for the line with the digest OWN."""
    found = []
    for line in lines(path):
        match = KEY.search(line)
        if not match or digest(line) == own:
            continue
        limits = FROM.search(line[: match.start(1)])
        found.append(
            {
                "type": match.group(1),
                "comment": match.group(2) or "",
                "from": limits.group(1).split(",") if limits else [],
            }
        )
    return found


def read(request):
    """What differs from what a deploy writes. A site's thousand names are not said a thousand
    times: of the same names, of which who asks knows the digest, this host says nothing."""
    if not request.get("ssh"):
        return {"known_hosts": None, "keys": None}
    known = read_or_none(names, request["known_hosts"])
    same = known is not None and digest("\n".join(known)) == request["ssh"]["names"]
    return {
        "known_hosts": [] if same else known,
        "keys": read_or_none(keys, request["authorized_keys"], request["ssh"]["key"]),
    }


def read_or_none(reader, *arguments):
    try:
        return reader(*arguments)
    except OSError:
        return None
