"""What is said of an upgrade before anything is done: from reports of hosts to lines."""

from __future__ import annotations

from typing import Any

import pytest

from pyinfra_nova.resources.host_report import NoReport, Report
from pyinfra_nova.site.run_scope import scope_of
from pyinfra_nova.upgrade.plan import lines
from pyinfra_nova.upgrade.wanted import Upgrade, wanted

from .site_data import site
from .test_preflight import report
from .test_upgrade_refusals import facts

SYSTEMS = {"jammy": ("ubuntu", "22.04"), "noble": ("ubuntu", "24.04"), "bookworm": ("debian", "12")}


def reports(system: str, version: str, **others: str) -> dict[str, Report | NoReport]:
    """Of the site's hosts, which have Nova VERSION, but for OTHERS."""
    os_id, os_version = SYSTEMS[system]
    addresses = {"controller": "10.0.0.11", "compute1": "10.0.0.31", "compute2": "10.0.0.32"}
    return {
        name: report(
            *(name, address),
            os={"id": os_id, "version": os_version},
            nova={"nova-common": others.get(name, version)} if others.get(name, version) else {},
        )
        for name, address in addresses.items()
    }


def upgrade(of: dict[str, Report | NoReport], release: str, **settings: Any) -> Upgrade | None:
    whole = site({"release": release, **settings})
    return wanted(scope_of(whole, whole.hosts), of)


def said(of: dict[str, Report | NoReport], release: str, **settings: Any) -> str:
    found = upgrade(of, release, **settings)
    assert found is not None
    return "\n".join(lines(found, facts(rows={"matched": 1200, "left": 3, "few": ["abc"]})))


# --- whether one is wanted ------------------------------------------------------------------------


def test_a_site_at_its_release_wants_none() -> None:
    assert upgrade(reports("jammy", "26.2.1"), "zed") is None


def test_a_new_site_wants_none() -> None:
    assert upgrade(reports("jammy", ""), "zed") is None


def test_a_nova_of_which_nothing_is_known_makes_it_none() -> None:
    assert upgrade(reports("jammy", "26.2.1", compute1="24.1.0"), "2023.1") is None


def test_a_host_that_does_not_answer_has_no_part_in_it() -> None:
    found = upgrade({**reports("jammy", "26.2.1"), "compute1": NoReport("is away")}, "2023.1")
    assert found is not None
    assert [host.name for host in found.course.hosts] == ["controller", "compute2"]


def test_a_controller_that_is_only_asked_is_left_out() -> None:
    whole = site({"release": "2023.1"})
    found = wanted(scope_of(whole, {"compute1"}), reports("jammy", "26.2.1"))
    assert found is not None
    assert [host.name for host in found.course.hosts if not host.is_left_out] == ["compute1"]
    assert [host.name for host in found.course.to_do] == ["compute1"]


def test_a_new_compute_beside_old_ones_has_no_part_in_it() -> None:
    found = upgrade(reports("jammy", "26.2.1", compute2=""), "2023.1")
    assert found is not None
    assert [host.name for host in found.course.hosts] == ["controller", "compute1"]


# --- what is said ---------------------------------------------------------------------------------


def test_releases_between_are_named() -> None:
    text = said(reports("jammy", "27.5.0"), "2024.1")
    assert "upgrade from 2023.1 (Nova 27) to 2024.1 (Nova 29): rolling;" in text
    assert "both are SLURP releases, so 2023.2 may be left out" in text
    assert "  left out: 2023.2\n" in text


def test_packages_that_come_with_a_release_are_named() -> None:
    text = said(reports("noble", "31.0.0"), "2025.2")
    assert "controller: nova-common 31.0.0; to 2025.2 (Nova 32) from noble-updates/flamingo" in text
    assert "; new: nova-api-metadata\n" in text
    assert "compute1, compute2: nova-common 31.0.0; to 2025.2" in text
    assert "controller: restart of nova-conductor, nova-scheduler, apache2, nova-novncproxy" in text


def test_the_sites_own_options_are_followed_to_their_new_names() -> None:
    overrides = {"pci": {"device_spec": "{}"}, "DEFAULT": {"reserved_host_disk_mb": 1}}
    text = said(reports("jammy", "25.2.0"), "zed", nova_conf=overrides)
    (line,) = (
        text.partition("options of nova_conf:\n")[2].partition("  other defaults:")[0].splitlines()
    )
    assert line == (
        "    [pci] device_spec: was [pci] passthrough_whitelist, and is written under its new name"
    )


def test_a_default_that_the_site_has_set_is_not_said_to_change() -> None:
    said_of = "[oslo_policy] enforce_scope: is true by default"
    assert said_of in said(reports("jammy", "26.2.1"), "2023.1")
    own = {"oslo_policy": {"enforce_scope": False}}
    assert said_of not in said(reports("jammy", "26.2.1"), "2023.1", nova_conf=own)


def test_rows_of_guests_are_counted_from_the_release_that_numbers_them_on() -> None:
    assert "online:" not in said(reports("jammy", "26.2.1"), "2023.1")
    text = said(reports("jammy", "27.5.0"), "2024.1")
    assert "online: 1,200 rows of guests are to name their compute node" in text
    assert "online: 3 of them never will, for their host and node are none" in text
    assert "(of guests that there are: abc)" in text


def order(text: str) -> list[str]:
    return [line.strip() for line in text.partition("  in this order:\n")[2].splitlines()]


def test_the_order_is_said_from_the_backup_to_the_proof() -> None:
    assert order(said(reports("jammy", "26.2.1"), "2023.1")) == [
        "a backup of the databases",
        "controller: packages, schemas, `nova-status upgrade check`",
        "controller: restart of nova-conductor, nova-scheduler, nova-api, nova-novncproxy, which "
        "ask computes by RPC 6.1 at most",
        "compute1, compute2, all or some of them (--limit): packages, restart of nova-compute, of "
        "no guest",
        "once no old compute is left: `nova-manage db online_data_migrations`",
        "everything restarted once more, which then sees that none is left, and proven",
    ]


def test_only_what_is_left_to_do_is_said_of_half_an_upgraded_site() -> None:
    text = said(reports("jammy", "26.2.1", controller="27.5.0"), "2023.1")
    packages = text.partition("packages:\n")[2].partition("\n")[0]
    assert packages.strip().startswith("compute1, compute2: nova-common 26.2.1")
    first, *_ = order(text)
    assert first.startswith("compute1, compute2, all or some of them (--limit): packages, restart")


def test_what_nobody_has_answered_is_said() -> None:
    found = upgrade(reports("jammy", "26.2.1"), "2023.1")
    assert found is not None
    told = list(lines(found, facts(silent={"broker": "403", "strangers": "none"})))
    assert told[-2:] == ["  not looked at:", "    broker: 403"]


def test_debians_step_is_said_without_what_no_deploy_does() -> None:
    text = said(reports("bookworm", "26.2.2"), "2025.1")
    assert "upgrade from zed (Nova 26) to 2025.1 (Nova 31): not rolling" in text
    assert "left out: 2023.1, 2023.2, 2024.1, 2024.2" in text
    assert "heal_instance_info_cache_interval: is -1 by default, and was 60" in text
    assert "in this order:" not in text


@pytest.mark.parametrize(
    ("version", "release"), [("26.2.1", "2024.1"), ("27.5.0", "zed")], ids=["too far", "back"]
)
def test_of_a_step_that_nobody_takes_only_the_reason_is_said(version: str, release: str) -> None:
    text = said(reports("jammy", version), release)
    assert "migrations:" not in text
    assert "not " in text.splitlines()[0]
