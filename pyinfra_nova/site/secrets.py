"""The passwords of a site: one YAML file, private or encrypted, read once, never shown.

``python -m pyinfra_nova.secrets init [FILE]`` makes a private one with generated passwords.
"""

from __future__ import annotations

import argparse
import base64
import hmac
import os
import secrets as random_source
import struct
import sys
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NoReturn

import yaml
from pydantic import AfterValidator, ConfigDict, SecretStr, ValidationError

from pyinfra_nova.site.faults import Fault, SecretsError
from pyinfra_nova.site.secret_files import (
    HOW_TO_ENCRYPT,
    PLAIN_FILE,
    encryption_of,
    named_encryption,
    read_secrets_file,
    secrets_file,
)
from pyinfra_nova.site.section import Section

PLACEHOLDER = "CHANGE_ME"
OF_YOUR_OWN = "put a value of your own there, or take the line out where nothing needs it"
MINIMUM_LENGTH = 8
MINIMUM_KEY_LENGTH = 20
# RabbitMQ reads a login from a first frame of 4096 bytes (AMQP 0-9-1, frame-min-size).
MAXIMUM_LENGTH = 255

# Cc: NUL, newlines and the like; Cs: lone surrogates, which no file can hold; Zl, Zp: the two
# further characters at which str.splitlines() breaks a line.
FORBIDDEN_CATEGORIES = {
    "Cc": "a control character",
    "Cs": "a lone surrogate",
    "Zl": "a line separator",
    "Zp": "a paragraph separator",
}
FORBIDDEN_NAMES = {"\n": "a newline", "\r": "a carriage return", "\t": "a tab", "\0": "a NUL byte"}


def forbidden_character(text: str) -> str | None:
    """What TEXT holds that cannot be written on one line of a configuration file, by name."""
    for character in text:
        category = unicodedata.category(character)
        if category in FORBIDDEN_CATEGORIES:
            return FORBIDDEN_NAMES.get(
                character, f"{FORBIDDEN_CATEGORIES[category]} (U+{ord(character):04X})"
            )
    return None


