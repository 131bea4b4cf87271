"""Post-deploy verification of the cloud that an inventory describes: ``pytest tests/verify``.

The inventory is the one that PYINFRA_NOVA_INVENTORY names, else inventory.py; hosts, keys and sudo
are those of the deploy, over pyinfra's own connections, one for each host.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import openstack
import pytest
from keystoneauth1.exceptions import ClientException, Unauthorized
from openstack.connection import Connection
from openstack.exceptions import SDKException
from pyinfra.api.exceptions import PyinfraError
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from testinfra.backend.base import CommandResult
from testinfra.host import Host

from pyinfra_nova.proof.deployed_site import DeployedSite, NoAnswerError
from pyinfra_nova.session.host_script import trusted
from pyinfra_nova.site.secret_files import secrets_file
from pyinfra_nova.site.settings import Role, Site

from .questions import Counts, restarts

INVENTORY = os.environ.get("PYINFRA_NOVA_INVENTORY", "inventory.py")
ORDER = (
    "test_hosts",
    "test_services",
    "test_care",
    "test_resources",
    "test_guests",
    "test_restarts",
)
"""What is quick, and explains what fails later, comes first."""
EARLY = ("restarts_at_first", "upgrade_check")
"""Fixtures that are begun before the first test: time has to pass until they are looked at."""
ABOUT_THE_CLOUD = (pytest.fail.Exception, NoAnswerError, SDKException, ClientException)

_CLOUDS: list[DeployedSite] = []


def the_cloud() -> DeployedSite:
    """Loaded once, when tests are collected; a fault in the settings ends the run with its text."""
    if not _CLOUDS:
        try:
            _CLOUDS.append(DeployedSite(INVENTORY, secrets_file()))
        except PyinfraError as error:
            pytest.exit(f"{INVENTORY}: {error}", returncode=1)
    return _CLOUDS[0]


def pytest_configure(config: pytest.Config) -> None:
    # The SDK warns of its own next major version, which the lock file keeps away.
    for name in ("RemovedInSDK50Warning", "RemovedInSDK60Warning"):
        config.addinivalue_line("filterwarnings", f"ignore::openstack.warnings.{name}")
    # The long style shows every function's arguments, passwords on their way included.
    if config.option.tbstyle in ("auto", "long"):
        config.option.tbstyle = "short"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test with an argument `nova_host`, `controller` or `compute` runs for each such host."""
    roles: dict[str, tuple[Role, ...]] = {
        "nova_host": ("controller", "compute"),
        "controller": ("controller",),
        "compute": ("compute",),
    }
    for argument, wanted in roles.items():
        if argument in metafunc.fixturenames:
            hosts = [h for h in the_cloud().hosts if h.roles & set(wanted)]
            metafunc.parametrize(argument, hosts, ids=[h.name for h in hosts])


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def place(item: pytest.Item) -> int:
        module = item.path.stem
        return ORDER.index(module) if module in ORDER else 0

    items.sort(key=place)


class MaskedText(str):
    """What a failed test shows, without secrets; `reprcrash` is pytest's one line of it."""

    reprcrash: Any = None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    call: pytest.CallInfo[None],
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    mask = the_cloud().mask
    if report.failed:
        # What they say is about the cloud; where in this code they were raised is not.
        error = call.excinfo.value if call.excinfo else None
        shown = error if isinstance(error, ABOUT_THE_CLOUD) else report.longrepr
        text = MaskedText(mask(str(shown)))
        text.reprcrash = getattr(report.longrepr, "reprcrash", None)
        if text.reprcrash:
            text.reprcrash.message = mask(text.reprcrash.message)
        report.longrepr = text
    report.sections = [(title, mask(content)) for title, content in report.sections]
    return report


def require(faults: list[str], remedy: str) -> None:
    """Fail with every one of FAULTS, and what to do about them, if there are any."""
    if faults:
        pytest.fail("\n".join([*faults, f"-> {remedy}"]), pytrace=False)


@pytest.fixture(scope="session")
def cloud() -> Iterator[DeployedSite]:
    with the_cloud().opened() as cloud, cloud.names_known():
        if under_way := cloud.restore_under_way():
            # All that the checks would find follows from it.
            pytest.exit(f"nothing was checked: {under_way}", returncode=1)
        yield cloud


@pytest.fixture(scope="session", autouse=True)
def begun(request: pytest.FixtureRequest) -> None:
    wanted = {name for item in request.session.items for name in getattr(item, "fixturenames", ())}
    for name in EARLY:
        if name in wanted:
            request.getfixturevalue(name)


@pytest.fixture(scope="session")
def restarts_at_first(cloud: DeployedSite) -> tuple[float, Counts]:
    """When the verification began, and how often units had been restarted by then."""
    return time.monotonic(), cloud.everywhere(restarts)


@pytest.fixture(scope="session")
def upgrade_check(cloud: DeployedSite, primary: Host) -> Callable[[], CommandResult]:
    """``nova-status upgrade check``, which takes seconds, beside the other checks."""

    # As root it would make files of root's in Nova's folders. With a database that does not answer
    # it would try for minutes.
    def asked() -> CommandResult:
        user = cloud.target(cloud.site.primary_controller).platform.user
        return primary.run(f"timeout 60 runuser -u {user} -- nova-status upgrade check 2>/dev/null")

    return cloud.begin(asked)


@pytest.fixture(scope="session")
def site(cloud: DeployedSite) -> Site:
    return cloud.site


@pytest.fixture(scope="session")
def primary(cloud: DeployedSite) -> Host:
    """A shell on the primary controller."""
    return cloud.shell(cloud.site.primary_controller.name)


@pytest.fixture(scope="session")
def authorities(tmp_path_factory: pytest.TempPathFactory) -> str | None:
    """A file with whom this machine trusts, and the site beside; None where the former will do."""
    if (pem := trusted()) is None:
        return None
    path = tmp_path_factory.mktemp("tls") / "ca.pem"
    path.write_text(Path(DEFAULT_CA_BUNDLE_PATH).read_text(encoding="utf-8") + pem)
    return str(path)


@pytest.fixture(scope="session")
def admin(cloud: DeployedSite, authorities: str | None) -> Iterator[Connection]:
    """The cloud as its administrator sees it, from this machine, over the public endpoints."""
    settings = cloud.site.settings
    keystone = settings.keystone
    connection = openstack.connect(
        auth_url=keystone.auth_url,
        username=keystone.admin.username,
        password=cloud.site.secrets.admin_password.get_secret_value(),
        project_name=keystone.admin.project_name,
        user_domain_name=keystone.admin.user_domain_name,
        project_domain_name=keystone.admin.project_domain_name,
        region_name=settings.region,
        interface="public",
        cacert=authorities,
        # 2.74 lets an administrator name the host of a guest.
        compute_default_microversion="2.74",
    )
    refused = ""
    try:
        connection.session.get_token()
    except Unauthorized:
        refused = f"{keystone.auth_url} refuses user {keystone.admin.username}"
    except ClientException as error:
        pytest.fail(f"{keystone.auth_url} does not answer here: {error}", pytrace=False)
    if refused and not settings.manage_identity:
        pytest.skip(f"{refused}: set admin_password in {secrets_file()} to have guests checked")
    require([refused] if refused else [], f"see admin_password in {secrets_file()}")
    yield connection
    connection.close()
