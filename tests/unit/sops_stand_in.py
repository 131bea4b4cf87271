"""A stand-in for the program ``sops``, for machines that do not have it: not SOPS itself.

It encrypts and decrypts YAML mappings of texts for age recipients in SOPS' own file format (a data
key for the file, AES256-GCM for each value with its path authenticated, a MAC over all values), and
ends with the exit codes that sops has (getsops/sops, cmd/sops/codes/codes.go). Nothing else of SOPS
is here.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NOT_READABLE, TREE, MAC, MISMATCH, NO_KEY = 2, 25, 24, 51, 128
VALUE = re.compile(r"ENC\[AES256_GCM,data:(.*),iv:(.*),tag:(.*),type:str\]")


def stop(code: int, text: str) -> None:
    print(text, file=sys.stderr)
    raise SystemExit(code)


def sealed(key: bytes, text: str, bound_to: str) -> str:
    nonce = os.urandom(32)
    both = AESGCM(key).encrypt(nonce, text.encode(), bound_to.encode())
    data, iv, tag = (base64.b64encode(part).decode() for part in (both[:-16], nonce, both[-16:]))
    return f"ENC[AES256_GCM,data:{data},iv:{iv},tag:{tag},type:str]"


def opened(key: bytes, value: str, bound_to: str, code: int) -> str:
    match = VALUE.fullmatch(value)
    if match is None:
        raise SystemExit(code)
    data, nonce, tag = (base64.b64decode(part) for part in match.groups())
    try:
        return AESGCM(key).decrypt(nonce, data + tag, bound_to.encode()).decode()
    except InvalidTag:
        stop(code, f"Error decrypting {bound_to}")
        raise


def mac_of(values: Mapping[str, str]) -> str:
    return hashlib.sha512("".join(values.values()).encode()).hexdigest().upper()


def age(*arguments: str, stdin: bytes) -> bytes | None:
    done = subprocess.run(["age", *arguments], input=stdin, capture_output=True, check=False)
    return done.stdout if done.returncode == 0 else None


def encrypted(values: Mapping[str, str], recipients: str) -> dict[str, Any]:
    key, time = os.urandom(32), "2026-01-01T00:00:00Z"
    holders = [
        {"recipient": one, "enc": (age("--armor", "-r", one, stdin=key) or b"").decode()}
        for one in recipients.split(",")
    ]
    sops = {
        "age": holders,
        "lastmodified": time,
        "mac": sealed(key, mac_of(values), time),
        "unencrypted_suffix": "_unencrypted",
        "version": "3.9.0",
    }
    return {name: sealed(key, text, f"{name}:") for name, text in values.items()} | {"sops": sops}


def data_key(sops: Mapping[str, Any]) -> bytes:
    folder = os.environ.get("XDG_CONFIG_HOME") or str(Path("~/.config").expanduser())
    identity = os.environ.get("SOPS_AGE_KEY_FILE") or f"{folder}/sops/age/keys.txt"
    for holder in sops["age"]:
        if key := age("--decrypt", "-i", identity, stdin=holder["enc"].encode()):
            return key
    stop(NO_KEY, "Failed to get the data key required to decrypt the SOPS file.")
    raise AssertionError


def decrypted(data: dict[str, Any]) -> dict[str, str]:
    sops = data.pop("sops")
    key = data_key(sops)
    values = {name: opened(key, text, f"{name}:", TREE) for name, text in data.items()}
    if opened(key, sops["mac"], sops["lastmodified"], MAC) != mac_of(values):
        stop(MISMATCH, "MAC mismatch.")
    return values


def main() -> None:
    parser = argparse.ArgumentParser(prog="sops")
    parser.add_argument("--encrypt", action="store_true")
    parser.add_argument("--decrypt", action="store_true")
    parser.add_argument("--age")
    parser.add_argument("--input-type", choices=["yaml"])
    parser.add_argument("--output-type", choices=["yaml"])
    parser.add_argument("file", type=Path)
    options = parser.parse_args()
    try:
        data = yaml.safe_load(options.file.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError):
        stop(NOT_READABLE, "Error unmarshalling input yaml")
    if options.encrypt == options.decrypt:
        stop(1, "the stand-in for sops only encrypts and decrypts")
    result = encrypted(data, options.age) if options.encrypt else decrypted(data)
    yaml.safe_dump(result, sys.stdout, allow_unicode=True, sort_keys=False)


if __name__ == "__main__":
    main()
