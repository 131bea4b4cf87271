"""Clouds that are broken although every unit is active: the deploy says so, and so does verify.

What a deploy can put right it puts right, and proves; the rest ends it with the unit, the cause and
the remedy.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import yaml

from .conftest import BROKER_PORT, SECRETS, on, run
from .test_main_job import PYINFRA

Deployed = subprocess.CompletedProcess[str]
WRONG_URI = json.dumps({"libvirt": {"connection_uri": "qemu+tcp://127.0.0.1:1/system"}})
NOBODYS = ("--data", "manage_messaging=false")
"""As on a site whose broker somebody else looks after: its users are not put right."""
OTHERS = "/var/tmp/pyinfra-nova-test"
SECOND_COMPUTE = f"""
install -d -o nova -g nova {OTHERS} {OTHERS}/lock
printf '[DEFAULT]\\nhost = compute1\\nstate_path = {OTHERS}\\n' >{OTHERS}/conf
printf 'log_file = {OTHERS}/log\\n' >>{OTHERS}/conf
printf '[oslo_concurrency]\\nlock_path = {OTHERS}/lock\\n' >>{OTHERS}/conf
systemd-run --unit=second-compute --uid=nova nova-compute --config-file /etc/nova/nova.conf \\
    --config-file /etc/nova/nova-compute.conf --config-file {OTHERS}/conf
