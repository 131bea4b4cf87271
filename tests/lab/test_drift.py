"""Every kind of drift: the plan names it and nothing else, and the deploy repairs it."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass

import pytest

from . import traces
from .conftest import ROOT, on, run
from .test_main_job import PYINFRA

Deployed = subprocess.CompletedProcess[str]
CONFIGURATION = "Configuration | Write configuration files"
PACKAGES = "Packages | Install packages"
DATABASES = "Databases | Create databases, user and grants"
BROKER = "Messaging | Create broker user and permissions"
IDENTITY = "Identity | Create user, roles, service and endpoints"
CELLS = "Cells | Bring schemas and cells in line"
CONTROLLER = "Controller services | Enable and start the controller's units"
COMPUTE = "Compute services | Enable and start the compute's units"
STORAGE = "Block storage | Have the key of Ceph in libvirt"
OPEN = "Hypervisors | Open computes"
MAPPED = "Hypervisors | Map the computes to cell1"
NOVA_CONF = "/etc/nova/nova.conf"
RBD_SECRET = "457eb676-33da-42ec-9a8c-9293d545c337"
OTHER_KEY = "AQAAAAAAAAAAABAAAAAAAAAAAAAAAAAAAAAAAA=="


@dataclass(frozen=True)
class Drift:
    """How something was changed by hand, and what of it has to be seen.

    Attributes:
        host: where it is done.
        command: what is done.
        said: what the plan says of it.
        pending: the operations that the plan names, all of them.
        touched: what the repair makes another one on HOST, all of it, as patterns.
    """

    host: str
    command: str
    said: str
    pending: tuple[str, ...]
    touched: tuple[str, ...]


CONF = re.escape(NOVA_CONF)
SERVICES = "unit nova-(api|api-metadata|conductor|scheduler|novncproxy)"
"""What has read the cells when it was started."""
OF_A_PACKAGE = "/(etc|usr|var/lib/(dpkg|apt|systemd|ucf))/.*"


def sql(statement: str) -> str:
    return f'mysql -e "{statement}"'


def update_cell(name: str) -> str:
    old = "mysql+pymysql://nova:old@elsewhere/nova"
    return (
        f"uuid=$(mysql -N nova_api -e \"SELECT uuid FROM cell_mappings WHERE name='{name}'\");"
        f" nova-manage cell_v2 update_cell --cell_uuid $uuid --name {name}"
        f" --transport-url rabbit://old:old@elsewhere/ --database_connection {old}"
    )


DRIFTS = {
    "a file edited": Drift(
        "compute1",
        f"sed -i 's/^my_ip = .*/my_ip = 10.0.0.99/' {NOVA_CONF}",
        "-my_ip = 10.0.0.99",
        (CONFIGURATION, COMPUTE),
        (CONF, "unit nova-compute"),
    ),
    "a file's mode": Drift(
        "compute2",
        f"chmod 644 {NOVA_CONF}",
        "mode 0644",
        (CONFIGURATION,),
        (CONF,),
    ),
    "a file's owner": Drift(
        "controller",
        f"chown nova {NOVA_CONF}",
        "owner nova:nova",
        (CONFIGURATION,),
        (CONF,),
    ),
    "a unit stopped": Drift(
        "controller",
        "systemctl stop nova-scheduler",
        "inactive (dead)",
        (CONTROLLER,),
        ("unit nova-scheduler",),
    ),
    "the key of Ceph": Drift(
        "compute2",
        f"echo {OTHER_KEY} | virsh secret-set-value {RBD_SECRET} --file /dev/stdin",
        f"set the value of libvirt secret {RBD_SECRET}",
        (STORAGE,),
        (rf"/etc/libvirt/secrets/{RBD_SECRET}\..*",),
    ),
    "a unit disabled": Drift(
        "compute1",
        "systemctl disable nova-compute",
        "disabled",
        (COMPUTE,),
        ("/etc/.*nova-compute.*", "unit nova-compute"),
    ),
    "a unit masked": Drift(
        "controller",
        "systemctl mask --now nova-conductor",
        "masked",
        (CONTROLLER,),
        ("/etc/.*nova-conductor.*", "unit nova-conductor"),
    ),
    "a file newer than its process": Drift(
        "compute2",
        f"touch {NOVA_CONF}",
        f"{NOVA_CONF} is newer than the process",
        (COMPUTE,),
        ("unit nova-compute",),
    ),
    "a package removed": Drift(
        "controller",
        "DEBIAN_FRONTEND=noninteractive apt-get -q -y remove nova-scheduler",
        "install: nova-scheduler",
        (PACKAGES, CONTROLLER),
        (OF_A_PACKAGE, "unit nova-scheduler"),
    ),
    "the database user's password": Drift(
        "controller",
        sql("ALTER USER nova@'%' IDENTIFIED BY 'another one'"),
        "change the password of database user nova",
        (DATABASES,),
        (r"rows of mysql\.global_priv",),
    ),
    "a grant": Drift(
        "controller",
        sql(r"REVOKE INSERT ON \`nova\\_api\`.* FROM nova@'%'"),
        "grant database nova_api to nova",
        (DATABASES,),
        (r"rows of mysql\.db",),
    ),
    "the broker user's password": Drift(
        "controller",
        "rabbitmqctl -q change_password openstack 'another one'",
        "set broker user openstack and its password",
        (BROKER,),
        ("broker's users",),
    ),
    "a broker permission": Drift(
        "controller",
        "rabbitmqctl -q set_permissions -p / openstack '.*' '' '.*'",
        "let broker user openstack use virtual host /",
        (BROKER,),
        ("broker's permissions",),
    ),
    "the Keystone user disabled": Drift(
        "controller",
        "openstack user set --disable nova",
        "enable user nova",
        (IDENTITY,),
        (r"rows of keystone\.(user|local_user|revocation_event)",),
    ),
    "the Keystone user's password": Drift(
        "controller",
        "openstack user set --password 'another one' nova",
        "change the password of user nova",
        (IDENTITY,),
        (r"rows of keystone\.(user|local_user|password|revocation_event)",),
    ),
    "a role": Drift(
        "controller",
        "openstack role remove --user nova --project service service",
        "give user nova role service in project service",
        (IDENTITY,),
        (r"rows of keystone\.(assignment|revocation_event)",),
    ),
    "an endpoint moved": Drift(
        "controller",
        "openstack endpoint set --url https://elsewhere:8774/v2.1"
        " $(openstack endpoint list --service compute --interface public -f value -c ID)",
        "move the public endpoint of compute",
        (IDENTITY,),
        (r"rows of keystone\.endpoint",),
    ),
    "an endpoint doubled": Drift(
        "controller",
        "openstack endpoint create --region RegionOne compute internal http://twice:8774/v2.1",
        "remove the second internal endpoint of compute",
        (IDENTITY,),
        (r"rows of keystone\.endpoint",),
    ),
    "cell0 elsewhere": Drift(
        "controller",
        update_cell("cell0"),
        "point cell0 at the database",
        (CELLS, CONTROLLER),
        (r"rows of nova_api\.cell_mappings", SERVICES),
    ),
    "cell1 disabled": Drift(
        "controller",
        sql(
            "UPDATE nova_api.cell_mappings SET disabled = 1, updated_at = UTC_TIMESTAMP()"
            " WHERE name = 'cell1'"
        ),
        "enable cell1, which takes no new guests",
        (CELLS, CONTROLLER),
        (r"rows of nova_api\.cell_mappings", SERVICES),
    ),
    "cell1 elsewhere": Drift(
        "controller",
        update_cell("cell1"),
        "point cell1 at the database",
        (CELLS, CONTROLLER),
        (r"rows of nova_api\.cell_mappings", SERVICES),
    ),
    "a compute without its mapping": Drift(
        "controller",
        sql("DELETE FROM nova_api.host_mappings WHERE host = 'compute2'"),
        "map compute2 to cell1",
        (MAPPED,),
        (r"rows of (nova_api\.host_mappings|nova\.compute_nodes)",),
    ),
    "a compute closed by hand": Drift(
        "controller",
        "openstack compute service set --disable --disable-reason fan compute2 nova-compute",
        "open compute2 to new guests (was closed: fan)",
        (OPEN,),
        (r"rows of nova\.services", r"rows of placement\.resource_provider(s|_traits)"),
    ),
}


def pending() -> tuple[dict[str, list[str]], str]:
    """What a plan would change, and everything that it says."""
    result = subprocess.run(
        ["./run", "plan", "--json"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    print(result.stderr, result.stdout)
    return json.loads(result.stdout)["pending"], result.stderr


@pytest.mark.sampled
@pytest.mark.parametrize("what", DRIFTS)
def test_drift_is_planned_and_repaired(deployed: Deployed, what: str) -> None:
    drift = DRIFTS[what]
    assert on(drift.host, drift.command).returncode == 0
    planned, said = pending()
    before = traces.everything()
    # First put it right, so that the next drift is seen alone whatever became of this one.
    repaired = run(PYINFRA, "inventory.py", "deploy.py", "-y")
    touched = traces.differences(before, traces.everything())
    assert planned == {operation: [drift.host] for operation in drift.pending}
    assert drift.said in said
    assert repaired.returncode == 0
    patterns = [f"{drift.host}:{pattern}" for pattern in drift.touched]
    assert [name for name in touched if not any(re.fullmatch(p, name) for p in patterns)] == []
    assert [p for p in patterns if not any(re.fullmatch(p, name) for name in touched)] == []
    assert pending()[0] == {}
