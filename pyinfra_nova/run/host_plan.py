"""A host of the site with everything that its tasks need to know about it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePath
from typing import get_args
from urllib.parse import urlsplit

from pyinfra_nova.certificates.issued import Issued
from pyinfra_nova.knowledge.platforms import EndpointName, NovaRole, Platform, PlatformUnit
from pyinfra_nova.nova_conf.certificate_files import (
    as_compute,
    certificate_files,
    issued,
    revocation_files,
    unwanted_certificate_files,
)
from pyinfra_nova.nova_conf.config_file import AbsentFile, ConfigFile
from pyinfra_nova.nova_conf.console_proxy import proxy_files, unwanted_proxy_files
from pyinfra_nova.nova_conf.consoles import NO_CONSOLES, Consoles
from pyinfra_nova.nova_conf.database_plugin import (
    plugin_files,
    plugin_paths,
    unwanted_plugin_files,
)
from pyinfra_nova.nova_conf.hypervisor_files import (
    hypervisor_files,
    unwanted_hypervisor_files,
)
from pyinfra_nova.nova_conf.migration_ssh import migration_files, unwanted_migration_files
from pyinfra_nova.nova_conf.render import VirtType, files_for
from pyinfra_nova.nova_conf.urls import cell_urls
from pyinfra_nova.resources.cloud_objects.declaration import Declared
from pyinfra_nova.resources.libvirt_secrets import LibvirtSecret
from pyinfra_nova.resources.libvirt_tls import LibvirtTls
from pyinfra_nova.resources.nova_state import Cell, NovaDatabases
from pyinfra_nova.resources.renewed_certificates import Server, shown_of
from pyinfra_nova.resources.units import Processes, Unit
from pyinfra_nova.run.hypervisors import libvirt_tls
from pyinfra_nova.run.known_computes import KnownComputes
from pyinfra_nova.site.capacity import HugePages
from pyinfra_nova.site.endpoints import Endpoint, endpoints
from pyinfra_nova.site.run_scope import RunScope
from pyinfra_nova.site.settings import Api, HostSettings, Site
from pyinfra_nova.site.tls import TRUST


@dataclass(frozen=True)
class HostPlan:
    """One host, its place in the site, and the platform it turned out to be.

    Attributes:
        host: its settings.
        site: the deployment it belongs to.
        platform: the row of platforms.yaml for its operating system and the site's release.
        virt_type: what ``auto`` comes out as on this host.
        scope: what of the site this run deploys.
        host_keys: of the SSH servers of the hosts that were asked, by inventory name.
        declared: what resources.yml wants in the cloud; None without such a file.
        seen: the processes of all hosts of this run, as far as they have been looked at.
        written: what the host has of this project's files for huge pages, libvirt secrets and such.
        leaving: retired computes that Nova has not been shown to be without.
        knows_leaving: whether Nova could be asked which those are.
        has_nova: whether Nova's packages are installed.
        known: what this run knows of its computes and of what Nova has of them.
        in_plain_text: users of the database server here that are let in without TLS, and are to be
            no more; filled once the run has looked.
        published: where the catalogue has Nova's API, by interface.
        consoles: what has been found of the site's guests, for the proxy of consoles.
        has_tls_screens: whether a guest here has a screen that speaks TLS.
        certificates_found: what the host has of certificates, by path, without their keys.
        now: when the run began, which says how old they are.
    """

    host: HostSettings
    site: Site
    platform: Platform
    virt_type: VirtType
    scope: RunScope
    declared: Declared | None = None
    host_keys: Mapping[str, Sequence[str]] = field(default_factory=dict)
    seen: Processes = field(default_factory=dict, compare=False)
    written: Mapping[str, Sequence[str]] = field(default_factory=dict)
    leaving: tuple[HostSettings, ...] = ()
    knows_leaving: bool = True
    has_nova: bool = False
    known: KnownComputes | None = field(default=None, compare=False, repr=False)
    in_plain_text: set[str] = field(default_factory=set, compare=False)
    published: Mapping[str, Sequence[str]] = field(default_factory=dict)
    consoles: Consoles = NO_CONSOLES
    has_tls_screens: bool = False
    certificates_found: Mapping[str, str] = field(default_factory=dict, repr=False)
    now: dt.datetime = field(default_factory=lambda: dt.datetime.now(dt.timezone.utc))

    @property
    def is_deployed(self) -> bool:
        """False for a controller that --limit leaves out and that only discovers new computes."""
        return self.host.name in self.scope.names or not (
            self.host.is_controller or self.host.is_compute
        )

    @cached_property
    def files(self) -> tuple[ConfigFile, ...]:
        """Every configuration file of the host, rendered."""
        where = (self.site, self.encrypted, self.platform)
        return (
            *certificate_files(
                *(*where, self.certificates, self.leaving if self.knows_leaving else None),
                there=self.written.get("certificates", ()),
            ),
            *hypervisor_files(*where),
            # Before nova.conf, whose URLs name it: without it no process of Nova's starts.
            *plugin_files(self.site, self.host, self.platform),
            *files_for(self.site, self.host, self.platform, self.virt_type, self.consoles),
            *self._migration_files(self.leaving),
        )

    @cached_property
    def certificates(self) -> Mapping[str, Issued]:
        """The host's certificates by purpose: those that it has, and new ones in place of others.

        Worked out once a run: a new one has a number of its own each time.
        """
        return issued(self.site, self.encrypted, self.platform, self.certificates_found, self.now)

    @property
    def encrypted(self) -> HostSettings:
        """The host as those see it who speak to it in TLS: a compute while guests may leave it.

        Where nobody knows whether they may it stays as it is; what is provided for it may be gone.
        """
        may_leave = self.host.is_retired and self.has_nova and self.knows_leaving
        is_leaving = may_leave and self.host in self.leaving
        return as_compute(self.host) if is_leaving else self.host

    def _migration_files(self, leaving: tuple[HostSettings, ...]) -> tuple[ConfigFile, ...]:
        if self.host.is_retired and not self.has_nova:
            return ()  # it has no guests to move, nor a user who would
        return migration_files(self.site, self.host, self.platform, self.host_keys, leaving)

    @property
    def files_at_the_end(self) -> tuple[ConfigFile, ...]:
        """Of the files those that are others once the retired computes of this run have gone."""
        staying = self.scope.staying(self.leaving)
        if len(staying) == len(self.leaving):
            return ()
        where = (self.site, self.encrypted, self.platform)
        is_known = self.knows_leaving or not staying
        refused = revocation_files(*where, staying) if is_known else ()
        late = (*refused, *self._migration_files(staying))
        return tuple(file for file in late if file not in self.files)

    @property
    def absent(self) -> tuple[AbsentFile, ...]:
        """What an earlier run may have written, and this site does not want on the host."""
        where = (self.site, self.host, self.platform)
        encrypted = (
            (*unwanted_certificate_files(*where), *unwanted_plugin_files(*where))
            if self.site.settings.tls.is_on
            else ()
        )
        return (
            *unwanted_migration_files(*where),
            *encrypted,
            *unwanted_hypervisor_files(*where),
            *unwanted_proxy_files(*where, self.consoles),
        )

    @property
    def absent_at_the_end(self) -> tuple[AbsentFile, ...]:
        """What is for TLS here and nobody reads any more, once all daemons are in plain text.

        Before that they do: nova-compute the authorities at every connection, libvirt the rest at
        every guest that starts or leaves. What guests that run have begun with stays.
        """
        if self.site.settings.tls.is_on:
            return ()
        needed = {"console"} if self.consoles.tls else set[str]()
        needed |= {"screen"} if self.has_tls_screens else set()
        there = self.written.get("certificates", ())
        where = (self.site, self.host, self.platform)
        unwanted = [*unwanted_certificate_files(*where, needed), *unwanted_plugin_files(*where)]
        return tuple(file for file in unwanted if file.path in there)

    @property
    def libvirt_tls(self) -> LibvirtTls | None:
        """How libvirt is to speak TLS to others; None where there is nothing to say about it.

        A retired compute goes on as it is once its guests are gone, until it is purged.
        """
        wanted = self.site.settings.tls.is_on and self.encrypted.is_compute
        earlier = not self.host.is_retired and self.written.get("hypervisor_tls")
        return self.libvirt_tls_for(wanted=wanted) if wanted or earlier else None

    def libvirt_tls_for(self, *, wanted: bool) -> LibvirtTls:
        """How libvirt is to speak TLS to others where that is WANTED, or where it is not."""
        return libvirt_tls(self.site, self.host, self.platform, wanted=wanted)

    @property
    def hugepages(self) -> Sequence[HugePages]:
        """The huge pages that the host sets aside."""
        return self.host.hugepages if self.host.is_compute else []

    @property
    def concerns_hugepages(self) -> bool:
        """Whether there are to be huge pages, or files of earlier ones are there.

        Those of a retired compute stay until it is purged: guests may still use them.
        """
        earlier = not self.host.is_retired and self.written.get("hugepages")
        return bool(self.hugepages or earlier)

    @property
    def is_primary_controller(self) -> bool:
        return self.host.name == self.site.primary_controller.name

    @property
    def is_database_host(self) -> bool:
        found = self.site.database_host
        return found is not None and found.name == self.host.name

    @property
    def is_messaging_host(self) -> bool:
        found = self.site.messaging_host
        return found is not None and found.name == self.host.name

    @property
    def packages(self) -> tuple[str, ...]:
        """What is to be installed here."""
        has_ceph = self.host.is_compute and self.host.libvirt.rbd_secret_uuid
        ceph = self.platform.rbd_packages if has_ceph else ()
        has_backups = self.is_primary_controller and self.site.settings.care.backup
        backups = self.platform.backup_packages if has_backups else ()
        return (*self.platform.packages_for(self.host.roles), *ceph, *backups)

    @property
    def ceph_secret(self) -> LibvirtSecret | None:
        """What a compute's libvirt has to have for volumes on Ceph; None where it has none."""
        uuid, key = self.host.libvirt.rbd_secret_uuid, self.site.secrets.rbd_secret_key
        if not (self.host.is_compute and uuid and key):
            return None
        return LibvirtSecret(uuid, f"pyinfra-nova {uuid}", key)

    @property
    def unwanted_secrets(self) -> tuple[str, ...]:
        """The UUIDs of secrets that an earlier run gave to libvirt, and that are to go."""
        wanted = self.ceph_secret.uuid if self.ceph_secret else None
        return tuple(uuid for uuid in self.written_secrets if uuid != wanted)

    @property
    def written_secrets(self) -> tuple[str, ...]:
        """The UUIDs of all secrets that this project has given to libvirt here."""
        return tuple(PurePath(path).stem for path in self.written.get("libvirt_secrets", ()))

    def units(self, role: NovaRole) -> list[Unit]:
        """The units of ROLE, in starting order; none that would serve what is switched off."""
        serves = self.endpoints
        found = []
        for unit in self.platform.units_for([role]):
            here = [serves[name] for name in unit.serves if name in serves]
            if unit.serves and not here:
                continue
            url = here[0].url if here else None
            log = self.platform.log_of(unit)
            broker = self.site.settings.messaging.port if unit.broker else None
            dropin = self.platform.dropin_of(unit)
            found.append(Unit(unit.name, self._reads(unit), unit.reload, url, broker, log, dropin))
        return found

    def _reads(self, unit: PlatformUnit) -> tuple[str, ...]:
        """The files that UNIT reads at its start, with a certificate that it reads then alone.

        The console's proxy is not told of its own: each connection reads them anew (websockify's
        do_handshake, nova/console/rfb/authvencrypt.py), and a restart ends all that are open.
        """
        paths = self.platform.paths
        own = []
        if "novncproxy" in unit.serves:
            found = proxy_files(self.site, self.host, self.platform, self.consoles)
            own = [file.path for file in found]
        if not self.site.settings.tls.is_on:
            return (*unit.reads, *own)
        is_nova, is_api = paths.nova_conf in unit.reads, bool({*get_args(Api)} & {*unit.serves})
        reads_once = is_api and not unit.rereads
        own += [paths.api_certificate, paths.api_key] if reads_once else []
        if is_nova and unit.role == "controller":  # those ask the database
            own += plugin_paths(self.site, self.host, self.platform)
        return (*unit.reads, *((TRUST,) if is_nova else ()), *own)

    @property
    def rereading(self) -> tuple[Server, ...]:
        """Those that read their certificate again where they run, and what each is to show."""
        made = self.certificates.get("api")
        return tuple(
            Server(unit.name, at.asked_at, at.port, shown_of(made.certificate_pem), unit.rereads)
            for unit in self.platform.units_for(["controller"])
            for at in (self.endpoints[name] for name in unit.serves if name in self.endpoints)
            if made and unit.rereads
        )

    @cached_property
    def endpoints(self) -> Mapping[EndpointName, Endpoint]:
        """What answers here, by name; only the eventlet server can be told to leave an API out."""
        settings = self.site.settings
        if not self.host.is_controller:
            return {}
        left_out: set[EndpointName] = set() if settings.vnc.enabled else {"novncproxy"}
        if self.platform.wsgi == "eventlet":
            left_out |= set(get_args(Api)) - set(settings.enabled_apis)
        found = endpoints(settings, self.host)
        return {name: endpoint for name, endpoint in found.items() if name not in left_out}

    @cached_property
    def interfaces_to_move(self) -> frozenset[str]:
        """Those of which the catalogue says http where it is to say https, or otherwise round.

        Whoever asks the catalogue goes on with what it says until the APIs have been restarted.
        """
        wanted: Mapping[str, str] = self.site.settings.endpoints.model_dump()
        return frozenset(
            interface
            for interface, url in wanted.items()
            if urlsplit(url).scheme
            not in {urlsplit(found).scheme for found in self.published.get(interface, (url,))}
        )

    @property
    def booleans(self) -> tuple[str, ...]:
        """What SELinux has to allow here."""
        return self.platform.booleans.of(self.host.roles)

    @property
    def ports(self) -> tuple[str, ...]:
        """What firewalld has to let in here."""
        settings, roles = self.site.settings, self.host.roles
        consoles = self.platform.vnc_ports.of(roles) if settings.vnc.enabled else ()
        found = endpoints(settings, self.host).items()
        ports: dict[str, int] = {name: endpoint.port for name, endpoint in found}
        moves = self.platform.tls_ports.of(roles) if settings.tls.is_on else ()
        wanted = (*self.platform.ports.of(roles), *consoles, *moves)
        return tuple(text.format_map(ports) for text in wanted)

    @property
    def databases(self) -> NovaDatabases:
        """Nova's databases, and the schemas and cells they should hold."""
        server, urls = self.site.settings.database, cell_urls(self.site)
        cell0, cell1 = (
            Cell(name, urls[name].transport_url, urls[name].database_connection)
            for name in ("cell0", "cell1")
        )
        return NovaDatabases(
            server.host,
            server.port,
            server.user,
            self.site.secrets.database_password,
            server.nova_api,
            server.nova_cell0,
            server.nova,
            self.platform.migrations.api,
            self.platform.migrations.main,
            (cell0, cell1),
        )
