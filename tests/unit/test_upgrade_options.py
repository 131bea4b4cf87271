"""What becomes of a site's own options between two releases, by the tables of both."""

from __future__ import annotations

import itertools

import pytest

from pyinfra_nova.knowledge import releases
from pyinfra_nova.knowledge.releases import VERSIONS, load, translated
from pyinfra_nova.site.overrides import override_faults
from pyinfra_nova.upgrade.options import Change, changes, new_defaults

ORDER = tuple(VERSIONS)
PAIRS = list(itertools.combinations(ORDER, 2))


def only(section: str, name: str, before: str, after: str) -> Change | None:
    found = list(changes({section: {name: "1"}}, before, after))
    assert len(found) < 2
    return found[0] if found else None


@pytest.mark.parametrize(("before", "after"), PAIRS)
def test_every_option_of_a_release_is_still_read_or_is_said_to_be_gone(
    before: str, after: str
) -> None:
    old, new = load(before), load(after)
    sections = [section for section in old.sections() if not section.endswith("*")]
    overrides = {section: dict.fromkeys(old.names(section), "1") for section in sections}
    gone = {
        (one.section, one.name)
        for one in changes(overrides, before, after)
        if one.kind == "removed"
    }
    expected = {
        (section, name)
        for section, names in overrides.items()
        for name in names
        if not new.option(section, name) and not new.renamed(section, name)
    }
    assert gone == {(releases.normal(section), name) for section, name in expected}


@pytest.mark.parametrize("release", ORDER)
def test_a_translation_is_an_option_that_the_release_reads(release: str) -> None:
    for earlier in ORDER[: ORDER.index(release)]:
        for section in load(earlier).sections():
            for name in () if section.endswith("*") else load(earlier).names(section):
                now = translated(section, name, release)
                assert now is None or load(release).option(*now)


def test_nothing_is_said_of_an_option_that_stays() -> None:
    assert only("DEFAULT", "reserved_host_memory_mb", "zed", "2025.1") is None
    assert only("some_driver", "of_its_own", "zed", "2025.1") is None


def test_a_removed_option_is_said_with_the_reason() -> None:
    found = only("api", "use_forwarded_for", "zed", "2024.1")
    assert found is not None
    assert found.kind == "removed"
    assert found.line.startswith(
        "[api] use_forwarded_for: gone since Nova 29: The deprecated [api]"
    )
    assert found.line.endswith("; leave it out")


def test_a_removed_name_of_an_option_that_goes_on_is_translated() -> None:
    found = only("DEFAULT", "osapi_max_limit", "2025.1", "2025.2")
    assert found is not None
    assert found.kind == "removed"
    assert found.now == ("api", "max_limit")
    assert found.line.endswith("; write it as [api] max_limit")


def test_a_name_that_was_changed_twice_is_followed() -> None:
    assert translated("DEFAULT", "neutron_default_tenant_id", "2025.2") == (
        "api",
        "neutron_default_project_id",
    )


def test_what_only_looks_alike_is_not_translated() -> None:
    assert translated("DEFAULT", "use_ipv6", "2026.2") is None


@pytest.mark.parametrize("name", ["passthrough_whitelist", "device_spec"])
def test_a_renamed_option_is_said_under_whichever_name_the_site_has_it(name: str) -> None:
    found = only("pci", name, "yoga", "zed")
    assert found is not None
    assert (found.kind, found.now) == ("renamed", ("pci", "device_spec"))
    assert "passthrough_whitelist" in found.line


def test_an_option_that_begins_to_go_is_said_once() -> None:
    found = only("DEFAULT", "backdoor_port", "2024.2", "2025.1")
    assert found is not None
    assert found.kind == "deprecated"
    assert only("DEFAULT", "backdoor_port", "2025.1", "2025.2") is None


def test_an_option_that_the_old_release_did_not_read_is_said_to_begin() -> None:
    found = only("api", "response_validation", "2024.1", "2024.2")
    assert found is not None
    assert found.text == "2024.1 does not read it, 2024.2 does"


def test_the_settings_name_the_option_to_write_instead() -> None:
    (fault,) = override_faults(
        "group_data/all.py",
        "nova_conf",
        {"DEFAULT": {"osapi_max_limit": 500}},
        "2025.2",
        on_compute=False,
    )
    assert fault.remedy == "write it as api.max_limit"


# --- defaults -------------------------------------------------------------------------------------


def test_defaults_that_change_are_named_unless_the_site_has_its_own() -> None:
    found = {(one.section, one.name): one.text for one in new_defaults("zed", "2023.1", set())}
    assert found == {
        ("DEFAULT", "initial_cpu_allocation_ratio"): "is 4.0 by default, and was 16.0",
        ("DEFAULT", "initial_ram_allocation_ratio"): "is 1.0 by default, and was 1.5",
        ("oslo_policy", "enforce_new_defaults"): "is true by default, and was false",
        ("oslo_policy", "enforce_scope"): "is true by default, and was false",
    }
    written = set(found) - {("oslo_policy", "enforce_scope")}
    assert [one.name for one in new_defaults("zed", "2023.1", written)] == ["enforce_scope"]


@pytest.mark.parametrize(("before", "after"), PAIRS)
def test_the_defaults_that_change_are_few_enough_to_be_read(before: str, after: str) -> None:
    assert len(list(new_defaults(before, after, set()))) <= 15
