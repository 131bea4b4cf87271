"""The passwords of a site: one private YAML file, read once, never shown.

``python -m pyinfra_nova.secrets init [FILE]`` makes that file with generated passwords.
"""

from __future__ import annotations

import argparse
import os
import secrets as random_source
import stat
import sys
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, SecretStr, ValidationError

from pyinfra_nova.errors import Fault, SecretsError

DEFAULT_FILE = Path("secrets.yml")
PLACEHOLDER = "CHANGE_ME"
MINIMUM_LENGTH = 8
HOW_TO_MAKE = "make it with `python -m pyinfra_nova.secrets init {path}`"

# Cc: NUL, newlines and the like; Cs: lone surrogates, which no file can hold; Zl, Zp: the two
# further characters at which str.splitlines() breaks a line.
FORBIDDEN_CATEGORIES = {
    "Cc": "a control character",
    "Cs": "a lone surrogate",
    "Zl": "a line separator",
    "Zp": "a paragraph separator",
}
FORBIDDEN_NAMES = {"\n": "a newline", "\r": "a carriage return", "\t": "a tab", "\0": "a NUL byte"}


def secrets_file() -> Path:
    """The file to read: the one that PYINFRA_NOVA_SECRETS names, else secrets.yml here."""
    return Path(os.environ.get("PYINFRA_NOVA_SECRETS") or DEFAULT_FILE)


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
    if found := forbidden_character(text):
        raise ValueError(f"contains {found}")
    return secret


def broker_usable(text: str) -> str:
    """TEXT, a user or password of RabbitMQ.

    Raises:
        ValueError: it holds a slash. oslo.messaging reads it from ``transport_url`` and leaves it
            unquoted in the URL that it builds for kombu, in every release up to now
            (oslo_messaging/_drivers/impl_rabbit.py), so the services would not start.
    """
    if "/" in text:
        raise ValueError(
            "contains /, which oslo.messaging cannot use in a broker's user or password"
        )
    return text


def _broker_secret(secret: SecretStr) -> SecretStr:
    broker_usable(secret.get_secret_value())
    return secret


Secret = Annotated[SecretStr, AfterValidator(_usable)]
BrokerSecret = Annotated[Secret, AfterValidator(_broker_secret)]


class Secrets(BaseModel):
    """Every password of a site. Shown, printed or dumped, it hides them; it cannot be pickled.

    Attributes:
        database_password: of Nova's database user.
        messaging_password: of Nova's RabbitMQ user.
        nova_password: of Nova's Keystone user.
        placement_password: of the Keystone user that Nova asks Placement with.
        neutron_password: of the Keystone user that Nova asks Neutron with.
        metadata_secret: shared with Neutron's metadata agent.
        admin_password: of the Keystone administrator.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, strict=True)

    database_password: Secret
    messaging_password: BrokerSecret
    nova_password: Secret
    placement_password: Secret
    neutron_password: Secret
    metadata_secret: Secret
    admin_password: Secret

    def values(self) -> tuple[str, ...]:
        """The bare passwords, for the renderer and for masking output."""
        return tuple(getattr(self, name).get_secret_value() for name in type(self).model_fields)

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("secrets are not pickled")


def read_private_file(path: Path) -> str:
    """The text of PATH, which has to be a file that nobody but its owner can read.

    Raises:
        SecretsError: it is missing, or others may read it, or it is someone else's.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        how = HOW_TO_MAKE.format(path=path)
        raise SecretsError([Fault(str(path), "", "is missing", how)]) from None
    except OSError as error:
        raise SecretsError([Fault(str(path), "", f"cannot be read: {error.strerror}")]) from None
    if fault := _privacy_fault(str(path), os.fstat(descriptor)):
        os.close(descriptor)
        raise SecretsError([fault])
    with os.fdopen(descriptor, "rb") as stream:
        content = stream.read()
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise SecretsError([Fault(str(path), "", "is not UTF-8 text")]) from None


def _privacy_fault(path: str, status: os.stat_result) -> Fault | None:
    if not stat.S_ISREG(status.st_mode):
        return Fault(path, "", "is not a regular file")
    if status.st_uid not in _own_uids():
        return Fault(path, "", f"belongs to uid {status.st_uid}", f"run `chown $(id -u) {path}`")
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o077:
        return Fault(path, "", f"mode {mode:04o} lets others read it", f"run `chmod 600 {path}`")
    return None


def _own_uids() -> set[int]:
    """This user, and under sudo also the user who called it: that is whose checkout it is."""
    caller = os.environ.get("SUDO_UID", "")
    sudo = {int(caller)} if os.geteuid() == 0 and caller.isdecimal() else set()
    return {os.geteuid()} | sudo


def load_secrets(
    path: Path = DEFAULT_FILE, read: Callable[[Path], str] = read_private_file
) -> Secrets:
    """The secrets in PATH.

    READ turns the path into YAML text, so that an encrypted file needs only another reader.

    Raises:
        SecretsError: with every fault of the file; no fault shows a value.
    """
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
        return Fault(str(path), key, str(details["ctx"]["error"]))
    return Fault(str(path), key, "is not a text", "put it in quotes")


def generated() -> dict[str, str]:
    """A fresh password for each key."""
    return {name: random_source.token_urlsafe(24) for name in Secrets.model_fields}


def create(path: Path) -> None:
    """Write PATH with generated passwords, private from its first moment.

    Raises:
        SecretsError: there is something at PATH already, or it cannot be written.
    """
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
    init.add_argument("file", nargs="?", type=Path, default=DEFAULT_FILE)
    path: Path = parser.parse_args(arguments).file
    try:
        create(path)
    except SecretsError as error:
        print("\n".join(str(fault) for fault in error.faults), file=sys.stderr)
        return 1
    print(f"{path}: made, readable by you alone; keep it out of git")
    return 0


if __name__ == "__main__":
    sys.exit(main())