def _usable(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value()
    if text == PLACEHOLDER:
        raise ValueError(f"is still the example's {PLACEHOLDER}")
    if len(text) < MINIMUM_LENGTH:
        raise ValueError(f"is shorter than {MINIMUM_LENGTH} characters")
    if len(text) > MAXIMUM_LENGTH:
        raise ValueError(f"is longer than {MAXIMUM_LENGTH} characters")
    if found := forbidden_character(text):
        raise ValueError(f"contains {found}")
    return secret


def broker_usable(text: str) -> str:
    """TEXT, a password of RabbitMQ.

    Raises:
        ValueError: it holds a slash: oslo.messaging reads it from ``transport_url`` and leaves it
            unquoted in the URL that it builds for kombu, in every release up to now
            (oslo_messaging/_drivers/impl_rabbit.py), so the services would not start. Or it is not
            ASCII, or has white space around it: rabbitmqctl reads it in the locale of the host and
            trims it (rabbitmq_cli, core/input.ex), so the broker would have another one.
    """
    if "/" in text:
        raise ValueError("contains /, which oslo.messaging cannot use in a broker's password")
    if not text.isascii():
        raise ValueError("contains a character that is not ASCII, which rabbitmqctl may misread")
    if text != text.strip():
        raise ValueError("begins or ends with a space, which rabbitmqctl cuts off")
    return text


def _broker_secret(secret: SecretStr) -> SecretStr:
    broker_usable(secret.get_secret_value())
    return secret


def _database_secret(secret: SecretStr) -> SecretStr:
    # PyMySQL encodes a password as Latin-1 whatever the connection's character set is
    # (pymysql/connections.py), a server stores the hash of its UTF-8.
    if not secret.get_secret_value().isascii():
        raise ValueError("contains a character that is not ASCII, which PyMySQL sends wrongly")
    return secret


def _key_secret(secret: SecretStr) -> SecretStr:
    if len(secret.get_secret_value()) < MINIMUM_KEY_LENGTH:
        raise ValueError(
            f"is shorter than {MINIMUM_KEY_LENGTH} characters, and a key is made of it"
        )
    return secret


def _ceph_key(secret: SecretStr) -> SecretStr:
    # src/auth/Crypto.cc, CryptoKey: type, seconds, nanoseconds, length, then the key itself.
    try:
        data = base64.b64decode(secret.get_secret_value(), validate=True)
        length: int = struct.unpack("<HIIH", data[:12])[3]
    except (ValueError, struct.error):
        length = -1
    if length != len(data[12:] if length >= 0 else b""):
        raise ValueError("is no key of Ceph, as `ceph auth get-key` prints it")
    return secret


Secret = Annotated[SecretStr, AfterValidator(_usable)]
BrokerSecret = Annotated[Secret, AfterValidator(_broker_secret)]
DatabaseSecret = Annotated[Secret, AfterValidator(_database_secret)]
KeySecret = Annotated[Secret, AfterValidator(_key_secret)]
CephKey = Annotated[Secret, AfterValidator(_ceph_key)]


class Secrets(Section):
    """Every password of a site. Shown, printed or dumped, it hides them; it cannot be pickled.

    Attributes:
        database_password: of Nova's database user.
        messaging_password: of Nova's RabbitMQ user.
        nova_password: of Nova's Keystone user.
        placement_password: of the Keystone user that Nova asks Placement with.
        neutron_password: of the Keystone user that Nova asks Neutron with.
        metadata_secret: shared with Neutron's metadata agent.
        admin_password: of the Keystone administrator.
        migration_secret: what the SSH key is made of that computes move guests with, so it has to
            be random; None where guests are not moved.
        rbd_secret_key: of the Ceph user that Cinder's volumes are opened as; None without Ceph.
        tls_secret: what the authorities of ``tls`` "internal" are made of, so it has to be random.
        tls_next_secret: what takes its place soon: authorities made of it are trusted already.
        tls_former_secret: what it took the place of: those made of it are trusted still.
    """

    model_config = ConfigDict(strict=True)

    database_password: DatabaseSecret
    messaging_password: BrokerSecret
    nova_password: Secret
    placement_password: Secret
    neutron_password: Secret
    metadata_secret: Secret
    admin_password: Secret
    migration_secret: KeySecret | None = None
    rbd_secret_key: CephKey | None = None
    tls_secret: KeySecret | None = None
    tls_next_secret: KeySecret | None = None
    tls_former_secret: KeySecret | None = None

    def values(self) -> tuple[str, ...]:
        """The bare passwords, for the renderer and for masking output."""
        found = (getattr(self, name) for name in type(self).model_fields)
        return tuple(secret.get_secret_value() for secret in found if secret is not None)

    @property
    def masked(self) -> tuple[str, ...]:
        """All that no output may show: the bare passwords, and what is written that they make."""
        return (*self.values(), self.memcache_secret_key.get_secret_value())

    @property
    def memcache_secret_key(self) -> SecretStr:
        """What tokens in memcached are encrypted with, the same on all controllers.

        It is made of what is in the same file of theirs anyway, and of nothing that is on no host:
        what it is made of can be guessed at by whoever has it.
        """
        of = self.database_password
        said = b"pyinfra-nova memcached\0" + self.nova_password.get_secret_value().encode()
        key = hmac.new(of.get_secret_value().encode(), said, "sha256")
        return SecretStr(key.hexdigest())

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("secrets are not pickled")


def load_secrets(
    path: Path | None = None, read: Callable[[Path], str] = read_secrets_file
) -> Secrets:
    """The secrets in PATH, or in the file that ``secrets_file`` finds.

    READ turns the path into YAML text.

    Raises:
        SecretsError: with every fault of the file; no fault shows a value.
    """
    path = path or secrets_file()
    data = _parse(path, read(path))
    try:
        return Secrets.model_validate(data)
    except ValidationError as error:
        raise SecretsError(
            [_fault(path, details["loc"], details) for details in error.errors()]
        ) from None


def _parse(path: Path, text: str) -> Mapping[str, Any]:
    # yaml's own messages quote the line they complain about, hence only its number.
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" (line {mark.line + 1})" if mark else ""
        remedy = "put passwords in single quotes, and double a single quote inside"
        raise SecretsError([Fault(str(path), "", f"is not valid YAML{line}", remedy)]) from None
    if not isinstance(node, yaml.MappingNode) or not isinstance(data, dict):
        raise SecretsError([Fault(str(path), "", "is not a list of `key: value` lines")])
    keys = [str(key.value) for key, _ in node.value]
    twice = sorted({key for key in keys if keys.count(key) > 1})
    if twice:
        raise SecretsError([Fault(str(path), key, "is given more than once") for key in twice])
    return {str(key): value for key, value in data.items()}


def _fault(path: Path, location: Sequence[int | str], details: Mapping[str, Any]) -> Fault:
    key = ".".join(str(part) for part in location)
    kind = details["type"]
    if kind == "missing":
        return Fault(str(path), key, "is missing", f"add a line `{key}: ...`")
    if kind == "extra_forbidden":
        known = ", ".join(Secrets.model_fields)
        return Fault(str(path), key, "unknown key", f"known are {known}")
    if kind == "value_error":
        problem = str(details["ctx"]["error"])
        is_optional = not Secrets.model_fields[key].is_required()
        remedy = OF_YOUR_OWN if is_optional and problem.endswith(PLACEHOLDER) else ""
        return Fault(str(path), key, problem, remedy)
    return Fault(str(path), key, "is not a text", "put it in quotes")


NOT_MADE = ("rbd_secret_key", "tls_next_secret", "tls_former_secret")
"""The key of Ceph comes from Ceph; the others are there while authorities are exchanged."""
PASSWORDS = tuple(name for name in Secrets.model_fields if name not in NOT_MADE)
"""What can be anything, and is made for a new site."""


def generated() -> dict[str, str]:
    """A fresh password for each key that can have one."""
    return {name: random_source.token_urlsafe(24) for name in PASSWORDS}


def ceph_key() -> str:
    """A fresh key as Ceph makes them: AES (1), valid from the epoch on, 16 bytes."""
    key = random_source.token_bytes(16)
    return base64.b64encode(struct.pack("<HIIH", 1, 0, 0, len(key)) + key).decode()


def add_ceph_key(path: Path) -> bool:
    """Add a fresh ``rbd_secret_key`` to the file at PATH; False if it has one.

    Raises:
        SecretsError: the file cannot be used, or has none and a line cannot be added to it.
    """
    return _added(path, "rbd_secret_key", ceph_key, "docs/storage.md says what it is")


def add_tls_secret(path: Path) -> bool:
    """The same of ``tls_secret``."""
    made = partial(random_source.token_urlsafe, 24)
    return _added(path, "tls_secret", made, RANDOM)


RANDOM = "give it 32 random characters"


def how_to_add_tls_secret(path: Path) -> str:
    """How ``tls_secret`` comes into the file at PATH, which has none."""
    if remedy := _by_hand(path, "tls_secret"):
        return remedy
    name = "" if path == PLAIN_FILE else f" {path}"
    return f"`python -m pyinfra_nova.secrets add-tls-secret{name}` adds it"


def _by_hand(path: Path, key: str) -> str:
    """How KEY comes into a file to which no line can be added; empty where one can."""
    try:
        kind, text = encryption_of(path), path.read_text(encoding="utf-8", errors="replace")
    except (SecretsError, OSError):
        return ""
    if kind == "SOPS":
        return f"add a line `{key}: ...` with `sops {path}`"
    if kind == "age":
        return f"decrypt it, add a line `{key}: ...` and encrypt it again (docs/secrets.md)"
    if text.lstrip().startswith("{"):
        return f'add `"{key}": "..."` to what is in its braces'
    return ""


def _added(path: Path, key: str, made: Callable[[], str], remedy: str) -> bool:
    if getattr(load_secrets(path), key):
        return False
    how = _by_hand(path, key)
    by_hand = [Fault(str(path), key, "is missing", f"{how}; {remedy}" if how else remedy)]
    if how:
        raise SecretsError(by_hand)
    before = path.read_text(encoding="utf-8")
    line = f"{key}: '{made()}'\n"
    added = line if before.endswith("\n") else f"\n{line}"
    try:
        Secrets.model_validate(_parse(path, before + added))
    except (SecretsError, ValidationError):
        raise SecretsError(by_hand) from None
    # Appended: whoever is cut off here loses none of the passwords before it.
    with path.open("a", encoding="utf-8") as stream:
        stream.write(added)
    return True


def create(path: Path) -> None:
    """Write PATH with generated passwords, private from its first moment.

    Raises:
        SecretsError: there is something at PATH already, it cannot be written, or its name says
            that it is encrypted, which this file is not.
    """
    if not os.path.lexists(path) and (encryption := named_encryption(path)):
        problem = f"is missing, and a file encrypted with {encryption} is not made here"
        raise SecretsError([Fault(str(path), "", problem, HOW_TO_ENCRYPT)])
    text = "# Made by `python -m pyinfra_nova.secrets init`. Keep it private and out of git.\n"
    text += "".join(f"{name}: '{value}'\n" for name, value in generated().items())
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise SecretsError([Fault(str(path), "", "exists and is left as it is")]) from None
    except OSError as error:
        raise SecretsError([Fault(str(path), "", f"cannot be made: {error.strerror}")]) from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        os.fchmod(descriptor, 0o600)
        stream.write(text)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command ``python -m pyinfra_nova.secrets``."""
    parser = argparse.ArgumentParser(prog="python -m pyinfra_nova.secrets")
    commands = parser.add_subparsers(dest="command", required=True)
    init = commands.add_parser("init", help="make a secrets file with generated passwords")
    init.add_argument("file", nargs="?", type=Path, help="default: the one that a deploy reads")
    init.add_argument("--if-missing", action="store_true", help="leave one that is there alone")
    adders = {
        "add-ceph-key": ("rbd_secret_key", add_ceph_key),
        "add-tls-secret": ("tls_secret", add_tls_secret),
    }
    for word, (key, _) in adders.items():
        add = commands.add_parser(word, help=f"add a generated {key}")
        add.add_argument("file", nargs="?", type=Path, help="default: the one that a deploy reads")
    options = parser.parse_args(arguments)
    try:
        path: Path = options.file or secrets_file()
        if options.command in adders:
            key, added = adders[options.command]
            print(f"{path}: {key} " + ("added" if added(path) else "is there"))
            return 0
        if options.if_missing and os.path.lexists(path):
            return 0
        create(path)
    except SecretsError as error:
        print("\n".join(str(fault) for fault in error.faults), file=sys.stderr)
        return 1
    print(f"{path}: made, readable by you alone; keep it out of git")
    return 0


if __name__ == "__main__":
    sys.exit(main())
