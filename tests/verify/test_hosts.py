"""Each host: packages, files, units, and what must not be there."""

from __future__ import annotations

import re
import secrets
from urllib.parse import quote

import parsed_options
import pytest

from pyinfra_nova.nova_conf.config_file import ConfigFile
from pyinfra_nova.nova_conf.ini import option_values
from pyinfra_nova.nova_conf.values import option
from pyinfra_nova.proof.deployed_site import DeployedSite
from pyinfra_nova.resources.config_files import ConfigFileDifferences, comparison
from pyinfra_nova.resources.packages import LEFT_GUARD, states
from pyinfra_nova.resources.units import UnitDifferences
from pyinfra_nova.run.host_plan import HostPlan
from pyinfra_nova.session.host_script import ScriptFact
from pyinfra_nova.site.settings import HostSettings

from .conftest import require
from .questions import UnitStates, proof, requests


class ParsedOptions(ScriptFact):
    """The options of a file as oslo.config reads them, each value as a salted digest."""

    script = "parsed_options"


class FilesWithText(ScriptFact):
    """The files below a folder that hold one of several patterns."""

    script = "text_search"


def package_states(cloud: DeployedSite, target: HostPlan) -> dict[str, str]:
    wanted = target.packages
    with cloud.on(target.host.name) as host:
        return states(host, target.platform.packager, wanted)


def test_packages_are_installed(cloud: DeployedSite, nova_host: HostSettings) -> None:
    found = cloud.answer(package_states, nova_host)
    wanted = cloud.target(nova_host).packages
    faults = [
        f"{nova_host.name}: package {name} is {found.get(name, 'not installed')}"
        for name in wanted
        if found.get(name) != "installed"
    ]
    if LEFT_GUARD in found:
        faults.append(f"{nova_host.name}: /usr/sbin/policy-rc.d: {LEFT_GUARD}")
    require(faults, "deploy again")


def unit_faults(cloud: DeployedSite, target: HostPlan) -> list[str]:
    name = target.host.name
    asked = requests(target)
    differing = cloud.ask(name, UnitDifferences, {"units": asked})["units"]
    names = [unit["name"] for unit in differing]
    wrong = [unit for unit in asked if unit["name"] in names]
    states = cloud.ask(name, UnitStates, {"units": wrong, "causes": True}) if wrong else {}
    return [
        f"{name}: {unit['name']}: {unit['reason']}; {states[unit['name']]['cause']}"
        for unit in differing
    ]


def test_units_are_enabled_and_run_with_what_their_files_say_now(
    cloud: DeployedSite, nova_host: HostSettings
) -> None:
    remedy = f"see `journalctl -u UNIT` on {nova_host.name}, or deploy again"
    require(cloud.answer(unit_faults, nova_host), remedy)


def test_what_a_deploy_asks_first_still_holds(cloud: DeployedSite, nova_host: HostSettings) -> None:
    wrong = [v for v in cloud.verdicts(nova_host) if not v.ok]
    faults = [f"{nova_host.name}: {v.what}: {v.detail}" for v in wrong]
    require(faults, "a deploy would end here, before it changes anything")


def test_the_processes_do_what_they_are_for(cloud: DeployedSite, nova_host: HostSettings) -> None:
    found = cloud.answer(proof, nova_host).faults
    require([f"{nova_host.name}: {text}" for text in found], "each with its remedy")


def file_faults(cloud: DeployedSite, target: HostPlan) -> list[str]:
    name = target.host.name
    found = cloud.ask(name, ConfigFileDifferences, comparison(target.files, target.absent))["files"]
    return [f"{name}: {file['path']}: {file['change']}\n{file['diff']}" for file in found]


def test_files_are_as_rendered(cloud: DeployedSite, nova_host: HostSettings) -> None:
    remedy = "deploy again; what you want to keep belongs in nova_conf, see group_data/all.py"
    require(cloud.answer(file_faults, nova_host), remedy)


def nova_conf_access(cloud: DeployedSite, target: HostPlan) -> tuple[str, str, str]:
    file = cloud.shell(target.host.name).file(target.platform.paths.nova_conf)
    return (file.user, file.group, f"{file.mode:04o}") if file.exists else ("", "", "")


def test_only_root_and_nova_read_nova_conf(cloud: DeployedSite, nova_host: HostSettings) -> None:
    found = cloud.answer(nova_conf_access, nova_host)
    platform = cloud.target(nova_host).platform
    path, wanted = platform.paths.nova_conf, ("root", platform.group, "0640")
    fault = f"{nova_host.name}: {path} is {found}, not {wanted}"
    require([fault] if found != wanted else [], "deploy again")


def oslo_files(target: HostPlan) -> list[ConfigFile]:
    return [file for file in target.files if file.oslo]


def option_faults(cloud: DeployedSite, target: HostPlan) -> list[str]:
    salt, faults = secrets.token_hex(16), []
    for file in oslo_files(target):
        where = f"{target.host.name}: {file.path}"
        found = cloud.ask(target.host.name, ParsedOptions, {"path": file.path, "salt": salt})
        if found["error"]:
            faults.append(f"{where}: {found['error']}")
            continue
        wanted = {
            name: parsed_options.digest(salt, values)
            for name, values in option_values(file.content).items()
        }
        names = sorted(wanted.keys() | found["options"].keys())
        differing = [name for name in names if wanted.get(name) != found["options"].get(name)]
        faults += [f"{where}: {name} is not what the settings say" for name in differing]
    return faults


def test_configuration_parses_to_the_expected_options(
    cloud: DeployedSite, nova_host: HostSettings
) -> None:
    require(cloud.answer(option_faults, nova_host), "deploy again")


def database_traces(cloud: DeployedSite, target: HostPlan) -> list[str]:
    """Files of a host that is compute only with a database URL, section or password in them."""
    if target.host.is_controller:
        return []
    passwords = cloud.site.secrets
    mine = passwords.database_password.get_secret_value()
    patterns = [r"^\[(api_)?database\]", r"\b(mysql|mariadb)(\+\w+)?://"]
    # A site may use one password in two places; then it says nothing about the database.
    if passwords.values().count(mine) == 1:
        patterns += [re.escape(form) for form in {mine, quote(mine, safe=""), option(mine)}]
    request = {"folder": "/etc/nova", "patterns": patterns}
    files: list[str] = cloud.ask(target.host.name, FilesWithText, request)["files"]
    return files


def test_a_compute_holds_no_database_credentials(
    cloud: DeployedSite, compute: HostSettings
) -> None:
    if compute.is_controller:
        pytest.skip("an all-in-one host is a controller too, which needs them")
    files = cloud.answer(database_traces, compute)
    faults = [f"{compute.name}: {path} holds database credentials" for path in files]
    require(faults, "remove them; a compute reaches the database through nova-conductor only")
