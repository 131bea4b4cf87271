"""The certificates of a host and whom it trusts, as the files that daemons there read."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from pyinfra_nova.certificates.issued import Issued, wanted
from pyinfra_nova.certificates.provided import (
    CertificateError,
    Folder,
    cafile_problem,
    problems,
)
from pyinfra_nova.certificates.purposes import PURPOSES
from pyinfra_nova.certificates.trust import (
    folder_of,
    let_in_pem,
    revocations_pem,
    trusted_pem,
)
from pyinfra_nova.knowledge.platforms import Platform, platforms_of
from pyinfra_nova.nova_conf import migration_ssh
from pyinfra_nova.nova_conf.config_file import AbsentFile, ConfigFile
from pyinfra_nova.site.endpoints import endpoints, own_address
from pyinfra_nova.site.settings import HostSettings, Role, Site
from pyinfra_nova.site.sources import bare_name
from pyinfra_nova.site.tls import FOLDER, TRUST
from pyinfra_nova.site.value_types import EVERYWHERE

NAME = re.compile(r"[A-Za-z0-9._-]+")
"""What may be in a certificate; an inventory may call a host by anything."""
MARKER = "# Written by pyinfra-nova; the next deploy undoes what is changed here."
"""Before the first line of PEM, where OpenSSL, GnuTLS and Erlang read over it."""
HERE = ("localhost", "127.0.0.1")
SCREENS = f"{FOLDER}/screens"
LIBVIRT = "/etc/pki/libvirt"
QEMU = "/etc/pki/qemu"
VNC = "/etc/pki/libvirt-vnc"


@dataclass(frozen=True)
class Place:
    """Where the certificate of a purpose is on a host, with its key and whom it trusts.

    Attributes:
        role: of the hosts that have one.
        pairs: certificate and key; several where one daemon reads the same under several names.
        trusts: the file of the authorities that others' certificates have to be of.
        group: of the keys; without one they are root's alone.
        is_of_consoles: nobody needs it where there are none.
        refuses: the file of the lists of those that are refused nevertheless; whoever reads it does
            without, but not with one that is empty.
    """

    role: Role
    purpose: str
    pairs: tuple[tuple[str, str], ...]
    trusts: str | None = None
    group: str | None = None
    is_of_consoles: bool = False
    refuses: str | None = None

    @property
    def files(self) -> Iterator[tuple[str, bool]]:
        """Each path, and whether the file is a secret."""
        if self.trusts:
            yield self.trusts, False
        if self.refuses:
            yield self.refuses, False
        for certificate, key in self.pairs:
            yield certificate, False
            yield key, True


@cache
def _all_places(platform: Platform) -> tuple[Place, ...]:
    """Those of all hosts; libvirt's own names are virt-pki-validate(1)'s, QEMU's its manual's."""
    paths, guests = platform.paths, platform.libvirt.group
    client = (f"{SCREENS}/client.crt", f"{SCREENS}/client.key")
    libvirt = tuple(
        (f"{LIBVIRT}/{role}cert.pem", f"{LIBVIRT}/private/{role}key.pem")
        for role in ("server", "client")
    )
    qemu = tuple(
        (f"{QEMU}/{role}-cert.pem", f"{QEMU}/{role}-key.pem") for role in ("server", "client")
    )
    screen = (f"{VNC}/server-cert.pem", f"{VNC}/server-key.pem")
    api = (paths.api_certificate, paths.api_key)
    return (
        Place("controller", "api", (api,), group=platform.group),
        Place("controller", "console", (client,), f"{SCREENS}/ca.pem", platform.group, True),
        Place(
            *("compute", "libvirt", libvirt, "/etc/pki/CA/cacert.pem"),
            refuses="/etc/pki/CA/cacrl.pem",
        ),
        # QEMU reads a list where it is the server (crypto/tlscredsx509.c), as is whoever takes in a
        # guest, and each screen.
        Place(
            *("compute", "qemu", qemu, f"{QEMU}/ca-cert.pem", guests),
            refuses=f"{QEMU}/ca-crl.pem",
        ),
        Place(
            *("compute", "screen", (screen,), f"{VNC}/ca-cert.pem", guests, True),
            refuses=f"{VNC}/ca-crl.pem",
        ),
    )


def places(site: Site, host: HostSettings, platform: Platform) -> Iterator[Place]:
    """The certificates that HOST is to have."""
    for place in _all_places(platform):
        if place.role in host.roles and (site.settings.vnc.enabled or not place.is_of_consoles):
            yield place


def _named_in(*urls: str) -> list[str]:
    return [name for url in urls if (name := urlsplit(url).hostname)]


def names_of(site: Site, host: HostSettings, purpose: str) -> list[str]:
    """What HOST is called by those who connect to it for PURPOSE."""
    settings = site.settings
    called = bare_name(host.name)
    own = [host.nova_host, *([called] if NAME.fullmatch(called) else []), str(host.my_ip)]
    if purpose == "api":
        listened = [e.listen for e in endpoints(settings, host).values() if e.listen != EVERYWHERE]
        urls = (*settings.endpoints.model_dump().values(), settings.vnc.novncproxy_base_url)
        own = [settings.controller_host, *_named_in(*urls), *own, *listened, *HERE]
    elif purpose == "screen":
        own.append(own_address(host, settings.vnc.server_proxyclient_address))
    elif purpose != "console":
        own += migration_ssh.addresses(host)
    return list(dict.fromkeys(own))


def as_compute(host: HostSettings) -> HostSettings:
    """HOST as if it were a compute, which one that is retired is no more."""
    return host.model_copy(update={"roles": host.roles | {"compute"}})


def certificate_paths(site: Site, host: HostSettings) -> list[str]:
    """The certificates, without keys, that HOST may have, whatever its system turns out to be."""
    if not site.settings.tls.is_on:
        return []
    host = as_compute(host) if host.is_retired else host  # guests may still have to leave it
    found = (
        place.pairs[0][0]
        for platform in platforms_of(site.settings.release)
        for place in places(site, host, platform)
    )
    return list(dict.fromkeys(found))


def issued(
    site: Site, host: HostSettings, platform: Platform, found: Mapping[str, str], now: dt.datetime
) -> dict[str, Issued]:
    """The certificates of HOST by purpose; FOUND are those that it has, by path.

    Raises:
        CertificateError: one is to be provided, and cannot be used.
    """
    if not site.settings.tls.is_on:
        return {}
    return {
        place.purpose: _issued(site, host, place, found.get(place.pairs[0][0]), now)
        for place in places(site, host, platform)
    }


def _issued(
    site: Site, host: HostSettings, place: Place, found: str | None, now: dt.datetime
) -> Issued:
    purpose, name = PURPOSES[place.purpose], bare_name(host.name)
    names = names_of(site, host, place.purpose)
    if folder := folder_of(site):
        return folder.issued(purpose, name, names, found, now)
    tls, secret = site.settings.tls, site.secrets.tls_secret
    if secret is None:  # refused with the settings
        raise ValueError("tls_secret is missing")
    value = secret.get_secret_value()
    return wanted(value, purpose, name, names, found, now, tls.days, tls.renew_days)


def provided_problems(site: Site, now: dt.datetime) -> list[CertificateError]:
    """What is wrong with the certificates that the site makes, and whom it says to trust."""
    tls, folder = site.settings.tls, folder_of(site)
    if not tls.is_on:
        return []
    found = [] if folder is None else list(_folder_problems(site, folder, now))
    if not found and tls.cafile:
        services = folder.authorities("services") if folder else ()
        if problem := cafile_problem(tls.further_authorities, services):
            found.append(CertificateError(Path(tls.cafile), problem))
    return found


def _folder_problems(site: Site, folder: Folder, now: dt.datetime) -> Iterator[CertificateError]:
    asked = [
        (bare_name(host.name), place.purpose, names_of(site, host, place.purpose))
        for host in site.hosts.values()
        for place in places(site, host, platforms_of(site.settings.release)[0])
    ]
    return problems(folder, asked, now, site.settings.tls.further_authorities)


def certificate_files(
    site: Site,
    host: HostSettings,
    platform: Platform,
    certificates: Mapping[str, Issued],
    leaving: Sequence[HostSettings] | None = (),
    there: Collection[str] = (),
) -> Iterator[ConfigFile]:
    """The files of HOST that hold CERTIFICATES, which ``issued`` says, and whom it trusts.

    LEAVING are retired computes that Nova still has: guests come from them. With None nobody knows,
    and whom HOST refuses by lists that are THERE stays as it is: an API that is away lets nobody in
    again. A list that it has not is one of all that are retired: guests of theirs come once that
    is known. Where none are retired there is nothing to know.
    """
    if not site.settings.tls.is_on or not (host.is_controller or host.is_compute):
        return
    yield trust_file(site)
    is_known = leaving is not None or folder_of(site) or not site.retired
    for file in revocation_files(site, host, platform, leaving or ()):
        if is_known or file.path not in there:
            yield file
    for place in places(site, host, platform):
        mine = certificates.get(place.purpose)
        if place.trusts:
            purpose, shown = PURPOSES[place.purpose], mine.certificate_pem if mine else ""
            yield _public(place.trusts, let_in_pem(site, purpose, bare_name(host.name), shown))
        if mine is None:
            continue
        group, mode = (place.group, "0640") if place.group else ("root", "0600")
        for certificate, key in place.pairs:
            text = f"{MARKER}\n{mine.key_pem}"
            yield ConfigFile(key, text, "root", group, mode, hidden=True)
            yield _public(certificate, mine.certificate_pem)


def revocation_files(
    site: Site, host: HostSettings, platform: Platform, leaving: Sequence[HostSettings]
) -> Iterator[ConfigFile]:
    """What HOST refuses retired computes by, but for those LEAVING."""
    if not site.settings.tls.is_on:
        return
    names = tuple(compute.name for compute in leaving)
    for place in places(site, host, platform):
        if place.refuses:
            file = _list(site, bare_name(host.name), place, names)
            if file:
                yield file


Names = tuple[str, ...]
_GONE: WeakKeyDictionary[Site, dict[Names, Names]] = WeakKeyDictionary()
_LISTS: WeakKeyDictionary[Site, dict[tuple[str, Names], ConfigFile | None]] = WeakKeyDictionary()


def _gone(site: Site, leaving: Names) -> Names:
    """The retired computes but for those LEAVING; looked for once."""
    known = _GONE.setdefault(site, {})
    if leaving not in known:
        staying = set(leaving)
        names = (compute.name for compute in site.retired)
        known[leaving] = tuple(bare_name(name) for name in names if name not in staying)
    return known[leaving]


def _list(site: Site, host: str, place: Place, leaving: Names) -> ConfigFile | None:
    """The list of those that HOST refuses at PLACE; the same on all hosts is made once."""
    purpose, made = PURPOSES[place.purpose], _LISTS.setdefault(site, {})
    key = (purpose.name, leaving)
    if purpose.below or key not in made:
        text = revocations_pem(site, purpose, host, _gone(site, leaving))
        path = place.refuses or ""
        made[key] = _public(path, text, by_digest=True) if text else None
    return made[key]


_TRUST: WeakKeyDictionary[Site, ConfigFile] = WeakKeyDictionary()


def trust_file(site: Site) -> ConfigFile:
    """Whom a host of SITE, which encrypts, takes the word of services from; made once for all."""
    if site not in _TRUST:
        _TRUST[site] = _public(TRUST, trusted_pem(site) or "")
    return _TRUST[site]


def _public(path: str, text: str, *, by_digest: bool = False) -> ConfigFile:
    content = f"{MARKER}\n{text}"
    return ConfigFile(path, content, "root", "root", "0644", by_digest=by_digest)


def unwanted_certificate_files(
    site: Site, host: HostSettings, platform: Platform, needed: Collection[str] = ()
) -> list[AbsentFile]:
    """What an earlier run has written and HOST is to have no more; a retired one keeps it all.

    So does what is NEEDED, which are purposes, by guests that were started before.
    """
    if not (host.is_controller or host.is_compute):
        return []
    kept = {
        path
        for place in _all_places(platform)
        if place.purpose in needed
        for path, _ in place.files
    }
    if site.settings.tls.is_on:
        here = list(places(site, host, platform))
        kept |= {TRUST, *(path for place in here for path, _ in place.files)}
        for place in here if folder_of(site) else ():  # else there is always one
            if not revocations_pem(site, PURPOSES[place.purpose], bare_name(host.name), ()):
                kept -= {place.refuses}
    return [file for file in written_certificate_files(platform) if file.path not in kept]


def written_certificate_files(platform: Platform) -> list[AbsentFile]:
    """All of it that was ever written, as this project writes it."""
    files = (file for place in _all_places(platform) for file in place.files)
    return [
        AbsentFile(path, re.escape(MARKER), "marker", hidden=is_key)
        for path, is_key in (*files, (TRUST, False))
    ]
