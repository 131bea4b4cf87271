"""The secrets file: which one it is, who may read it, and its text, decrypted where it has to be.

A plain file has to be private. One encrypted with SOPS or age may be readable by all and in git; it
is recognised by its content. Its text comes through a pipe from the program ``sops`` or ``age`` and
is never written anywhere.
"""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import yaml

from pyinfra_nova.site.faults import Fault, SecretsError

PLAIN_FILE = Path("secrets.yml")
ENCRYPTED_FILES = (Path("secrets.sops.yml"), Path("secrets.yml.age"))
HOW_TO_MAKE = "make it with `python -m pyinfra_nova.secrets init {path}`"
HOW_TO_ENCRYPT = "make it as docs/secrets.md shows"

Encryption = Literal["SOPS", "age"]

# https://age-encryption.org/v1, "File format"; the armored form may stand after white space.
AGE_HEADER, AGE_ARMOR = b"age-encryption.org/", b"-----BEGIN AGE ENCRYPTED FILE-----"

# Ansible's documentation, "Format of files encrypted with Ansible Vault".
VAULT = b"$ANSIBLE_VAULT;"

# Exit codes of sops (getsops/sops, cmd/sops/codes/codes.go).
SOPS_NO_KEY = (111, 128)
SOPS_DAMAGED = (24, 25, 51, 52)


def secrets_file() -> Path:
    """The file that PYINFRA_NOVA_SECRETS names, else the one that is here, else secrets.yml.

    Raises:
        SecretsError: several are here; which of them holds what is meant cannot be told.
    """
    if named := os.environ.get("PYINFRA_NOVA_SECRETS"):
        return Path(named)
    here = [path for path in (PLAIN_FILE, *ENCRYPTED_FILES) if os.path.lexists(path)]
    if len(here) > 1:
        others = " and ".join(str(path) for path in here[1:])
        problem = f"is not the only secrets file here, there is {others} too"
        remedy = "remove all but one, or name it in PYINFRA_NOVA_SECRETS"
        raise SecretsError([Fault(str(here[0]), "", problem, remedy)])
    return here[0] if here else PLAIN_FILE


def named_encryption(path: Path) -> Encryption | None:
    """What the name of PATH promises: ``*.age``, ``*.sops.yml`` and the like."""
    if path.suffix == ".age":
        return "age"
    return "SOPS" if ".sops" in path.suffixes else None


def is_encrypted(path: Path) -> bool:
    """Whether PATH, a file that can be read, holds something encrypted."""
    return encryption_of(path) is not None


def encryption_of(path: Path) -> Encryption | None:
    """What PATH, a file that can be read, is encrypted with; None for a plain one."""
    content, _ = _content(path)
    if _is_age(content):
        return "age"
    return None if _sops_data(content) is None else "SOPS"


def read_secrets_file(path: Path) -> str:
    """The text of PATH, decrypted if it is encrypted.

    Raises:
        SecretsError: it is missing, is plain and others may read it, or cannot be decrypted.
    """
    content, status = _content(path)
    if _is_age(content):
        content = _opened_by_age(path)
    elif (data := _sops_data(content)) is not None:
        content = _opened_by_sops(path, data)
    elif content.lstrip().startswith(VAULT):
        problem = "is encrypted with ansible-vault, which is not read here"
        raise SecretsError([Fault(str(path), "", problem, f"use SOPS or age: {HOW_TO_ENCRYPT}")])
    elif promised := named_encryption(path):
        problem = f"is not encrypted with {promised}, as its name says, or it is damaged"
        raise SecretsError([Fault(str(path), "", problem, HOW_TO_ENCRYPT)])
    elif fault := _privacy_fault(path, status):
        raise SecretsError([fault])
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise SecretsError([Fault(str(path), "", "is not UTF-8 text")]) from None


def _content(path: Path) -> tuple[bytes, os.stat_result]:
    try:
        # Without O_NONBLOCK a named pipe would wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        how = HOW_TO_ENCRYPT if named_encryption(path) else HOW_TO_MAKE.format(path=path)
        raise SecretsError([Fault(str(path), "", "is missing", how)]) from None
    except OSError as error:
        raise SecretsError([Fault(str(path), "", f"cannot be read: {error.strerror}")]) from None
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise SecretsError([Fault(str(path), "", "is not a regular file")])
    with os.fdopen(descriptor, "rb") as stream:
        return stream.read(), status


def private_or_fault(path: Path) -> None:
    """Pass PATH, a file that is there, if nobody but its owner may read it.

    Raises:
        SecretsError: others may, or it is somebody else's.
    """
    try:
        fault = _privacy_fault(path, path.stat())
    except OSError as error:
        fault = Fault(str(path), "", f"cannot be read: {error.strerror}")
    if fault:
        raise SecretsError([fault])


