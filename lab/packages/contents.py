"""What is in the packages that stand for Ubuntu's: names, dependencies, files, users.

Read in the packaging of Ubuntu's nova 3:25.2.1-0ubuntu1; that of later releases is not public
where it could be read, so what changed in them is what platforms.yaml says.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from lab.packages.deb import Deb, File, Link
from lab.packages.environment import (
    LIBRARIES,
    PLACE,
    SYSTEM_LIBRARIES,
    WAY_IN,
    wsgi_program,
)
from lab.packages.releases import PYTHON
from lab.packages.services import Service, script, site, site_scripts
from lab.packages.shape import Shape

CONDUCTOR = Service("nova-conductor", "OpenStack Compute Conductor")
SCHEDULER = Service("nova-scheduler", "OpenStack Compute Scheduler")
API = Service("nova-api", "OpenStack Compute API")
NOVNCPROXY = Service("nova-novncproxy", "OpenStack Compute novncproxy")
COMPUTE = Service(
    "nova-compute",
    "OpenStack Compute",
    after=("libvirtd", "neutron-ovs-cleanup"),
    second="/etc/nova/nova-compute.conf",
)

NOVA_CONF = """\
[DEFAULT]
log_dir = /var/log/nova
lock_path = /var/lock/nova
state_path = /var/lib/nova

[api_database]
connection = sqlite:////var/lib/nova/nova_api.sqlite

[database]
connection = sqlite:////var/lib/nova/nova.sqlite
"""
COMPUTE_CONF = """\
[DEFAULT]
compute_driver=libvirt.LibvirtDriver
[libvirt]
virt_type=kvm
"""
SUDOERS = """\
Defaults:nova !requiretty

