"""The SSH key that computes move guests with, made of a secret, and the files around it."""

from __future__ import annotations

import hashlib
import re
import struct
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from ipaddress import IPv4Network, collapse_addresses
from weakref import WeakKeyDictionary

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pyinfra_nova.knowledge.platforms import Platform
from pyinfra_nova.nova_conf.config_file import AbsentFile, ConfigFile
from pyinfra_nova.site.settings import HostSettings, Site

URI = "qemu+ssh://{user}@%s/system"
"""Of libvirt on the other compute; Nova puts its address in. libvirtd connects, as root."""
KEY = "/etc/nova/migration_key"
KNOWN_HOSTS = "/etc/nova/known_hosts"
FORMER_KNOWN_HOSTS = f"{KNOWN_HOSTS}.*"
"""Each compute was once known in a file of its own, ``known_hosts.NAME``."""
SSH_CONFIG = "/etc/ssh/ssh_config.d/50-pyinfra-nova.conf"
COMMENT = "pyinfra-nova"
MARKER = "# Written by pyinfra-nova: how guests are moved; the next deploy undoes changes."


def wanted(
    site: Site, host: HostSettings, platform: Platform, leaving: Sequence[HostSettings] = ()
) -> bool:
    """Whether HOST moves guests: a compute that is not the only one, in a site with a key.

    A retired one counts as long as the inventory names it: guests may still have to leave it. As
    long as it is LEAVING they may have to go to a compute that it does not know yet.
    """
    several = len(site.all_computes) + len(site.retired) > 1
    moves = host.is_compute or host in leaving
    return moves and several and has_key(site, platform)


def has_key(site: Site, platform: Platform) -> bool:
    """Whether the computes of SITE have a key to move guests with, once there are several.

    Of libvirt's address they are told before: to a retired compute nothing is written any more,
    and one that was the only one may have to leave its guests to its successor.
    """
    return site.secrets.migration_secret is not None and platform.migration


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


def addresses(host: HostSettings) -> tuple[str, ...]:
    """Where HOST is reached by those who move guests: its own address, or what nova_conf names."""
    moved = host.nova_conf.get("libvirt", {}).get("live_migration_inbound_addr")
    return tuple(dict.fromkeys((str(host.my_ip), *([str(moved)] if moved else ()))))


def authorized_keys_path(platform: Platform) -> str:
    return f"{platform.paths.state}/.ssh/authorized_keys"


def patterns(site: Site, leaving: Sequence[HostSettings] = ()) -> list[str]:
    """Where the computes come from: these addresses and no other, neighbours as one network.

    A list of a thousand addresses would go to a thousand hosts; management_network would let in
    hosts that are no computes.
    """
    networks: list[IPv4Network] = []
    others: list[str] = []
    computes = (*site.all_computes, *leaving)
    for address in (address for host in computes for address in addresses(host)):
        try:
            networks.append(IPv4Network(address))
        except ValueError:  # a name, or of IPv6
            others.append(address)
    joined = collapse_addresses(networks)
    return [*(str(n[0] if n.num_addresses == 1 else n) for n in joined), *dict.fromkeys(others)]


def authorized_keys(site: Site, public: str, leaving: Sequence[HostSettings] = ()) -> str:
    """The line that lets the other computes in, and nobody else; no terminal, no forwarding."""
    return f'restrict,from="{",".join(patterns(site, leaving))}" {public}\n'


def known_hosts(
    site: Site, host_keys: Mapping[str, Sequence[str]], leaving: Sequence[HostSettings] = ()
) -> str:
    """The lines that tell the computes' SSH servers from any other, as far as HOST_KEYS goes."""
    lines = (
        f"{','.join(dict.fromkeys((host.nova_host, *addresses(host))))} {key}"
        for host in (*site.all_computes, *leaving)
        for key in host_keys.get(host.name, ())
    )
    return "".join(f"{line}\n" for line in sorted(lines))