def _privacy_fault(path: Path, status: os.stat_result) -> Fault | None:
    if status.st_uid not in _own_uids():
        remedy = f"run `chown $(id -u) {path}`"
        return Fault(str(path), "", f"belongs to uid {status.st_uid}", remedy)
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o077:
        problem = f"mode {mode:04o} lets others read it"
        return Fault(str(path), "", problem, f"run `chmod 600 {path}`")
    return None


def _own_uids() -> set[int]:
    """This user, and under sudo also the user who called it: that is whose checkout it is."""
    caller = os.environ.get("SUDO_UID", "")
    sudo = {int(caller)} if os.geteuid() == 0 and caller.isdecimal() else set()
    return {os.geteuid()} | sudo


# --- decryption -----------------------------------------------------------------------------------


def _output(path: Path, program: Sequence[str], install: str) -> tuple[int, bytes, bytes]:
    """The exit code, output and errors of PROGRAM; none of them is shown to anybody."""
    try:
        done = subprocess.run(
            program, stdin=subprocess.DEVNULL, capture_output=True, check=False, shell=False
        )
    except OSError:
        problem = f"is encrypted, and the program `{program[0]}` that opens it does not run here"
        raise SecretsError([Fault(str(path), "", problem, install)]) from None
    return done.returncode, done.stdout, done.stderr


def _is_age(content: bytes) -> bool:
    return content.startswith(AGE_HEADER) or content.lstrip().startswith(AGE_ARMOR)


def age_identity() -> Path:
    """The file with the key: PYINFRA_NOVA_AGE_IDENTITY, else where SOPS has its age keys, too."""
    if named := os.environ.get("PYINFRA_NOVA_AGE_IDENTITY") or os.environ.get("SOPS_AGE_KEY_FILE"):
        return Path(named).expanduser()
    folder = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(folder).expanduser() / "sops" / "age" / "keys.txt"


def _opened_by_age(path: Path) -> bytes:
    identity = age_identity()
    try:
        status = identity.stat()
    except OSError as error:
        problem = f"is encrypted with age, and the identity {identity} is not at hand"
        remedy = f"name yours in PYINFRA_NOVA_AGE_IDENTITY ({error.strerror})"
        raise SecretsError([Fault(str(path), "", problem, remedy)]) from None
    if fault := _privacy_fault(identity, status):
        raise SecretsError([fault])
    command = ["age", "--decrypt", "--identity", str(identity.absolute()), str(path.absolute())]
    code, output, errors = _output(path, command, "install age, Debian's package `age`")
    if code == 0:
        return output
    if b"no identity matched" in errors:
        problem = f"is not encrypted for the identity in {identity}"
        remedy = "name the right one in PYINFRA_NOVA_AGE_IDENTITY"
    else:
        problem = f"cannot be decrypted with {identity}: one of the two is damaged"
        remedy = f"`age --decrypt --identity {identity} {path} >/dev/null` says more"
    raise SecretsError([Fault(str(path), "", problem, remedy)])


def _sops_data(content: bytes) -> Mapping[str, Any] | None:
    """The YAML mapping of a file that SOPS has encrypted; None for any other file."""
    try:
        data = yaml.safe_load(content)
    except (yaml.YAMLError, ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) and isinstance(data.get("sops"), dict) else None


def _opened_by_sops(path: Path, data: Mapping[str, Any]) -> bytes:
    # SOPS can be told to leave values alone, and the file may be in git.
    if bare := sorted(set(_bare_keys(data))):
        remedy = "let SOPS encrypt every value, and change this one: others may have read it"
        raise SecretsError(
            [Fault(str(path), key, "stands unencrypted in the file", remedy) for key in bare]
        )
    # Without a type SOPS goes by the name. `--decrypt` is in every release, `decrypt` since 3.9.
    types = ("--input-type", "yaml", "--output-type", "yaml")
    command = ["sops", "--decrypt", *types, str(path.absolute())]
    code, output, _ = _output(path, command, "install SOPS, https://getsops.io")
    if code == 0:
        return output
    remedy = f"`sops --decrypt {path} >/dev/null` says more"
    if code in SOPS_NO_KEY:
        problem = "is encrypted with SOPS, and none of the keys here opens it"
        remedy = f"name your age key in SOPS_AGE_KEY_FILE; {remedy}"
    elif code in SOPS_DAMAGED:
        problem = "is damaged or was changed without SOPS"
    else:
        problem = f"cannot be decrypted: sops ends with exit code {code}"
    raise SecretsError([Fault(str(path), "", problem, remedy)])


def _bare_keys(data: Mapping[str, Any]) -> Iterator[str]:
    for key, value in data.items():
        if key != "sops" and not (isinstance(value, str) and value.startswith("ENC[")):
            yield str(key)
