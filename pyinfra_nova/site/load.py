"""From pyinfra's inventory, group data and the secrets file to one checked ``Site``."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from pyinfra.api.inventory import Inventory

from pyinfra_nova.site.data_files import located
from pyinfra_nova.site.faults import Fault, SecretsError, SettingsError
from pyinfra_nova.site.host_settings import HostsBuilder
from pyinfra_nova.site.layered_data import Data, Layers
from pyinfra_nova.site.secret_files import PLAIN_FILE
from pyinfra_nova.site.secret_files import secrets_file as find_secrets_file
from pyinfra_nova.site.secrets import Secrets, how_to_add_tls_secret, load_secrets
from pyinfra_nova.site.settings import HostSettings, Settings, Site
from pyinfra_nova.site.site_settings import site_settings
from pyinfra_nova.site.sources import ALL_FILE, INVENTORY_FILE, Sources
from pyinfra_nova.site.tls import Tls, authorities_problem
from pyinfra_nova.site.value_types import is_truth

ISOLATION = "enable_isolated_aggregate_filtering"


def _missing_secrets(secrets: Secrets, hosts: Iterable[HostSettings], file: str) -> Iterator[Fault]:
    """The secrets that only some settings need."""
    uuid = next((h.libvirt.rbd_secret_uuid for h in hosts if h.libvirt.rbd_secret_uuid), None)
    if uuid and secrets.rbd_secret_key is None:
        problem = f"is missing, and libvirt.rbd_secret_uuid {uuid} says that there is one"
        remedy = (
            "add what `ceph auth get-key client.USER` prints, of the user that Cinder has; for a "
            "Ceph that is still to be made, `python -m pyinfra_nova.secrets add-ceph-key`"
        )
        yield Fault(file, "rbd_secret_key", problem, remedy)


def _equal_secrets(secrets: Secrets, file: str) -> Iterator[Fault]:
    """Secrets of authorities that are another one, too: who has that could be every authority."""
    values: dict[str, str] = {}
    for name in type(secrets).model_fields:
        if (secret := getattr(secrets, name)) is not None:
            other = values.setdefault(secret.get_secret_value(), name)
            if other != name and "tls_" in name:
                problem = f"is the same as {other}"
                yield Fault(file, name, problem, "give it 32 random characters of its own")


def _tls_secret_faults(secrets: Secrets, file: str) -> Iterator[Fault]:
    """What tls.mode "internal" needs beside the settings."""
    if secrets.tls_secret is None:
        problem = 'is missing, and tls.mode "internal" makes its authorities of it'
        yield Fault(file, "tls_secret", problem, how_to_add_tls_secret(Path(file)))
    yield from _equal_secrets(secrets, file)


def _cafile_faults(tls: Tls, sources: Sources) -> Iterator[Fault]:
    """What is wrong with the file of further authorities, which is on this machine."""
    if tls.cafile is None:
        return
    layers = Layers()
    for file, layer in sources.site_layers():
        layers.add(file, layer)
    where = layers.origin(["tls", "cafile"], ALL_FILE)
    if Path(tls.cafile).exists() and not Path(tls.cafile).is_file():
        yield Fault(where, "tls.cafile", f"{tls.cafile}: is not a regular file")
        return
    try:
        data = tls.cafile_data
    except OSError as error:
        problem = f"{tls.cafile}: {error.strerror}"
        yield Fault(where, "tls.cafile", problem, "name a file in PEM")
        return
    if problem := authorities_problem(data, tls.cafile, dt.datetime.now(dt.timezone.utc)):
        yield Fault(where, "tls.cafile", f"{tls.cafile}: {problem}")


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
    secrets_file: str = str(PLAIN_FILE),
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
        secrets_file: the file that faults of SECRETS name.

    Raises:
        SettingsError: with every fault of every source.
    """
    overrides = override_data or {}
    sources = Sources(groups, all_data, group_data, host_data, overrides, inventory_file, limit)
    settings = site_settings(sources)
    hosts = HostsBuilder(sources).hosts(settings)
    # A group's fault shows in every host of it.
    faults = [located(fault, inventory_file) for fault in dict.fromkeys(sources.faults)]
    if isinstance(secrets, SecretsError):
        raise SettingsError([*faults, *secrets.faults])
    faults += _missing_secrets(secrets, hosts.values(), secrets_file)
    if settings:
        late = [*_smoke_guest_faults(settings, hosts.values())]
        if settings.tls.mode == "internal":
            late += _tls_secret_faults(secrets, secrets_file)
        late += _cafile_faults(settings.tls, sources)
        faults += [located(fault, inventory_file) for fault in late]
    if faults or settings is None:
        raise SettingsError(faults)
    return Site(settings=settings, secrets=secrets, hosts=hosts, secrets_file=secrets_file)


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
        path = secrets_file or find_secrets_file()
        secrets = load_secrets(path)
    except SecretsError as error:
        path, secrets = PLAIN_FILE, error
    return build_site(
        groups,
        inventory.get_data(),
        {name: inventory.get_group_data(name) for name in groups},
        {name: inventory.get_host_data(name) for name in inventory.hosts},
        secrets,
        override_data=inventory.get_override_data(),
        inventory_file=inventory_file,
        limit=limit,
        secrets_file=str(path),
    )
