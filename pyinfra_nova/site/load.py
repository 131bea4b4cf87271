"""From pyinfra's inventory, group data and the secrets file to one checked ``Site``."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from pyinfra.api.inventory import Inventory

from pyinfra_nova.site.faults import Fault, SecretsError, SettingsError
from pyinfra_nova.site.host_settings import HostsBuilder
from pyinfra_nova.site.layered_data import Data
from pyinfra_nova.site.secrets import Secrets, load_secrets
from pyinfra_nova.site.settings import HostSettings, Settings, Site
from pyinfra_nova.site.site_settings import site_settings
from pyinfra_nova.site.sources import ALL_FILE, INVENTORY_FILE, Sources
from pyinfra_nova.site.tls import authorities_problem
from pyinfra_nova.site.value_types import is_truth

ISOLATION = "enable_isolated_aggregate_filtering"


def _missing_secrets(secrets: Secrets, hosts: Iterable[HostSettings]) -> Iterator[Fault]:
    """The secrets that only some settings need."""
    uuid = next((h.libvirt.rbd_secret_uuid for h in hosts if h.libvirt.rbd_secret_uuid), None)
    if uuid and secrets.rbd_secret_key is None:
        problem = f"is missing, and libvirt.rbd_secret_uuid {uuid} says that there is one"
        remedy = (
            "add what `ceph auth get-key client.USER` prints, of the user that Cinder has; for a "
            "Ceph that is still to be made, `python -m pyinfra_nova.secrets add-ceph-key`"
        )
        yield Fault("secrets.yml", "rbd_secret_key", problem, remedy)


def _equal_secrets(secrets: Secrets) -> Iterator[Fault]:
    """Secrets of authorities that are another one, too: who has that could be every authority."""
    values: dict[str, str] = {}
    for name in type(secrets).model_fields:
        if (secret := getattr(secrets, name)) is not None:
            other = values.setdefault(secret.get_secret_value(), name)
            if other != name and "tls_" in name:
                problem = f"is the same as {other}"
                yield Fault("secrets.yml", name, problem, "give it 32 random characters of its own")


def _tls_faults(settings: Settings, secrets: Secrets) -> Iterator[Fault]:
    """What encryption needs beside the settings: the secret, and files on this machine."""
    tls = settings.tls
    if tls.cafile and Path(tls.cafile).exists() and not Path(tls.cafile).is_file():
        yield Fault(ALL_FILE, "tls.cafile", f"{tls.cafile}: is not a regular file")
        return
    if tls.mode == "internal" and secrets.tls_secret is None:
        problem = 'is missing, and tls.mode "internal" makes its authorities of it'
        remedy = "`python -m pyinfra_nova.secrets add-tls-secret` adds it"
        yield Fault("secrets.yml", "tls_secret", problem, remedy)
    if tls.mode == "internal":
        yield from _equal_secrets(secrets)
    if tls.cafile is None:
        return
    try:
        data = Path(tls.cafile).read_bytes()
    except OSError as error:
        problem = f"{tls.cafile}: {error.strerror}"
        yield Fault(ALL_FILE, "tls.cafile", problem, "name a file in PEM")
        return
    if problem := authorities_problem(data, tls.cafile, dt.datetime.now(dt.timezone.utc)):
        yield Fault(ALL_FILE, "tls.cafile", f"{tls.cafile}: {problem}")


def _smoke_guest_faults(settings: Settings, hosts: Iterable[HostSettings]) -> Iterator[Fault]:
    """What would send other guests to a compute that is still being proven."""
    if settings.smoke_guest is None:
        return
    if settings.enable_new_services:
        problem = "has no use with enable_new_services, which opens computes before they are proven"
        yield Fault(ALL_FILE, "smoke_guest", problem, "leave out one of them")
    for host in hosts:
        value = host.nova_conf.get("scheduler", {}).get(ISOLATION, "true")
        if host.is_controller and not is_truth(value):
            problem = f"needs {ISOLATION}, which nova_conf of {host.name} does not leave on"
            yield Fault(ALL_FILE, "smoke_guest", problem, "leave that option out")


def build_site(
    groups: Mapping[str, Sequence[str]],
    all_data: Data,
    group_data: Mapping[str, Data],
    host_data: Mapping[str, Data],
    secrets: Secrets | SecretsError,
    *,
    override_data: Data | None = None,
    inventory_file: str = INVENTORY_FILE,
    limit: Collection[str] | None = None,
) -> Site:
    """The site that plain data describe.

    Args:
        groups: the inventory names of each group, in order.
        all_data: ``group_data/all.py``.
        group_data: the data of each other group by its name.
        host_data: the data of each host by its inventory name.
        secrets: the passwords, or why there are none.
        override_data: what came from the command line; wins over everything.
        inventory_file: the file that faults of hosts and groups name.
        limit: the hosts that --limit names; None without it.

    Raises:
        SettingsError: with every fault of every source.
    """
    overrides = override_data or {}
    sources = Sources(groups, all_data, group_data, host_data, overrides, inventory_file, limit)
    settings = site_settings(sources)
    hosts = HostsBuilder(sources).hosts(settings)
    # A group's fault shows in every host of it.
    faults = list(dict.fromkeys(sources.faults))
    if isinstance(secrets, SecretsError):
        raise SettingsError([*faults, *secrets.faults])
    faults += _missing_secrets(secrets, hosts.values())
    if settings:
        faults += _smoke_guest_faults(settings, hosts.values())
        faults += _tls_faults(settings, secrets)
    if faults or settings is None:
        raise SettingsError(faults)
    return Site(settings=settings, secrets=secrets, hosts=hosts)


def site_of(
    inventory: Inventory,
    secrets_file: Path | None = None,
    inventory_file: str = INVENTORY_FILE,
    limit: Collection[str] | None = None,
) -> Site:
    """The site that a loaded pyinfra inventory and SECRETS_FILE describe.

    Without SECRETS_FILE it is the one that ``secret_files.secrets_file`` finds. LIMIT are the hosts
    that --limit names.

    Raises:
        SettingsError: with every fault of inventory, group data and secrets.
    """
    groups: dict[str, list[str]] = {name: [] for name in inventory.group_data}
    for name, hosts in inventory.groups.items():
        groups[name] = [host.name for host in hosts]
    secrets: Secrets | SecretsError
    try:
        secrets = load_secrets(secrets_file)
    except SecretsError as error:
        secrets = error
    return build_site(
        groups,
        inventory.get_data(),
        {name: inventory.get_group_data(name) for name in groups},
        {name: inventory.get_host_data(name) for name in inventory.hosts},
        secrets,
        override_data=inventory.get_override_data(),
        inventory_file=inventory_file,
        limit=limit,
    )