def ssh_config(user: str, *, tls: bool = False) -> str:
    """How root (libvirtd) and USER (nova-compute) reach the other computes as USER.

    With TLS libvirtd does not: nova-compute alone goes on to copy disks of guests that move cold,
    for which Nova has nothing but SSH (nova/virt/libvirt/volume/remotefs.py).
    It names no compute, so it is as long for a thousand of them; who is one is in KNOWN_HOSTS, and
    to nobody else is there a connection as USER from either of the two.
    """
    return (
        f"{MARKER}\n"
        f"Match user {user} localuser {user if tls else f'root,{user}'}\n"
        f"    IdentityFile {KEY}\n"
        "    IdentitiesOnly yes\n"
        f"    UserKnownHostsFile {KNOWN_HOSTS}\n"
        "    StrictHostKeyChecking yes\n"
        "    ConnectTimeout 30\n"
    )


_Key = tuple[int, int, tuple[str, ...]]
_Known = Mapping[str, Sequence[str]]
_FILES: WeakKeyDictionary[Site, dict[_Key, tuple[Platform, _Known, tuple[ConfigFile, ...]]]] = (
    WeakKeyDictionary()
)


def migration_files(
    site: Site,
    host: HostSettings,
    platform: Platform,
    host_keys: Mapping[str, Sequence[str]],
    leaving: Sequence[HostSettings] = (),
) -> tuple[ConfigFile, ...]:
    """What HOST needs to send guests to other computes and to take theirs; the same on all.

    LEAVING are retired computes that Nova still has: guests come from them.

    HOST_KEYS are those of the computes of this run; what a host knows of others that the inventory
    names, it goes on knowing.
    """
    secret = site.secrets.migration_secret
    if secret is None or not wanted(site, host, platform, leaving):
        return ()
    made = _FILES.setdefault(site, {})
    key = (id(platform), id(host_keys), tuple(compute.name for compute in leaving))
    if key not in made:
        files = _files(site, platform, host_keys, secret.get_secret_value(), leaving)
        made[key] = (platform, host_keys, tuple(files))  # with both, lest an id be another one's
    return made[key][2]


def _files(
    site: Site,
    platform: Platform,
    host_keys: Mapping[str, Sequence[str]],
    secret: str,
    leaving: Sequence[HostSettings],
) -> Iterator[ConfigFile]:
    private, public = key_pair(secret)
    user, group, root = platform.user, platform.group, ("root", "root", "0644")
    yield ConfigFile(KEY, private, user, group, "0600", hidden=True)
    authorized = authorized_keys_path(platform)
    yield ConfigFile(authorized, authorized_keys(site, public, leaving), "root", group, "0640")
    config = ssh_config(user, tls=site.settings.tls.is_on)
    yield ConfigFile(SSH_CONFIG, config, *root)
    text = known_hosts(site, host_keys, leaving)
    computes = (*site.all_computes, *leaving)
    others = tuple(host.nova_host for host in computes if host.name not in host_keys)
    if text or others:
        yield ConfigFile(
            KNOWN_HOSTS,
            text,
            *root,
            by_digest=not others,
            keeps_about=others,
            keeps_from=FORMER_KNOWN_HOSTS,
        )


def unwanted_migration_files(
    site: Site, host: HostSettings, platform: Platform
) -> list[AbsentFile]:
    """What an earlier run has left on HOST that lets it in elsewhere, or others in here.

    On a retired compute it stays until it is purged.
    """
    if not (host.is_controller or host.is_compute):
        return []
    found = written_migration_files(platform)
    # `known_hosts` takes the place of the first.
    return found[:1] if wanted(site, host, platform) else found


def written_migration_files(platform: Platform) -> list[AbsentFile]:
    """All of it that was ever written, as this project writes it."""
    base64 = "[A-Za-z0-9+/]+=*"
    known = rf"[A-Za-z0-9.,:-]+ [a-z0-9@.-]+ {base64}"
    former = AbsentFile(FORMER_KNOWN_HOSTS, known)
    return [
        former,
        AbsentFile(KNOWN_HOSTS, known),
        AbsentFile(KEY, COMMENT, "ssh_key", hidden=True),
        AbsentFile(SSH_CONFIG, re.escape(MARKER), "marker"),
        AbsentFile(
            authorized_keys_path(platform),
            rf'restrict,from="[^"\s]+" ssh-ed25519 {base64} {COMMENT}',
            "line",
        ),
    ]
