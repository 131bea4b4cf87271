"""What a site no longer wants, on real hosts; and huge pages as far as a container has any."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from .conftest import ROOT, SECRETS, on, run
from .test_main_job import PYINFRA

pytestmark = pytest.mark.rotated("faults")
Deployed = subprocess.CompletedProcess[str]
KEY = "/etc/nova/migration_key"
AUTHORIZED = "/var/lib/nova/.ssh/authorized_keys"
OTHERS = "ssh-rsa AAAA somebody@elsewhere"
LEFT = f"ls {KEY} /etc/nova/known_hosts.* /etc/ssh/ssh_config.d/50-pyinfra-nova.conf 2>/dev/null"


@pytest.fixture
def without_secret(deployed: Deployed, tmp_path: Path) -> Iterator[str]:
    """A secrets file without the key that moves guests; afterwards the site has it again."""
    assert deployed.returncode == 0
    path = tmp_path / "secrets.yml"
    path.touch(mode=0o600)
    known = yaml.safe_load(SECRETS.read_text())
    known.pop("migration_secret")
    path.write_text(yaml.safe_dump(known))
    yield str(path)
    assert run(PYINFRA, "inventory.py", "deploy.py", "-y").returncode == 0
    assert run("./run", "plan").returncode == 0
    login = "runuser -u nova -- ssh -o BatchMode=yes 10.0.0.32 true"
    assert on("compute1", login).returncode == 0


def test_the_key_that_moves_guests_goes_with_its_secret(without_secret: str) -> None:
    on("compute1", f"echo {OTHERS} >>{AUTHORIZED}")
    planned = run("./run", "plan", PYINFRA_NOVA_SECRETS=without_secret)
    assert planned.returncode == 2
    assert f"{KEY}: remove" in planned.stdout
    assert f"{AUTHORIZED}: remove what this project wrote there" in planned.stdout
    assert on("compute1", f"test -e {KEY}").returncode == 0
    deploy = (PYINFRA, "inventory.py", "deploy.py", "-y")
    assert run(*deploy, PYINFRA_NOVA_SECRETS=without_secret).returncode == 0
    for host in ("compute1", "compute2"):
        assert on(host, LEFT).stdout == ""
    assert on("compute1", f"cat {AUTHORIZED}").stdout.splitlines()[-1] == OTHERS
    assert on("compute2", f"test -e {AUTHORIZED}").returncode != 0
    assert run("./run", "plan", PYINFRA_NOVA_SECRETS=without_secret).returncode == 0


# --- huge pages -----------------------------------------------------------------------------------

# Hosts in containers share the machine's pages and have no GRUB, so counts, meminfo and GRUB are
# files of a tree; systemd, libvirt and the mounts are the host's own. Pages of 2M are mounted, as
# 1G pages would be on a host: in the tree they are not the kernel's own size.
TREE = "/root/hugepages"
PREPARE = f"""
rm -rf {TREE}
mkdir -p {TREE}/proc {TREE}/boot/grub {TREE}/etc/default/grub.d {TREE}/etc/sysctl.d
mkdir -p {TREE}/etc/systemd {TREE}/sys/kernel/mm/hugepages/hugepages-2048kB
ln -s /etc/systemd/system {TREE}/etc/systemd/system
printf 'MemTotal: 8388608 kB\\nHugepagesize: 1048576 kB\\n' >{TREE}/proc/meminfo
echo quiet >{TREE}/proc/cmdline
echo 0 >{TREE}/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages
echo 0 >{TREE}/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages
echo 'linux /vmlinuz quiet' >{TREE}/boot/grub/grub.cfg
cat >/usr/local/sbin/update-grub <<'END'
#!/bin/sh
GRUB_CMDLINE_LINUX=
for file in {TREE}/etc/default/grub.d/*.cfg; do [ ! -e "$file" ] || . "$file"; done
echo "linux /vmlinuz quiet $GRUB_CMDLINE_LINUX" >{TREE}/boot/grub/grub.cfg
END
chmod 755 /usr/local/sbin/update-grub
"""
UNDO = f"""
systemctl disable --now dev-hugepages2M.mount 2>/dev/null
rm -rf {TREE} /usr/local/sbin/update-grub /etc/systemd/system/dev-hugepages2M.mount
systemctl daemon-reload
"""
# What the script imports.
IMPORTABLE = """
import sys, types
module = sys.modules["mount_users"] = types.ModuleType("mount_users")
exec({used!r}, module.__dict__)
"""
# Ends the process after the action with the number KILLED.
KILL = """
import json, os
ROOT, left = {tree!r}, {killed}
def ending(inner):
    def act(*words):
        global left
        found = inner(*words)
        if words[:2] != ("systemctl", "show"):
            left -= 1
            if left == 0:
                os._exit(9)
        return found
    return act
run, write, remove, set_count = map(ending, (run, write, remove, set_count))
print(json.dumps(answer({request!r})))
"""
IN_FORCE = f"""
cat {TREE}/boot/grub/grub.cfg {TREE}/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages
ls {TREE}/etc/default/grub.d {TREE}/etc/sysctl.d
grep -c ' /dev/hugepages2M hugetlbfs .*pagesize=2M' /proc/mounts
systemctl is-enabled dev-hugepages2M.mount 2>/dev/null
systemctl is-active libvirtd dev-hugepages2M.mount
"""


def asked(count: int, *, apply: bool = False, killed: int = 0) -> Deployed:
    """The script on compute1, with its paths below the tree."""
    pages = [{"kilobytes": 2048, "count": count, "node": None}] if count else []
    request = {"pages": pages, "daemons": ["libvirtd.service"], "apply": apply}
    used = (ROOT / "files/mount_users.py").read_text()
    script = IMPORTABLE.format(used=used) + (ROOT / "files/hugepages.py").read_text()
    script += KILL.format(tree=TREE, killed=killed, request=request)
    return on("compute1", f"python3 - <<'END_OF_SCRIPT'\n{script}END_OF_SCRIPT\n")


def changes(count: int) -> list[str]:
    found: list[str] = json.loads(asked(count).stdout.splitlines()[-1])["changes"]
    return found


@pytest.fixture
def tree(deployed: Deployed) -> Iterator[None]:
    assert on("compute1", PREPARE).returncode == 0
    yield
    assert on("compute1", UNDO).returncode == 0


def test_huge_pages_cut_off_after_each_action_are_finished(tree: None) -> None:
    for count in (4, 0):
        actions = 0
        while changes(count):
            actions += 1
            assert actions < 20
            # One action more each time: what was done before is in force, and not done again.
            assert asked(count, apply=True, killed=1).returncode in (0, 9)
        assert actions > 4
        said = on("compute1", IN_FORCE).stdout
        assert ("hugepagesz=2M hugepages=4" in said) == bool(count)
        assert ("60-pyinfra-nova-hugepages.cfg" in said) == bool(count)
        active = [line for line in said.splitlines() if line in ("active", "inactive")]
        assert active == ["active", "active" if count else "inactive"]
