"""``resources.yml``: what a site wants in its cloud, as checked, typed values.

Flavors, host aggregates, server groups, quotas, keypairs and images, each by its name. Only what is
named there is looked at, and of it only the keys that are given; nothing is removed unless
``absent: true`` says so.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator

from pyinfra_nova.knowledge.releases import extra_specs
from pyinfra_nova.site.capacity import ALIAS, cpus_of
from pyinfra_nova.site.faults import Fault, SettingsError, closest, describe
from pyinfra_nova.site.names import named
from pyinfra_nova.site.secrets import forbidden_character
from pyinfra_nova.site.settings import HostSettings, Section, Site
from pyinfra_nova.site.value_types import Text, Url

RESOURCES_FILE = Path("resources.yml")
DEFAULT_ZONE = "nova"
"""Nova's name for hosts in no zone, where nova_conf gives them no other."""

# nova/api/validation/parameter_types.py.
FLAVOR_ID = re.compile(r"(?! )[a-zA-Z0-9. _-]{1,255}(?<! )")
KEYPAIR_NAME = re.compile(r"(?! )[a-zA-Z0-9 _-]{1,255}(?<! )")
MAXIMUM = 0x7FFFFFFF
CHECKSUM = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
TRAIT = re.compile(r"trait[a-zA-Z0-9_-]*:([A-Z0-9_]{1,255})")
# What sshd takes for an authorized key (OpenSSH, sshkey.c); the base64 begins with the type again.
KEY_TYPES = (
    *("ssh-rsa", "ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384"),
    *("ecdsa-sha2-nistp521", "sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com"),
)


# --- values ---------------------------------------------------------------------------------------


