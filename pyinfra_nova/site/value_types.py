"""Single values of settings: what each may be, and what it is called when it is not that."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field

from pyinfra_nova.site.secrets import forbidden_character

# RFC 1123 host names; Nova uses them as oslo.messaging topics and in URLs.
HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9-]{1,63}(?<!-))*")
SQL_NAME = re.compile(r"[A-Za-z0-9_]{1,64}")
UNIT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9@._-]*")
# nova's rabbit driver puts the name into kombu's URL unquoted (oslo.messaging, impl_rabbit.py).
VIRTUAL_HOST = re.compile(r"/|(?!-)[A-Za-z0-9._-]{1,255}")
# MariaDB's limit is 80; rabbitmqctl prints other characters escaped, and takes - for an option.
LOGIN = re.compile(r"(?!-)[A-Za-z0-9._@+-]{1,80}")
CPU_MODEL = re.compile(r"[A-Za-z0-9._+-]{1,255}")
# Less than nova/conf/cinder.py lets pass: an interface that is none ends in an empty catalogue.
CATALOG_INFO = re.compile(r"[\w-]+:\w*:(public|internal|admin)(URL)?", re.ASCII)
UUID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
# RFC 3986, section 2: what a URL is made of. Brackets are there for addresses of IPv6.
URL_CHARACTERS = re.compile(r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+")
# Keystone's longest names, of users and regions (keystone/identity/schema.py).
MAXIMUM_LENGTH = 255


def is_truth(value: object) -> bool:
    """Whether oslo.config takes an option's VALUE for yes."""
    return str(value).strip().lower() in ("1", "true", "yes", "on")


def shown(text: str) -> str:
    """TEXT for a message: cut where it is long, hidden where it may hold a password."""
    if re.search(":.*@", text, re.DOTALL):
        return "the value"
    return repr(text if len(text) <= 80 else text[:80] + "…")


def spelled(pattern: re.Pattern[str], problem: str, *, named: bool = False) -> AfterValidator:
    """What refuses a text that is not of PATTERN, with PROBLEM; NAMED, with the text before it."""

    def checked(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError(f"{shown(text)} {problem}" if named else problem)
        return text

    return AfterValidator(checked)


def _host_name(text: str) -> str:
    if not HOST_NAME.fullmatch(text) or len(text) > 253:
        raise ValueError(f"{shown(text)} is not a host name")
    return text


def _server(text: str) -> str:
    """HOST or HOST:PORT."""
    host, colon, port = text.partition(":")
    _host_name(host)
    if colon and not (re.fullmatch("[0-9]{1,5}", port) and 0 < int(port) < 65536):
        raise ValueError(f"{shown(text)} is not a host name and a port")
    return text


def _one_line(text: str) -> str:
    if not text.strip():
        raise ValueError("is empty")
    if found := forbidden_character(text):
        raise ValueError(f"contains {found}")
    if text != text.strip():
        raise ValueError("begins or ends with a space")
    if len(text) > MAXIMUM_LENGTH:
        raise ValueError(f"is longer than {MAXIMUM_LENGTH} characters")
    return text


BY_ITSELF = "AUTO:"
"""How Nova begins the reason for which it disables a compute itself (virt/libvirt/driver.py)."""


def _reason(text: str) -> str:
    if text.startswith(BY_ITSELF):
        raise ValueError("begins as Nova's own reasons do, which it takes back by itself")
    # nova/db/main/models.py, services.disabled_reason; the column has three bytes for a character.
    if found := next((character for character in text if ord(character) > 0xFFFF), None):
        raise ValueError(f"holds {found!r}, which Nova's database cannot keep")
    return text


def _url(text: str) -> str:
    if not URL_CHARACTERS.fullmatch(text):
        raise ValueError(f"{shown(text)} holds a character that no URL has")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError(f"{shown(text)} is not a URL") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise ValueError(f"{shown(text)} is not a URL like http://controller:5000/v3")
    if parts.password is not None or parts.username is not None:
        raise ValueError("holds a user name or password, which belong in secrets.yml")
    return text


def _listed_url(text: str) -> str:
    # oslo.config separates the items of a list by commas and has no way to escape one.
    if "," in text:
        raise ValueError(f"{shown(text)} holds a comma")
    return text


def _uuid(text: str) -> str:
    """TEXT as libvirt and Cinder write a UUID."""
    if not UUID.fullmatch(text):
        raise ValueError(f"{shown(text)} is not a UUID (`uuidgen` makes one)")
    return text.lower()


def _listen_address(text: str) -> str:
    if text != MY_IP:
        try:
            IPv4Address(text)
        except ValueError:
            raise ValueError(f"{shown(text)} is neither {MY_IP} nor an IPv4 address") from None
    return text


def _network(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return IPv4Network(value)
    except ValueError:
        pass
    try:
        meant = IPv4Network(value, strict=False)
    except ValueError:
        raise ValueError(f"{shown(value)} is not a network like 10.0.0.0/24") from None
    raise ValueError(f"{shown(value)} is an address in a network; did you mean '{meant}'?")


def _address(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return IPv4Address(value)
    except ValueError:
        raise ValueError(f"{shown(value)} is not an IPv4 address") from None


MY_IP = "$my_ip"
"""In the addresses of ``apis`` and ``vnc``: the host's own ``my_ip``."""
EVERYWHERE = "0.0.0.0"  # noqa: S104 - what others have to reach listens on every address

HostName = Annotated[str, AfterValidator(_host_name)]
SqlName = Annotated[
    str, spelled(SQL_NAME, "is not a plain SQL name (letters, digits, _)", named=True)
]
UnitName = Annotated[str, spelled(UNIT_NAME, "is not the name of a unit of systemd", named=True)]
Text = Annotated[str, AfterValidator(_one_line)]
Reason = Annotated[Text, AfterValidator(_reason)]
Login = Annotated[
    str, spelled(LOGIN, "is not made of at most 80 letters, digits, '.', '_', '-', '+' and '@'")
]
Server = Annotated[str, AfterValidator(_server)]
CpuModel = Annotated[str, spelled(CPU_MODEL, "is not the name of a CPU model", named=True)]
Url = Annotated[str, AfterValidator(_url)]
ListedUrl = Annotated[Url, AfterValidator(_listed_url)]
CatalogInfo = Annotated[str, spelled(CATALOG_INFO, "is not like volumev3::internalURL", named=True)]
Uuid = Annotated[str, AfterValidator(_uuid)]
VirtualHost = Annotated[
    str,
    spelled(VIRTUAL_HOST, "is neither / nor made of letters, digits, '.', '_' and '-'", named=True),
]
ListenAddress = Annotated[str, AfterValidator(_listen_address)]
Network = Annotated[IPv4Network, BeforeValidator(_network)]
Address = Annotated[IPv4Address, BeforeValidator(_address)]
Port = Annotated[int, Field(ge=1, le=65535)]
Count = Annotated[int, Field(ge=1, le=1024)]
Seconds = Annotated[int, Field(ge=1, le=3600)]
Interfaces = Annotated[list[Literal["public", "internal", "admin"]], Field(min_length=1)]
OptionValue = str | bool | int | float | list[str] | None
Overrides = dict[str, dict[str, OptionValue]]
