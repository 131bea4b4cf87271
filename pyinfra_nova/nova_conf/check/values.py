"""Whether a value is what an option takes, by the rules of oslo_config/types.py."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

Kind = Mapping[str, Any]
Problem = str | None
"""What is wrong with a value, without the value; None if nothing is."""

TRUE = ("true", "1", "on", "yes")
FALSE = ("false", "0", "off", "no")


def problem(kind: Kind, value: str) -> Problem:
    """What is wrong with VALUE for an option of KIND, a row of a release's table."""
    check = _CHECKS.get(kind["type"], _string)
    return check(kind, value)


def _one_of(choices: list[Any]) -> str:
    return "is not one of " + ", ".join(str(choice) or "''" for choice in choices)


def _string(kind: Kind, value: str) -> Problem:
    if kind.get("quotes") and value[:1] in ("'", '"'):
        if len(value) == 1 or value[-1] != value[0]:
            return "has a quotation mark that is not closed"
        value = value[1:-1]
    if (longest := kind.get("max_length")) and len(value) > longest:
        return f"is longer than {longest} characters"
    flags = re.IGNORECASE if kind.get("ignore_case") else 0
    if (regex := kind.get("regex")) and not re.search(regex, value, flags):
        return f"does not match {regex}"
    choices = kind.get("choices")
    if choices is None:
        return None
    known = [c.lower() for c in choices] if flags else choices
    return None if (value.lower() if flags else value) in known else _one_of(choices)


def _boolean(_kind: Kind, value: str) -> Problem:
    return None if value.lower() in TRUE + FALSE else "is not true or false"


def _bounds(kind: Kind, number: float) -> Problem:
    if choices := kind.get("choices"):
        return None if number in choices else _one_of(choices)
    if (least := kind.get("min")) is not None and number < least:
        return f"is less than {least}"
    if (most := kind.get("max")) is not None and number > most:
        return f"is more than {most}"
    return None


def _number(convert: Callable[[str], float], name: str) -> Callable[[Kind, str], Problem]:
    def check(kind: Kind, value: str) -> Problem:
        if not value.strip():
            return None  # stands for no value
        try:
            return _bounds(kind, convert(value.strip()))
        except ValueError:
            return f"is not {name}"

    return check


def _inside(kind: Kind, value: str, brackets: str) -> str | None:
    """VALUE without its BRACKETS where KIND demands them, None if they are missing."""
    if not kind.get("bounds"):
        return value
    if value[:1] != brackets[0] or value[-1:] != brackets[1]:
        return None
    return value[1:-1]


def _parts(items: list[str], check: Callable[[str], Problem]) -> Problem:
    """What is wrong with the first of ITEMS that stays wrong with its followers added.

    An item may contain commas itself, so oslo.config tries one comma more until it fits.
    """
    while items:
        tried = items.pop(0)
        first = found = check(tried.strip())
        while found and items:
            tried += "," + items.pop(0)
            found = check(tried.strip())
        if found:
            return first
    return None


def _list(kind: Kind, value: str) -> Problem:
    inner = _inside(kind, value.strip().rstrip(","), "[]")
    if inner is None:
        return "is not a list in [ ]"
    items = inner.split(",") if inner else []
    if len(items) < kind.get("min_length", 0):
        return f"has fewer than {kind['min_length']} items"
    found = _parts(items, lambda item: problem(kind["item"], item))
    return found and f"holds an item that {found}"


def _dict(kind: Kind, value: str) -> Problem:
    separator = kind.get("key_value_separator", ":")
    inner = _inside(kind, value.strip(), "{}")
    if inner is None:
        return "is not in { }"

    def pair(text: str) -> Problem:
        key, found, item = text.partition(separator)
        if not found or not key.strip():
            return f"is not NAME{separator}VALUE"
        return problem(kind["item"], item.strip())

    found = _parts(inner.split(",") if inner else [], pair)
    return found and f"holds an item that {found}"


def _range(kind: Kind, value: str) -> Problem:
    number = "0|-?[1-9][0-9]*"
    match = re.match(rf"^({number})(?:-({number}))?$", value)
    if not match:
        return "is not a range such as 1-4"
    ends = [int(match[1]), int(match[2] or match[1])]
    return _bounds(kind, min(ends)) or _bounds(kind, max(ends))


def _is_address(value: str, version: int | None) -> bool:
    try:
        return ipaddress.ip_address(value).version in ((version,) if version else (4, 6))
    except ValueError:
        return False


def _ip(kind: Kind, value: str) -> Problem:
    version = kind.get("version")
    if _is_address(value, version):
        return None
    return f"is not an IPv{version} address" if version else "is not an IP address"


def _is_host(value: str, characters: str) -> bool:
    labels = value.removesuffix(".").split(".")
    return (
        0 < len(value) <= 253
        and re.search("[a-zA-Z-]", labels[-1]) is not None
        and all(re.match(rf"(?!-)[{characters}]{{1,63}}(?<!-)$", label) for label in labels)
    )


def _hostname(_kind: Kind, value: str) -> Problem:
    return None if _is_host(value, "a-zA-Z0-9-") else "is not a host name"


def _host_address(_kind: Kind, value: str) -> Problem:
    if _is_address(value, None) or _is_host(value, "a-zA-Z0-9-"):
        return None
    return "is not an IP address or a host name"


def _host_domain(kind: Kind, value: str) -> Problem:
    if _host_address(kind, value) is None or _is_host(value, "a-zA-Z0-9_-"):
        return None
    return "is not an IP address or a host name"


def _uri(kind: Kind, value: str) -> Problem:
    try:
        parts = urlsplit(value)
        usable = bool(parts.scheme and parts.hostname) and not re.search(r"\s", value)
    except ValueError:
        usable = False
    if not usable:
        return "is not a URL with a scheme and a host"
    if (schemes := kind.get("schemes")) and parts.scheme not in schemes:
        return f"is not a URL with one of the schemes {', '.join(schemes)}"
    if (longest := kind.get("max_length")) and len(value) > longest:
        return f"is longer than {longest} characters"
    return None


_CHECKS: Mapping[str, Callable[[Kind, str], Problem]] = {
    "boolean": _boolean,
    "dict": _dict,
    "float": _number(float, "a number"),
    "host address": _host_address,
    "host domain": _host_domain,
    "hostname": _hostname,
    "integer": _number(int, "an integer"),
    "ip": _ip,
    "list": _list,
    "port": _number(int, "a port number"),
    "range": _range,
    "string": _string,
    "uri": _uri,
}
