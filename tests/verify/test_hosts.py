"""Each host: packages, files, units, and what must not be there."""

from __future__ import annotations

import re
import secrets
import time

import parsed_options
import pytest

from pyinfra_nova.render import option_values
from pyinfra_nova.resources.config_files import ConfigFileDifferences, comparison
from pyinfra_nova.resources.host_script import ScriptFact
from pyinfra_nova.resources.units import UnitDifferences
from pyinfra_nova.settings import HostSettings

from .conftest import Cloud

STARTED = time.monotonic()
WATCH_SECONDS = 8
"""How long restarts are counted: longer than the restart delay of any unit here."""


class ParsedOptions(ScriptFact):
    """The options of a file as oslo.config reads them."""

    script = "parsed_options"


@pytest.fixture(scope="session")
def restarts(cloud: Cloud) -> dict[str, dict[str, int]]:
    """How often systemd had restarted each unit when the verification began."""
    return {name: count_restarts(cloud, name) for name in cloud.site.hosts}


def unit_names(cloud: Cloud, name: str) -> list[str]:
    target = cloud.target(name)
    return [unit.name for unit in target.platform.units_for(target.host.roles)]


def count_restarts(cloud: Cloud, name: str) -> dict[str, int]:
    names = unit_names(cloud, name)
    if not names:
        return {}
    shown = cloud.shell(name).run(f"systemctl show --property=Id,NRestarts {' '.join(names)}")
    found = re.findall(r"Id=(\S+?)(?:\.service)?\nNRestarts=(\d+)", shown.stdout)
    swapped = re.findall(r"NRestarts=(\d+)\nId=(\S+?)(?:\.service)?\n", shown.stdout + "\n")
    return {unit: int(count) for unit, count in found} | {u: int(c) for c, u in swapped}


def test_packages_are_installed(
    cloud: Cloud, nova_host: HostSettings, restarts: dict[str, dict[str, int]]
) -> None:
    wanted = cloud.target(nova_host.name).platform.packages_for(nova_host.roles)
    shown = cloud.shell(nova_host.name).run(
        "dpkg-query -W -f '${Package} ${db:Status-Status}\\n' " + " ".join(wanted)
    )
    installed = {line.split()[0] for line in shown.stdout.splitlines() if "installed" in line}
    assert set(wanted) <= installed, f"{nova_host.name}: not installed; deploy again"


def test_units_are_enabled_and_running_with_their_present_configuration(
    cloud: Cloud, nova_host: HostSettings
) -> None:
    target = cloud.target(nova_host.name)
    units = [unit.as_request() for role in ("controller", "compute")
             if role in nova_host.roles for unit in target.units(role)]  # fmt: skip
    found = cloud.ask(nova_host.name, UnitDifferences, {"units": units})["units"]
    wrong = [f"{unit['name']}: {unit['reason']}" for unit in found]
    assert not wrong, f"{nova_host.name}: {wrong}; see `journalctl -u UNIT` there, or deploy again"


def test_files_are_as_rendered_with_their_owner_and_mode(
    cloud: Cloud, nova_host: HostSettings
) -> None:
    files = cloud.target(nova_host.name).files
    found = cloud.ask(nova_host.name, ConfigFileDifferences, comparison(files))["files"]
    wrong = [f"{file['path']} ({file['change']})\n{file['diff']}" for file in found]
    assert not wrong, f"{nova_host.name}: " + "\n".join(wrong) + "\ndeploy again"


def test_nova_conf_belongs_to_root_and_only_nova_reads_it(
    cloud: Cloud, nova_host: HostSettings
) -> None:
    file = cloud.shell(nova_host.name).file("/etc/nova/nova.conf")
    found = (file.user, file.group, oct(file.mode))
    assert found == ("root", "nova", "0o640"), f"{nova_host.name}: /etc/nova/nova.conf is {found}"


def test_nova_conf_parses_to_the_expected_options(cloud: Cloud, nova_host: HostSettings) -> None:
    file = cloud.target(nova_host.name).files[0]
    salt = secrets.token_hex(16)
    request = {"path": file.path, "salt": salt}
    found = cloud.ask(nova_host.name, ParsedOptions, request)
    assert not found["error"], f"{nova_host.name}: {file.path}: {found['error']}"
    wanted = {
        name: parsed_options.digest(salt, values)
        for name, values in option_values(file.content).items()
    }
    differing = {n for n in wanted.keys() | found["options"].keys()
                 if wanted.get(n) != found["options"].get(n)}  # fmt: skip
    assert not differing, f"{nova_host.name}: {file.path}: {sorted(differing)} differ"


def test_a_compute_holds_no_database_credentials(cloud: Cloud, compute: HostSettings) -> None:
    if compute.is_controller:
        pytest.skip("an all-in-one host is a controller too, which needs them")
    sections = cloud.shell(compute.name).run(
        "grep -rlsE '^\\[(api_)?database\\]|mysql(\\+pymysql)?://' /etc/nova"
    )
    assert sections.stdout.split() == [], f"{compute.name}: database credentials in these files"


def test_no_unit_is_restarted_over_and_over(
    cloud: Cloud, nova_host: HostSettings, restarts: dict[str, dict[str, int]]
) -> None:
    time.sleep(max(0.0, WATCH_SECONDS - (time.monotonic() - STARTED)))
    now = count_restarts(cloud, nova_host.name)
    before = restarts[nova_host.name]
    grown = {
        unit: f"{before.get(unit, 0)} -> {n}" for unit, n in now.items() if n > before.get(unit, 0)
    }
    assert not grown, f"{nova_host.name}: systemd keeps restarting {grown}; see journalctl -u UNIT"
