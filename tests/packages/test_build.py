"""Each release from PyPI to a host: built, found by the deploy's own step, installed, run."""

from __future__ import annotations

import pytest

from lab.packages.environment import PLACE
from lab.packages.releases import RELEASES

from .conftest import Host

ROLES = ("controller", "compute")
COUNT_TABLES = """\
import sqlite3, sys
found = sqlite3.connect(sys.argv[1])
print(*(name for (name,) in found.execute("SELECT name FROM sqlite_master")))
print(*(name for (name,) in found.execute("SELECT version_num FROM alembic_version")))
"""


@pytest.fixture(scope="module")
def enabled(host: Host) -> Host:
    """The repository enabled as tasks/packages.py has it done."""
    if host.shape.suite != host.shape.series:
        done = host.script("enable_cloud_archive", "ubuntu-cloud-keyring", host.shape.suite)
    else:  # The series has it, and the deploy enables nothing.
        done = host.run("apt-get", "-q", "update")
    assert done.returncode == 0
    return host


@pytest.fixture(scope="module")
def installed(enabled: Host) -> Host:
    packages = enabled.shape.row.packages_for(ROLES)
    assert enabled.script("install_packages_apt", *packages).returncode == 0
    return enabled


@pytest.fixture(scope="module")
def synced(installed: Host) -> Host:
    assert installed.as_nova("nova-manage", "api_db", "sync").returncode == 0
    assert installed.as_nova("nova-manage", "cell_v2", "map_cell0").returncode == 0
    assert installed.as_nova("nova-manage", "db", "sync").returncode == 0
    return installed


def test_apt_says_that_the_repository_is_enabled_as_the_deploy_asks_it(enabled: Host) -> None:
    asked = ("apt-get", "indextargets", "--format", "$(RELEASE)", "Created-By: Packages")
    assert enabled.shape.suite in enabled.run(*asked).stdout.split()


def test_every_package_of_the_row_is_installed_in_this_version(installed: Host) -> None:
    wanted = installed.shape.row.packages_for(ROLES)
    names = [name for name in (*wanted, "python3-nova", "nova-common") if "nova" in name]
    fields = "${Package} ${db:Status-Status} ${Version}\\n"
    done = installed.run("dpkg-query", "--show", f"--showformat={fields}", *names)
    assert sorted(done.stdout.splitlines()) == sorted(
        f"{name} installed {installed.shape.version}" for name in names
    )


def test_nova_says_its_own_version(installed: Host) -> None:
    done = installed.as_nova("nova-manage", "--version")
    assert done.returncode == 0
    nova = RELEASES[installed.shape.release].nova
    assert nova in (done.stdout + done.stderr).split()


def test_every_unit_of_the_row_is_there_and_its_program_starts(installed: Host) -> None:
    units = installed.shape.row.units_for(ROLES)
    for name in (unit.name for unit in units if unit.name.startswith("nova-")):
        unit = installed.run("cat", f"/lib/systemd/system/{name}.service").stdout
        assert "User=nova\n" in unit
        assert f"ExecStart=/etc/init.d/{name} systemd-start\n" in unit
        said = installed.run(f"/etc/init.d/{name}", "show-args").stdout.split()
        assert said[:2] == [f"/usr/bin/{name}", "--config-file=/etc/nova/nova.conf"]
        assert said[-1] == f"--log-file=/var/log/nova/{name}.log"
        assert installed.as_nova(said[0], "--help").returncode == 0


def test_the_user_is_ubuntus(installed: Host) -> None:
    assert "/var/lib/nova:/bin/false" in installed.run("getent", "passwd", "nova").stdout
    assert "libvirt" in installed.run("id", "-nG", "nova").stdout.split()
    modes = installed.run("stat", "-c", "%U:%G %a", "/etc/nova/nova.conf", "/var/lib/nova/tmp")
    assert modes.stdout.split("\n")[:2] == ["root:nova 640", "nova:nova 755"]


def test_both_schemas_are_at_the_newest_of_the_rows_migrations(synced: Host) -> None:
    migrations = synced.shape.row.migrations
    for folder, base in ((migrations.api, "nova_api"), (migrations.main, "nova")):
        asked = ("python3", "-c", COUNT_TABLES, f"/var/lib/nova/{base}.sqlite")
        tables, version = synced.run(*asked).stdout.splitlines()
        assert "alembic_version" in tables.split()
        found = synced.run("sh", "-c", f"cat {folder}/*.py").stdout
        assert f"revision = '{version}'" in found
        assert f"down_revision = '{version}'" not in found


def test_nova_status_knows_its_checks(synced: Host) -> None:
    assert synced.as_nova("nova-status", "upgrade", "check", "--help").returncode == 0


def test_the_systems_python_finds_the_environments_nova(installed: Host) -> None:
    said = installed.run(
        *("python3", "-I", "-c", "import nova.objects, oslo_config; print(oslo_config.__file__)")
    )
    assert said.stdout.startswith(PLACE)


def test_libvirt_is_the_systems_own(installed: Host) -> None:
    said = installed.run(
        f"{PLACE}/bin/python3", "-c", "import libvirt; print(libvirt.getVersion())"
    )
    assert said.stdout.strip() == "9000000"


def test_the_api_of_apache_is_a_program_that_it_can_load(synced: Host) -> None:
    apps = synced.shape.row.wsgi_apps
    if apps is None:
        pytest.skip("nova-api serves both APIs in this row")
    for path in (apps.api, apps.metadata):
        code = f"import runpy; print(callable(runpy.run_path({path!r})['application']))"
        said = synced.as_nova("python3", "-c", code)
        assert said.stdout.split()[-1:] == ["True"]


def test_privileges_are_taken_by_the_environments_own_helper(installed: Host) -> None:
    """Neutron's, of /usr/bin, would know nothing of this Nova."""
    installed.run("cp", "/bin/false", "/usr/bin/privsep-helper")
    words = ("--config-file", "/etc/nova/nova.conf", "--privsep_context")
    more = ("nova.privsep.sys_admin_pctxt", "--privsep_sock_path", "/tmp/nowhere")
    asked = ("sudo", "nova-rootwrap", "/etc/nova/rootwrap.conf", "privsep-helper", *words, *more)
    installed.as_nova(*asked)
    # It is the real one if it gets as far as to look for the socket.
    said = installed.run("cat", "/var/log/nova/privsep-helper.log").stdout
    assert f"{PLACE}/lib" in said
    assert "FileNotFoundError" in said.splitlines()[-2]
