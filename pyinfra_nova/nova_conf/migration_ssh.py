"""The SSH key that computes move guests with, made of a secret, and the files around it."""

from __future__ import annotations

import hashlib
import re
import struct
from base64 import b64encode
from collections.abc import Mapping, Sequence
from functools import lru_cache

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pyinfra_nova.knowledge.platforms import Platform
from pyinfra_nova.nova_conf.config_file import AbsentFile, ConfigFile
from pyinfra_nova.site.settings import HostSettings, Site

URI = "qemu+ssh://{user}@%s/system"
"""Of libvirt on the other compute; Nova puts its address in. libvirtd connects, as root."""
KEY = "/etc/nova/migration_key"
KNOWN_HOSTS = "/etc/nova/known_hosts."
SSH_CONFIG = "/etc/ssh/ssh_config.d/50-pyinfra-nova.conf"
COMMENT = "pyinfra-nova"
MARKER = "# Written by pyinfra-nova: how guests are moved; the next deploy undoes changes."


def wanted(site: Site, host: HostSettings, platform: Platform) -> bool:
    """Whether HOST moves guests: a compute that is not the only one, in a site with a key."""
    several = len(site.computes) > 1
    has_key = site.secrets.migration_secret is not None
    return host.is_compute and several and has_key and platform.migration


def _string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


@lru_cache(maxsize=4)
def key_pair(secret: str) -> tuple[str, str]:
    """The private and the public half, as OpenSSH has them; the same for the same SECRET.

    Written out here (openssh's PROTOCOL.key), because libraries put random bytes into it, and a
    file that is another one each time would always differ from the host's.
    """
    # The public half allows guesses at the secret; scrypt makes each of them dear.
    seed = hashlib.scrypt(secret.encode(), salt=b"pyinfra-nova migration", n=2**14, r=8, p=1)[:32]
    public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    kind = b"ssh-ed25519"
    blob = _string(kind) + _string(public)
    check = hashlib.sha256(public).digest()[:4]
    private = check + check + blob + _string(seed + public) + _string(COMMENT.encode())
    private += bytes(range(1, 1 + -len(private) % 8))
    whole = b"openssh-key-v1\0" + _string(b"none") + _string(b"none") + _string(b"")
    text = b64encode(whole + struct.pack(">I", 1) + _string(blob) + _string(private)).decode()
    lines = [text[start : start + 70] for start in range(0, len(text), 70)]
    armour = "{} OPENSSH PRIVATE KEY-----".format
    pem = "\n".join([armour("-----BEGIN"), *lines, armour("-----END")]) + "\n"
    return pem, f"{kind.decode()} {b64encode(blob).decode()} {COMMENT}"


def _addresses(host: HostSettings) -> tuple[str, ...]:
    """Where HOST is reached by those who move guests: its own address, or what nova_conf names."""
    moved = host.nova_conf.get("libvirt", {}).get("live_migration_inbound_addr")
    return tuple(dict.fromkeys((str(host.my_ip), *([str(moved)] if moved else ()))))


def authorized_keys_path(platform: Platform) -> str:
    return f"{platform.paths.state}/.ssh/authorized_keys"


def authorized_keys(site: Site, public: str) -> str:
    """The line that lets the other computes in, and nobody else; no terminal, no forwarding."""
    addresses = ",".join(address for host in site.computes for address in _addresses(host))
    return f'restrict,from="{addresses}" {public}\n'


def known_hosts(host: HostSettings, keys: Sequence[str]) -> str:
    """The lines that tell HOST's SSH server from any other."""
    return "".join(f"{host.nova_host} {key}\n" for key in keys)


def ssh_config(site: Site, user: str) -> str:
    """How root (libvirtd) and USER (nova-compute) reach the other computes as USER.

    A file of known keys for each compute, so that a run on some of them leaves the others' alone.
    """
    lines = [MARKER]
    for host in site.computes:
        names = dict.fromkeys((*_addresses(host), host.nova_host))
        lines += [
            f"Match user {user} host {','.join(names)}",
            f"    IdentityFile {KEY}",
            "    IdentitiesOnly yes",
            f"    HostKeyAlias {host.nova_host}",
            f"    UserKnownHostsFile {KNOWN_HOSTS}{host.nova_host}",
            "    StrictHostKeyChecking yes",
            "    ConnectTimeout 30",
        ]
    return "\n".join(lines) + "\n"


def migration_files(
    site: Site,
    host: HostSettings,
    platform: Platform,
    host_keys: Mapping[str, Sequence[str]],
) -> list[ConfigFile]:
    """What HOST needs to send guests to other computes and to take theirs.

    HOST_KEYS are those of the computes of this run; what is known of others is left alone.
    """
    secret = site.secrets.migration_secret
    if secret is None or not wanted(site, host, platform):
        return []
    private, public = key_pair(secret.get_secret_value())
    user, group, root = platform.user, platform.group, ("root", "root", "0644")
    files = [
        ConfigFile(KEY, private, user, group, "0600", hidden=True),
        ConfigFile(
            authorized_keys_path(platform),
            authorized_keys(site, public),
            *("root", group, "0640"),
        ),
        ConfigFile(SSH_CONFIG, ssh_config(site, user), *root),
    ]
    for other in site.computes:
        if keys := host_keys.get(other.name):
            path = KNOWN_HOSTS + other.nova_host
            files.append(ConfigFile(path, known_hosts(other, keys), *root))
    return files


def unwanted_migration_files(
    site: Site, host: HostSettings, platform: Platform
) -> list[AbsentFile]:
    """What an earlier run has left on HOST that lets it in elsewhere, or others in here.

    What is known of computes that a run leaves out is still wanted: they are in SITE.
    """
    if not (host.is_controller or host.is_compute):
        return []
    base64 = "[A-Za-z0-9+/]+=*"
    known = tuple(KNOWN_HOSTS + other.nova_host for other in site.computes)
    moves = wanted(site, host, platform)
    hosts = AbsentFile(
        f"{KNOWN_HOSTS}*",
        rf"[A-Za-z0-9.-]+ [a-z0-9@.-]+ {base64}",
        keep=known if moves else (),
    )
    if moves:
        return [hosts]
    return [
        hosts,
        AbsentFile(KEY, COMMENT, "ssh_key", hidden=True),
        AbsentFile(SSH_CONFIG, re.escape(MARKER), "marker"),
        AbsentFile(
            authorized_keys_path(platform),
            rf'restrict,from="[^"\s]+" ssh-ed25519 {base64} {COMMENT}',
            "line",
        ),
    ]
