"""The stubs of tests/lab/test_rpm_packages.py: names of real packages and units, and nothing else.

They are written down here from RDO's openstack-nova.spec and CentOS' extras, not taken from
platforms.yaml, so that a name which is wrong there is not found by dnf.
"""

from __future__ import annotations

from typing import Any

FOLDER = "/var/lib/stub-rpms"
RELEASE = "antelope"
UNIT = (
    "[Unit]\nDescription=stub\n[Service]\nExecStart=/bin/true\n"
    "[Install]\nWantedBy=multi-user.target\n"
)
SOCKET = (
    "[Unit]\nDescription=stub\n[Socket]\nListenStream=/run/stub-{name}\n"
    "[Install]\nWantedBy=sockets.target\n"
)
REPO = f"""\
[centos-openstack-{RELEASE}]
name=CentOS-9 - OpenStack {RELEASE}
baseurl=file://{FOLDER}/centos-openstack-{RELEASE}
enabled=1
gpgcheck=0
"""
SERVICES = {
    "openstack-nova-api": ("openstack-nova-api", "openstack-nova-metadata-api"),
    "openstack-nova-conductor": ("openstack-nova-conductor",),
    "openstack-nova-scheduler": ("openstack-nova-scheduler",),
    "openstack-nova-novncproxy": ("openstack-nova-novncproxy",),
    "openstack-nova-compute": ("openstack-nova-compute",),
}
SOCKETS = ("virtqemud", "virtproxyd", "virtlogd", "virtsecretd", "virtnodedevd", "virtstoraged")


def stub(
    name: str, *requires: str, version: str = "1.0", files: dict[str, str] | None = None
) -> dict[str, Any]:
    return {"name": name, "version": version, "requires": list(requires), "files": files or {}}


def service(name: str) -> tuple[str, str]:
    return f"/usr/lib/systemd/system/{name}.service", UNIT


def socket(name: str) -> tuple[str, str]:
    return f"/usr/lib/systemd/system/{name}.socket", SOCKET.format(name=name)


def request(*, remove: bool = False) -> dict[str, Any]:
    """What stub_rpms.py is asked for: the system's own repositories, CRB and RDO."""
    repo_file = {f"/etc/yum.repos.d/CentOS-OpenStack-{RELEASE}.repo": REPO}
    nova = [
        stub(name, "openstack-nova-common", files=dict(map(service, units)))
        for name, units in SERVICES.items()
    ]
    libvirt = stub("libvirt-daemon-kvm", "libvirt-libs", files=dict(map(socket, SOCKETS)))
    # libvirt-libs is there already, older: an upgrade that the plan has to name.
    own = [
        stub(f"centos-release-openstack-{RELEASE}", files=repo_file),
        stub("dnf-plugins-core"),
        stub("libvirt-libs", version="9.0.0"),
        stub("libvirt-client"),
        stub("xorriso"),
        stub("python3-PyMySQL"),
    ]
    rdo = [
        *nova,
        stub("openstack-nova-common", "python3-nova"),
        stub("python3-nova", "python3-only-in-crb"),
        stub("openstack-selinux"),
        {**libvirt, "requires": ["libvirt-libs >= 10.0.0"]},
        stub("libvirt-libs", version="10.10.0"),
    ]
    return {
        "folder": FOLDER,
        "remove": remove,
        "repositories": {
            "extras": {"enabled": True, "packages": own},
            "crb": {"enabled": False, "packages": [stub("python3-only-in-crb")]},
            f"centos-openstack-{RELEASE}": {"enabled": None, "packages": rdo},
        },
    }