def _as_text(value: object) -> object:
    """A YAML value as the API keeps it: everything there is text."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


def _line(text: str) -> str:
    if found := forbidden_character(text):
        raise ValueError(f"contains {found}")
    if len(text) > 255:
        raise ValueError("is longer than 255 characters")
    return text


def _zone(text: str) -> str:
    if ":" in text:
        raise ValueError("contains ':', which separates a zone from a host")
    return text


def _matching(pattern: re.Pattern[str], problem: str, text: str) -> str:
    if not pattern.fullmatch(text):
        raise ValueError(problem)
    return text


def _public_key(text: str) -> str:
    words = text.split()
    if len(words) < 2 or words[0] not in KEY_TYPES:
        raise ValueError(f"is not a line of authorized_keys: {', '.join(KEY_TYPES)} and the key")
    if found := forbidden_character(text.strip()):
        raise ValueError(f"contains {found}")
    try:
        data = base64.b64decode(words[1], validate=True)
    except binascii.Error:
        raise ValueError("holds a key that is cut off or damaged") from None
    length = int.from_bytes(data[:4], "big")
    if data[4 : 4 + length].decode("ascii", "replace") != words[0] or len(data) < 32:
        raise ValueError("holds a key that is cut off, or of another type than it says")
    return text.strip()


def _path(text: str) -> str:
    if not text.startswith("/") or text.endswith("/"):
        raise ValueError("is not an absolute path of a file on the primary controller")
    return text


Value = Annotated[str, BeforeValidator(_as_text), AfterValidator(_line)]
Zone = Annotated[Text, AfterValidator(_zone)]
FlavorId = Annotated[
    str,
    BeforeValidator(_as_text),
    AfterValidator(
        partial(_matching, FLAVOR_ID, "is not made of letters, digits, '.', '_', '-' and spaces")
    ),
]
KeypairName = Annotated[
    str,
    AfterValidator(
        partial(_matching, KEYPAIR_NAME, "is not made of letters, digits, '_', '-' and spaces")
    ),
]
Checksum = Annotated[
    str,
    AfterValidator(
        partial(
            _matching,
            CHECKSUM,
            "is neither sha256: and 64 nor sha512: and 128 small hexadecimal digits",
        )
    ),
]
PublicKey = Annotated[str, AfterValidator(_public_key)]
FilePath = Annotated[Text, AfterValidator(_path)]
Number = Annotated[int, Field(ge=0, le=MAXIMUM, strict=True)]
Positive = Annotated[int, Field(ge=1, le=MAXIMUM, strict=True)]
Limit = Annotated[int, Field(ge=-1, le=MAXIMUM, strict=True)]
"""A quota; -1 is none."""
Policy = Literal["affinity", "anti-affinity", "soft-affinity", "soft-anti-affinity"]
Texts = dict[Text, Value | None]
"""Keys and values; None takes a key away."""


class Object(Section):
    """Something in the cloud with a name.

    Attributes:
        absent: it has to go, unless it is in use.
    """

    absent: bool = False

    @property
    def given(self) -> dict[str, Any]:
        """The keys that the file gives it."""
        return self.model_dump(exclude_unset=True, mode="json")

    def _needs(self, *keys: str) -> None:
        missing = [key for key in keys if getattr(self, key) is None]
        if missing and not self.absent:
            raise ValueError(
                f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing"
            )


class Flavor(Object):
    """A size of guests. Nova changes no number of a flavor, only its description and extra specs.

    Attributes:
        vcpus: virtual CPUs. ram: MiB. disk, ephemeral: GiB. swap: MiB.
        id: what Nova makes up if it is not given.
        is_public: whether every project sees it.
        replace: a flavor whose numbers differ is deleted and made again under its id; guests keep
            what they were made with.
    """

    vcpus: Positive | None = None
    ram: Positive | None = None
    disk: Number | None = None
    ephemeral: Number = 0
    swap: Number = 0
    id: FlavorId | None = None
    is_public: bool = True
    description: Value | None = None
    extra_specs: Texts = Field(default_factory=dict)
    replace: bool = False

    @model_validator(mode="after")
    def _complete(self) -> Flavor:
        self._needs("vcpus", "ram", "disk")
        return self


class Aggregate(Object):
    """Hosts that belong together, and the availability zone that they make.

    Attributes:
        availability_zone: as users name it; a host is in one zone at most.
        hosts: names of computes; others in the aggregate stay, unless ``only_these_hosts``.
        metadata: ``trait:CUSTOM_X: required`` keeps the hosts to flavors that ask for the trait;
            a trait of one's own is given to the hosts' resource providers, too.
    """

    availability_zone: Zone | None = None
    hosts: list[Text] = Field(default_factory=list)
    only_these_hosts: bool = False
    metadata: Texts = Field(default_factory=dict)


class ServerGroup(Object):
    """A rule about where guests of the administrator's project run, relative to each other.

    Attributes:
        replace: an empty group with another policy is made again.
    """

    policy: Literal["affinity", "anti-affinity", "soft-affinity", "soft-anti-affinity"] | None = (
        None
    )
    max_server_per_host: Positive | None = None
    replace: bool = False

    @model_validator(mode="after")
    def _agree(self) -> ServerGroup:
        self._needs("policy")
        # nova/api/openstack/compute/server_groups.py.
        if self.max_server_per_host and self.policy != "anti-affinity":
            raise ValueError("max_server_per_host needs policy anti-affinity")
        return self


class Quota(Object):
    """The limits of a project, named by the key; ``absent`` gives it the default ones again.

    Attributes:
        domain: of the project.
        ram: MiB. The others are counts; -1 is no limit.
    """

    domain: Text = "Default"
    instances: Limit | None = None
    cores: Limit | None = None
    ram: Limit | None = None
    key_pairs: Limit | None = None
    metadata_items: Limit | None = None
    server_groups: Limit | None = None
    server_group_members: Limit | None = None


class Keypair(Object):
    """A public key of the administrator's own user.

    Attributes:
        public_key: a line as in authorized_keys.
        replace: a key that differs is deleted and made again; guests keep the one they have.
    """

    public_key: PublicKey | None = None
    replace: bool = False

    @model_validator(mode="after")
    def _complete(self) -> Keypair:
        self._needs("public_key")
        return self


class Image(Object):
    """An image of the administrator's project; without ``file`` and ``url`` it has to be there.

    Attributes:
        file: on the primary controller. url: fetched from there. Either needs disk_format.
        checksum: "sha512:..." or "sha256:..." of what the image holds.
        min_disk: GiB. min_ram: MiB.
        properties: anything else, as Glance keeps it; None takes one away.
        replace: an image that holds something else is uploaded anew, and the old one deleted.
    """

    file: FilePath | None = None
    url: Url | None = None
    checksum: Checksum | None = None
    disk_format: Literal["raw", "qcow2", "vmdk", "vdi", "vhd", "vhdx", "iso", "ami"] | None = None
    container_format: Literal["bare", "ovf", "ova", "ami"] = "bare"
    visibility: Literal["public", "private", "shared", "community"] | None = None
    min_disk: Number = 0
    min_ram: Number = 0
    properties: Texts = Field(default_factory=dict)
    replace: bool = False

    @model_validator(mode="after")
    def _agree(self) -> Image:
        if self.file and self.url:
            raise ValueError("file and url exclude each other")
        if self.url and not self.checksum:
            raise ValueError("url needs checksum: what a server sends has to be known beforehand")
        if self.file or self.url:
            self._needs("disk_format")
        elif self.checksum:
            raise ValueError("checksum needs file or url")
        for name in self.properties:
            if name in RESERVED or name.startswith("os_hash_"):
                raise ValueError(
                    f"property {name} is no property: Glance decides it, or another key"
                )
        return self


# glance/api/v2/images.py: attributes of an image beside its properties.
RESERVED = frozenset(
    (
        *("id", "name", "status", "created_at", "updated_at", "checksum", "size", "virtual_size"),
        *("owner", "file", "self", "schema", "direct_url", "locations", "tags", "visibility"),
        *("protected", "min_disk", "min_ram", "disk_format", "container_format", "stores"),
        *("deleted", "deleted_at", "is_public", "os_hidden"),
    )
)


class Declared(Section):
    """Everything that ``resources.yml`` names, by kind and name."""

    flavors: dict[Text, Flavor] = Field(default_factory=dict)
    aggregates: dict[Text, Aggregate] = Field(default_factory=dict)
    server_groups: dict[Text, ServerGroup] = Field(default_factory=dict)
    quotas: dict[Text, Quota] = Field(default_factory=dict)
    keypairs: dict[KeypairName, Keypair] = Field(default_factory=dict)
    images: dict[Text, Image] = Field(default_factory=dict)

    @property
    def given(self) -> dict[str, dict[str, dict[str, Any]]]:
        """By kind and name, the keys that the file gives, as plain data."""
        return {
            kind: {name: thing.given for name, thing in getattr(self, kind).items()}
            for kind in type(self).model_fields
        }


# --- reading --------------------------------------------------------------------------------------


def resources_file() -> Path | None:
    """The file that PYINFRA_NOVA_RESOURCES names, else resources.yml if it is here, else None."""
    if named := os.environ.get("PYINFRA_NOVA_RESOURCES"):
        return Path(named)
    return RESOURCES_FILE if os.path.lexists(RESOURCES_FILE) else None


def load_declared(site: Site, path: Path | None = None) -> tuple[Declared | None, list[Fault]]:
    """What PATH declares for SITE, or None without a file; and what is said but kept as it is.

    Without PATH it is the one that ``resources_file`` finds.

    Raises:
        SettingsError: with every fault of the file.
    """
    path = path or resources_file()
    if path is None:
        return None, []
    data = _parse(path)
    try:
        declared = Declared.model_validate(data)
    except ValidationError as error:
        raise SettingsError([_fault(path, details) for details in error.errors()]) from None
    faults = list(_Check(declared, site, str(path)).faults())
    if wrong := [fault for fault, is_wrong in faults if is_wrong]:
        raise SettingsError(wrong)
    return declared, [fault for fault, _ in faults]


def _parse(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise SettingsError([Fault(str(path), "", "is not UTF-8 text")]) from None
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
        raise SettingsError([Fault(str(path), "", problem)]) from None
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        # Such as a date that no calendar has, which YAML makes of 2026-02-31.
        mark = getattr(error, "problem_mark", None)
        line = f" (line {mark.line + 1})" if mark else ""
        raise SettingsError([Fault(str(path), "", f"is not valid YAML{line}")]) from None
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise SettingsError([Fault(str(path), "", "is not `flavors:`, `aggregates:` and so on")])
    if twice := list(_twice(node, ())):
        raise SettingsError([Fault(str(path), key, "is given more than once") for key in twice])
    return data


def _twice(node: yaml.Node | None, path: tuple[str, ...]) -> Iterator[str]:
    """The keys that are given twice, wherever they are; yaml itself takes the last one."""
    if not isinstance(node, yaml.MappingNode) or len(path) > 8:
        return
    seen = set()
    for key, value in node.value:
        here = (*path, str(key.value))
        if here in seen:
            yield ".".join(here)
        seen.add(here)
        yield from _twice(value, here)


def _fault(path: Path, details: Mapping[str, Any]) -> Fault:
    location = [str(part) for part in details["loc"] if part != "[key]"]
    key = ".".join(location)
    if details["type"] == "extra_forbidden":
        return Fault(str(path), key, "unknown key", closest(location[-1], _known(location[:-1])))
    if details["type"] in ("model_type", "model_attributes_type", "dict_type"):
        return Fault(str(path), key, "is not a list of `key: value` lines")
    return Fault(str(path), key, describe(details))


def _known(location: Sequence[str]) -> tuple[str, ...]:
    """The keys that there are at LOCATION: of the file, or of a thing of one kind."""
    kinds: dict[str, type[Section]] = {
        "flavors": Flavor,
        "aggregates": Aggregate,
        "server_groups": ServerGroup,
        "quotas": Quota,
        "keypairs": Keypair,
        "images": Image,
    }
    model = kinds.get(location[0], Section) if location else Declared
    return tuple(model.model_fields)


# --- against the site -----------------------------------------------------------------------------

Found = Iterator[tuple[Fault, bool]]
"""Faults, and whether each keeps the run from going on."""
ObjectT = TypeVar("ObjectT", bound=Object)


def _truth(value: object) -> bool:
    return str(value).strip().lower() in ("1", "true", "yes", "on")


class _Check:
    """What in the file does not fit the site's own settings: hosts, release, nova.conf."""

    def __init__(self, declared: Declared, site: Site, file: str) -> None:
        self.declared, self.site, self.file = declared, site, file
        self.specs = extra_specs.load(site.settings.release)

    def faults(self) -> Found:
        for name, flavor in self._wanted(self.declared.flavors):
            yield from self._flavor(name, flavor)
        yield from self._aggregates()
        yield from self._flavor_ids()
        yield from self._quota_driver()

    @staticmethod
    def _wanted(things: Mapping[str, ObjectT]) -> list[tuple[str, ObjectT]]:
        return [(name, thing) for name, thing in things.items() if not thing.absent]

    def _wrong(self, key: str, problem: str, remedy: str = "") -> tuple[Fault, bool]:
        return Fault(self.file, key, problem, remedy), True

    def _doubtful(self, key: str, problem: str, remedy: str = "") -> tuple[Fault, bool]:
        return Fault(self.file, key, problem, remedy), False

    def _flavor_ids(self) -> Found:
        seen: dict[str, str] = {}
        for name, flavor in self._wanted(self.declared.flavors):
            other = seen.setdefault(flavor.id or f" {name}", name)
            if other != name:
                yield self._wrong(f"flavors.{name}.id", f"is also that of {other}")

    def _flavor(self, name: str, flavor: Flavor) -> Found:
        specs = {key: value for key, value in flavor.extra_specs.items() if value is not None}
        for key, value in flavor.extra_specs.items():
            # One that is to be taken away may be any.
            problem, remedy = self.specs.problem(key, value) if value is not None else ("", "")
            if problem:
                yield self._wrong(f"flavors.{name}.extra_specs.{key}", problem, remedy)
        yield from self._pinning(f"flavors.{name}", flavor, specs)
        yield from self._pages(f"flavors.{name}", specs)
        yield from self._devices(f"flavors.{name}", specs)

    def _pinning(self, key: str, flavor: Flavor, specs: Mapping[str, str]) -> Found:
        policy = specs.get("hw:cpu_policy")
        asked = "hw:cpu_policy" if policy in ("dedicated", "mixed") else "resources:PCPU"
        if asked not in specs:
            return
        here = f"{key}.extra_specs.{asked}"
        sets = [
            text
            for host in self.site.computes
            if (text := self._option(host, "compute", "cpu_dedicated_set"))
        ]
        if not sets:
            remedy = 'set compute = {"cpu_dedicated_set": ...} for computes'
            yield self._wrong(here, "no compute has CPUs to pin guests to", remedy)
            return
        most = max(_count(str(text)) for text in sets)
        wanted = flavor.vcpus if policy == "dedicated" else None
        if asked == "resources:PCPU" and specs[asked].isdigit():
            wanted = int(specs[asked])
        if wanted is not None and wanted > most:
            problem = f"needs {wanted} dedicated CPUs, and no compute has more than {most}"
            yield self._wrong(here, problem, "see cpu_dedicated_set of the computes")

    def _pages(self, key: str, specs: Mapping[str, str]) -> Found:
        size = specs.get("hw:mem_page_size", "small")
        if size in ("small", "any"):
            return
        here = f"{key}.extra_specs.hw:mem_page_size"
        pages = [page for host in self.site.computes for page in host.hugepages if page.count]
        if not pages:
            # They may have been set aside elsewhere, on the kernel's command line.
            remedy = 'set hugepages = [{"size": "2M", "count": ...}] for computes'
            yield self._doubtful(here, "no compute is said to have huge pages", remedy)
        elif size != "large" and (wanted := _kilobytes(size)) is not None:
            have = {page.kilobytes: page.size for page in pages}
            if wanted not in have and wanted > 4:
                text = ", ".join(have.values())
                yield self._doubtful(here, f"no compute is said to have such pages, only {text}")

    def _devices(self, key: str, specs: Mapping[str, str]) -> Found:
        for name in specs:
            if re.fullmatch(r"resources[a-zA-Z0-9_-]*:VGPU", name) and not any(
                self._option(host, "devices", "enabled_mdev_types") for host in self.site.computes
            ):
                remedy = 'set devices = {"enabled_mdev_types": [...]} for computes'
                yield self._wrong(f"{key}.extra_specs.{name}", "no compute offers vGPUs", remedy)
        aliases = {alias.name for host in self.site.controllers for alias in host.pci.alias}
        if any("alias" in host.nova_conf.get("pci", {}) for host in self.site.controllers):
            return  # written literally there, and not read here
        for part in filter(None, specs.get("pci_passthrough:alias", "").split(",")):
            alias = part.partition(":")[0].strip()
            if ALIAS.fullmatch(alias) and alias not in aliases:
                remedy = (
                    closest(alias, aliases) or 'set pci = {"alias": [...]} in group_data/all.py'
                )
                problem = f"no controller knows a PCI alias {alias}"
                yield self._wrong(f"{key}.extra_specs.pci_passthrough:alias", problem, remedy)

    def _aggregates(self) -> Found:
        computes = [host.nova_host for host in self.site.computes]
        zones: dict[str, tuple[str, str]] = {}
        for name, aggregate in self._wanted(self.declared.aggregates):
            for index, host in enumerate(aggregate.hosts):
                key = f"aggregates.{name}.hosts.{index}"
                if host not in computes:
                    remedy = closest(host, computes) or f"computes are {named(computes)}"
                    yield self._wrong(key, f"{host!r} is no compute of the inventory", remedy)
                if host in aggregate.hosts[:index]:
                    yield self._wrong(key, f"{host} is named more than once")
                zone = aggregate.availability_zone
                if zone is None:
                    continue
                first, other = zones.setdefault(host, (zone, name))
                if first != zone:
                    problem = f"{host} is in availability zone {first} by aggregate {other}"
                    yield self._wrong(key, problem, "a host is in one zone only")
            if aggregate.availability_zone in self._names_of_no_zone():
                # nova/doc/source/admin/availability-zones.rst; hosts in no zone are in it, so that
                # guests that ask for it cannot be moved to hosts in a zone.
                problem = f"{aggregate.availability_zone!r} is what Nova calls hosts in no zone"
                key = f"aggregates.{name}.availability_zone"
                yield self._wrong(key, problem, "name another one")
            if "availability_zone" in aggregate.metadata:
                key = f"aggregates.{name}.metadata.availability_zone"
                yield self._wrong(key, "is a key of the aggregate", "move it out of metadata")
            yield from self._isolation(name, aggregate)

    def _names_of_no_zone(self) -> set[str]:
        found = (
            self._option(host, "DEFAULT", "default_availability_zone")
            for host in self.site.controllers
        )
        return {str(zone or DEFAULT_ZONE) for zone in found}

    def _isolation(self, name: str, aggregate: Aggregate) -> Found:
        for key, value in aggregate.metadata.items():
            if not key.startswith("trait:") or value is None:
                continue
            here = f"aggregates.{name}.metadata.{key}"
            if not TRAIT.fullmatch(key):
                yield self._wrong(here, "is not trait: and a name in capitals, as CUSTOM_GPU")
            elif value != "required":
                yield self._wrong(here, f"{value!r} has no effect", "the one value is: required")
            elif problem := self.specs.problem(key, value)[0]:
                yield self._wrong(here, problem, self.specs.problem(key, value)[1])
            elif not all(
                _truth(self._option(host, "scheduler", "enable_isolated_aggregate_filtering"))
                for host in self.site.controllers
            ):
                remedy = (
                    'set nova_conf = {"scheduler": {"enable_isolated_aggregate_filtering": True}} '
                    "in group_data/controllers.py"
                )
                yield self._wrong(here, "has no effect on the scheduler as it is set", remedy)

    def _quota_driver(self) -> Found:
        for host in self.site.controllers:
            driver = self._option(host, "quota", "driver")
            if self.declared.quotas and "UnifiedLimits" in str(driver):
                remedy = "set limits with `openstack limit create`"
                problem = "with [quota] driver UnifiedLimitsDriver limits are Keystone's"
                yield self._wrong("quotas", problem, remedy)
                return

    @staticmethod
    def _option(host: HostSettings, section: str, name: str) -> object:
        """What nova.conf of HOST will say: an override, or else the setting of that name."""
        if name in (options := host.nova_conf.get(section, {})):
            return options[name]
        return getattr(getattr(host, section, None), name, None)


def _count(text: str) -> int:
    try:
        return len(cpus_of(text))
    except ValueError:  # an override, which the checker of nova.conf looks at
        return 0


def _kilobytes(size: str) -> int | None:
    """A page size as in ``hw:mem_page_size``, in KiB (nova/virt/hardware.py); a bare one is KiB."""
    match = re.fullmatch(r"([0-9]+)(?:([kKMGT])i?)?(?:B|b|bit)?", size)
    if not match:
        return None
    factor = {None: 1, "k": 1, "K": 1, "M": 1024, "G": 1024**2, "T": 1024**3}[match[2]]
    return int(match[1]) * factor