sleep 15
"""
FULL = """
mount -t tmpfs -o size=64k,uid=nova,gid=nova none /var/lib/nova/instances
dd if=/dev/zero of=/var/lib/nova/instances/full bs=4k 2>/dev/null; true
"""


@dataclass(frozen=True)
class Broken:
    """A way to be broken.

    Attributes:
        host: where COMMAND breaks it, and MENDED puts it right where no deploy does.
        found: what verify says, and the deploy where it cannot put it right.
        repaired: the deploy puts it right.
        arguments: of the deploy.
    """

    host: str
    command: str
    found: str
    mended: str = "true"
    repaired: bool = False
    arguments: tuple[str, ...] = ()


WAYS = {
    "a hypervisor that is not there": Broken(
        "compute1",
        "true",
        r"nova-compute[\s\S]*Connection to the hypervisor is broken",
        arguments=("--data", f"nova_conf={WRONG_URI}"),
    ),
    "no rights on one queue": Broken(
        "controller",
        "rabbitmqctl set_permissions openstack '.*' '.*' '^(?!compute[.]compute1$).*'"
        " && ssh_compute1",
        r"compute1: (nobody listens on queue compute\.compute1|nova-compute .*ACCESS_REFUSED)",
        mended="rabbitmqctl set_permissions openstack '.*' '.*' '.*'",
        arguments=NOBODYS,
    ),
    "a password of Placement that has changed": Broken(
        "controller",
        "openstack user set --password another placement",
        r"refuses user placement \(401\)",
    ),
    "a full disk": Broken(
        "compute1",
        FULL,
        r"/var/lib/nova/instances: nova cannot write there: No space left on device",
        mended="umount /var/lib/nova/instances",
    ),
    "a state folder of root's": Broken(
        "compute1",
        "chown root:root /var/lib/nova/instances",
        r"/var/lib/nova/instances: nova cannot write there: Permission denied",
        mended="chown nova:nova /var/lib/nova/instances",
    ),
    "a process whose program is gone": Broken(
        "controller",
        "cp /usr/bin/python3.11 /usr/bin/other && mv /usr/bin/other /usr/bin/python3.11",
        r"nova-conductor.*runs a program that is no longer on the disk",
        repaired=True,
    ),
    "a second nova-compute with the same name": Broken(
        "compute2",
        SECOND_COMPUTE,
        r"compute1.*(another nova-compute says that it is compute1|2 compute nodes)",
        mended=f"systemctl stop second-compute; rm -r {OTHERS}",
    ),
    "libvirt stopped": Broken(
        "compute1",
        "systemctl stop libvirtd.socket libvirtd-ro.socket libvirtd-admin.socket libvirtd",
        r"libvirtd",
        repaired=True,
    ),
    "libvirt that cannot start": Broken(
        "compute1",
        "printf 'nonsense\\n' >>/etc/libvirt/libvirtd.conf; systemctl restart libvirtd; true",
        r"libvirtd.*libvirtd\.conf",
        mended="sed -i /^nonsense/d /etc/libvirt/libvirtd.conf",
    ),
    "the controller's name elsewhere": Broken(
        "compute1",
        "sed -i.kept 's/^10.0.0.11 /10.0.0.32 /' /etc/hosts",
        rf"compute1.*RabbitMQ at controller:{BROKER_PORT}.*does not answer|Connection refused",
        mended="cat /etc/hosts.kept >/etc/hosts; rm /etc/hosts.kept",
    ),
    "a conductor that crashes for ever": Broken(
        "controller",
        "mkdir -p /etc/systemd/system/nova-conductor.service.d"
        " && printf '[Service]\\nExecStart=\\nExecStart=/nonexistent\\nRestart=always\\n"
        "RestartSec=1\\n' >/etc/systemd/system/nova-conductor.service.d/broken.conf"
        " && systemctl daemon-reload && systemctl --no-block restart nova-conductor",
        r"nova-conductor.*(auto-restart|failed|activating)",
        mended="rm -r /etc/systemd/system/nova-conductor.service.d && systemctl daemon-reload",
    ),
    "a console proxy that ends without an error": Broken(
        "controller",
        "sed -i s/novnc/spicehtml5/ /etc/default/nova-consoleproxy"
        " && systemctl restart nova-novncproxy",
        r"nova-novncproxy",
        repaired=True,
    ),
    "an API that answers 500": Broken(
        "controller",
        "sed -i 's#@controller:3306/#@127.0.0.9:1/#' /etc/nova/nova.conf"
        " && systemctl restart nova-api",
        r"500[\s\S]*nova\.conf|nova\.conf[\s\S]*500",
        repaired=True,
    ),
    "a hypervisor registered with a wrong address": Broken(
        "compute1",
        "sed -i 's/^my_ip = .*/my_ip = 127.0.0.1/' /etc/nova/nova.conf"
        " && systemctl restart nova-compute && sleep 20",
        r"compute1[\s\S]*127\.0\.0\.1",
        repaired=True,
    ),
    "a clock an hour off": Broken(
        # What is asked over SSH sees another time; a host of its own clock is no machine's here.
        "compute1",
        "DEBIAN_FRONTEND=noninteractive apt-get -q -y install libfaketime >/dev/null"
        " && cp /etc/environment /etc/environment.kept && printf 'FAKETIME=+3600s\\nLD_PRELOAD="
        "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1\\n' >>/etc/environment",
        r"compute1.*clock.*\+3[56]\d\d\.\d s off",
        mended="env -u LD_PRELOAD cp /etc/environment.kept /etc/environment",
    ),
}


@pytest.fixture
def broken(deployed: Deployed, request: pytest.FixtureRequest) -> Iterator[Broken]:
    """A way to be broken; afterwards the cloud is as a deploy leaves it."""
    way = WAYS[request.param]
    command = way.command.replace("&& ssh_compute1", "")
    assert on(way.host, command).returncode == 0
    if "ssh_compute1" in way.command:
        on("compute1", "systemctl --no-block restart nova-compute; sleep 10")
    yield way
    on(way.host, way.mended)
    if "placement" in way.found:
        password = yaml.safe_load(SECRETS.read_text())["placement_password"]
        on("controller", f"openstack user set --password {shlex.quote(password)} placement")
    assert run(PYINFRA, "inventory.py", "deploy.py", "-y").returncode == 0
    assert run("./run", "plan").returncode == 0


@pytest.mark.rotated("proof")
@pytest.mark.parametrize("broken", WAYS, indirect=True)
def test_the_deploy_and_the_verification_find_it(broken: Broken) -> None:
    if broken.repaired:
        verified = verify()
        deployed = deploy(broken)
        assert deployed.returncode == 0
    else:
        deployed = deploy(broken)
        verified = verify()
        assert deployed.returncode == 1
        assert re.search(broken.found, deployed.stdout)
        assert "proven 3" not in deployed.stdout
    assert "Traceback" not in deployed.stdout
    assert verified.returncode == 1
    assert re.search(broken.found, verified.stdout)


def deploy(broken: Broken) -> Deployed:
    return run(PYINFRA, "inventory.py", "deploy.py", "-y", *broken.arguments)


def verify() -> Deployed:
    """Without guests, which take too long in a broken cloud."""
    return run("./run", "verify", "--deselect", "tests/verify/test_guests.py")