nova ALL = (root) NOPASSWD: /usr/bin/nova-rootwrap /etc/nova/rootwrap.conf *
"""
LOGROTATE = """\
/var/log/nova/*.log {
    daily
    missingok
    compress
    delaycompress
    copytruncate
}
"""
FOLDERS = (
    *("/etc/nova/rootwrap.d", "/var/log/nova"),
    *(f"/var/lib/nova/{name}" for name in ("CA", "buckets", "images", "instances", "keys")),
    *(f"/var/lib/nova/{name}" for name in ("networks", "tmp")),
)

# The numbers that Debian has set aside for Nova, and a shell that lets nobody in.
COMMON_POSTINST = script(
    """\
if [ "$1" = configure ]; then
    if ! getent group nova >/dev/null; then
        addgroup --quiet --system --gid 64060 nova
    fi
    if ! getent passwd nova >/dev/null; then
        adduser --quiet --system --home /var/lib/nova --no-create-home --uid 64060 --gid 64060 \\
            --shell /bin/false nova
    fi
    if [ -z "$2" ]; then chown -R nova:nova /var/lib/nova; fi
    chown nova:adm /var/log/nova
    chmod 0750 /var/log/nova
    chown -R root:nova /etc/nova
    find /etc/nova -type f -exec chmod 0640 {} + -o -type d -exec chmod 0750 {} +
    chown -R root:root /etc/nova/rootwrap.d
    find /etc/nova/rootwrap.d -type f -exec chmod 0644 {} + -o -type d -exec chmod 0755 {} +
    find /var/lib/nova -not -path '/var/lib/nova/.ssh*' \\
        \\( -type f -exec chmod 0644 {} + -o -type d -exec chmod 0755 {} + \\)
    find /var/lib/nova -name console.log -exec chmod 0600 {} + -exec chown root:root {} +
fi
"""
)
LIBVIRT_POSTINST = script(
    """\
if [ "$1" = configure ]; then
    if getent group libvirt >/dev/null; then adduser --quiet nova libvirt; fi
    if getent group nova | grep -qE '\\<libvirt-qemu\\>'; then deluser libvirt-qemu nova; fi
fi
"""
)
KVM_POSTINST = script(
    """\
if [ "$1" = configure ]; then
    chown root:nova /etc/nova/nova-compute.conf
    chmod 0640 /etc/nova/nova-compute.conf
fi
"""
)
# What root's Python has compiled beside the package's own files is no file of the package.
PYTHON_POSTRM = script(
    f"""\
if [ "$1" = remove ]; then rm -rf {PLACE} {SYSTEM_LIBRARIES}/nova; fi
"""
)


def debs(shape: Shape, environment: Path, architecture: str) -> Iterator[Deb]:
    """All packages of SHAPE; ENVIRONMENT is where Nova was installed on this machine."""
    yield python3_nova(shape, environment, architecture)
    yield nova_common(shape, environment)
    if shape.row.wsgi == "apache":
        yield _with_site(shape, "nova-api", 8774, "osapi_compute")
        yield _with_site(shape, "nova-api-metadata", 8775, "metadata")
    else:
        yield _with_service(shape, API, "API frontend", "iptables")
    yield _with_service(shape, CONDUCTOR, "conductor service")
    yield _with_service(shape, SCHEDULER, "virtual machine scheduler")
    yield _with_service(shape, NOVNCPROXY, "NoVNC proxy", "novnc")
    yield _with_service(
        *(shape, COMPUTE, "compute node base"),
        *("bridge-utils", "nova-compute-kvm | nova-compute-hypervisor"),
    )
    yield from _hypervisor(shape)


def python3_nova(shape: Shape, environment: Path, architecture: str) -> Deb:
    """Nova itself, and its programs, which Ubuntu has in this package as well."""
    following = f"3.{int(PYTHON.partition('.')[2]) + 1}"
    programs = sorted(path.name for path in (environment / "bin").glob("nova-*"))
    in_place = f"{SYSTEM_LIBRARIES}/nova"
    migrations = {
        path: Link(path.replace(SYSTEM_LIBRARIES, LIBRARIES))
        for path in (shape.row.migrations.api, shape.row.migrations.main)
    }
    wsgi = {}
    if shape.row.wsgi == "apache" and (apps := shape.row.wsgi_apps):
        wsgi = {
            apps.api: File(wsgi_program("osapi_compute")),
            apps.metadata: File(wsgi_program("metadata")),
        }
    return Deb(
        name="python3-nova",
        version=shape.version,
        summary="OpenStack Compute Python 3 libraries",
        section="python",
        architecture=architecture,
        depends=(
            f"nova-common (= {shape.version})",
            "openssh-client",
            "openssl",
            # What the deploy itself asks databases with, and what is linked into the environment.
            *("python3-libvirt", "python3-pymysql"),
            *(f"python3 (>= {PYTHON}~)", f"python3 (<< {following}~)"),
        ),
        tree=(environment, PLACE),
        files={
            **{f"/usr/bin/{name}": Link(f"{PLACE}/bin/{name}") for name in programs},
            f"{in_place}/__init__.py": File(WAY_IN),
            **migrations,
            **wsgi,
        },
        scripts={"postrm": PYTHON_POSTRM},
    )


def nova_common(shape: Shape, environment: Path) -> Deb:
    """The user, the folders and what all services read."""
    etc = environment / "etc/nova"
    rootwrap = (etc / "rootwrap.conf").read_text(encoding="utf-8")
    filters = {
        f"/etc/nova/rootwrap.d/{path.name}": File(path.read_text(encoding="utf-8"))
        for path in sorted((etc / "rootwrap.d").iterdir())
    }
    return Deb(
        name="nova-common",
        version=shape.version,
        summary="OpenStack Compute - common files",
        depends=("adduser", "sudo"),
        folders=FOLDERS,
        files={
            "/etc/nova/nova.conf": File(NOVA_CONF, 0o640),
            "/etc/nova/api-paste.ini": File((etc / "api-paste.ini").read_text(encoding="utf-8")),
            "/etc/nova/rootwrap.conf": File(in_environment(rootwrap)),
            **filters,
            "/etc/sudoers.d/nova_sudoers": File(SUDOERS, 0o440),
            "/etc/logrotate.d/nova-common": File(LOGROTATE),
        },
        scripts={"postinst": COMMON_POSTINST},
    )


def in_environment(rootwrap: str) -> str:
    """rootwrap.conf with which privsep-helper is the environment's.

    Neutron brings one of its own to /usr/bin, which knows nothing of this Nova.
    """
    return rootwrap.replace("\nexec_dirs=", f"\nexec_dirs={PLACE}/bin,", 1)


def _with_service(shape: Shape, service: Service, what: str, *depends: str) -> Deb:
    return Deb(
        name=service.name,
        version=shape.version,
        summary=f"OpenStack Compute - {what}",
        depends=(*depends, f"python3-nova (= {shape.version})"),
        files=service.files,
        scripts=service.scripts,
    )


def _with_site(shape: Shape, name: str, port: int, module: str) -> Deb:
    program = f"{SYSTEM_LIBRARIES}/nova/wsgi/{module}.py"
    return Deb(
        name=name,
        version=shape.version,
        summary=f"OpenStack Compute - {module} by Apache",
        depends=("apache2", "libapache2-mod-wsgi-py3", f"python3-nova (= {shape.version})"),
        files={f"/etc/apache2/sites-available/{name}.conf": File(site(name, port, program))},
        scripts=site_scripts(name),
    )


def _hypervisor(shape: Shape) -> Iterator[Deb]:
    yield Deb(
        name="nova-compute-libvirt",
        version=shape.version,
        summary="OpenStack Compute - compute node libvirt support",
        depends=(
            *("adduser", "ebtables", "genisoimage", "iptables", "kpartx"),
            *("libvirt-daemon-system", "open-iscsi", "parted", "qemu-utils"),
            f"python3-nova (= {shape.version})",
        ),
        scripts={"postinst": LIBVIRT_POSTINST},
    )
    yield Deb(
        name="nova-compute-kvm",
        version=shape.version,
        summary="OpenStack Compute - compute node (KVM)",
        # ipxe-qemu-256k-compat-efi-roms, which Ubuntu's asks for too, is Ubuntu's alone.
        depends=(
            *("ipxe-qemu", f"nova-compute-libvirt (= {shape.version})"),
            "qemu-kvm | qemu-system",
        ),
        provides=("nova-compute-hypervisor",),
        conflicts=("nova-compute-hypervisor",),
        files={"/etc/nova/nova-compute.conf": File(COMPUTE_CONF, 0o640)},
        scripts={"postinst": KVM_POSTINST},
    )
