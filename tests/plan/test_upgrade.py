"""What a deploy says where another release is wanted than the installed one; nothing is changed.

The hosts are fakes (tests/plan/upgrading.py) of Ubuntu 22.04, which has every release up to 2024.1.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from pyinfra_nova.session.typed_pyinfra import clean_environment

from . import warm
from .test_plan import ROOT, secrets_file  # noqa: F401

RECIPIENT = "age1w6s8lwq7strkfyxv46slu5sn4694ayrglwp2mvk56ctlcljjrc2s82t5nq"
BACKUP = {"backup": {"recipient": RECIPIENT}}
NONE: dict[str, Any] = {"count": 0, "few": []}


def deploy(
    secrets: Path,
    release: str,
    *arguments: str,
    facts: dict[str, Any] | None = None,
    ahead: str = "",
    care: dict[str, Any] = BACKUP,
    **more: Any,
) -> str:
    """What is said; the deploy has to end with an error, and without a traceback or a change."""
    environment = clean_environment(os.environ)
    environment |= {
        "PYINFRA_NOVA_SECRETS": str(secrets),
        "PYTHONPATH": str(ROOT),
        "FAKE_FACTS": json.dumps(facts or {}),
        "FAKE_AHEAD": ahead,
    }
    data = {"release": release, "care": care, **more}
    told = [
        word for key, value in data.items() for word in ("--data", f"{key}={json.dumps(value)}")
    ]
    process = warm.pyinfra(
        "tests/plan/upgrading.py", "deploy.py", *told, *arguments, env=environment
    )
    assert process.returncode == 1, process.stderr
    assert "Traceback" not in process.stderr
    assert "Starting operation" not in process.stderr
    return process.stderr


def refusals(text: str) -> list[str]:
    """The lines of the error with which it ends, once each."""
    (_, _, end) = text.partition("the preflight failed; nothing was changed:")
    return list(dict.fromkeys(re.findall(r"^.*  - (.+)$", end, re.MULTILINE)))


@pytest.fixture(scope="module")
def planned(secrets_file: Path) -> str:  # noqa: F811
    overrides = {"cache": {"memcache_dead_retry": 30}, "api": {"max_limit": 500}}
    return deploy(secrets_file, "2023.1", "-y", nova_conf=overrides)


def test_a_rolling_upgrade_is_said_with_its_reason(planned: str) -> None:
    assert "upgrade from zed (Nova 26) to 2023.1 (Nova 27): rolling" in planned
    assert "a nova-compute of zed has service version 64, and 2023.1 takes 61 and up" in planned


def test_packages_are_said_by_hosts_that_are_alike(planned: str) -> None:
    said = "controller, @fake/compute1, @fake/compute2: nova-common 26.2.1; to 2023.1 (Nova 27)"
    assert f"{said} from jammy-updates/antelope" in planned


def test_defaults_that_change_are_said(planned: str) -> None:
    assert "[oslo_policy] enforce_scope: is true by default, and was false" in planned


def test_migrations_and_restarts_are_said(planned: str) -> None:
    assert "the schemas of nova_api, nova_cell0, nova, to those of 2023.1 (Nova 27)" in planned
    assert "nova-conductor, nova-scheduler, nova-api, nova-novncproxy" in planned
    assert (
        "@fake/compute1, @fake/compute2, all or some of them (--limit): packages, restart"
        in planned
    )


def test_the_deploy_says_that_it_does_not_do_it_and_nothing_else_is_wrong(planned: str) -> None:
    (only,) = refusals(planned)
    assert (
        "nova-common 26.2.1 (zed) is installed, but release in group_data/all.py is 2023.1" in only
    )
    assert "what an upgrade takes is said, and none is done yet: set release to what is" in only


def test_what_the_cloud_says_against_it_is_all_said_at_once(secrets_file: Path) -> None:  # noqa: F811
    facts = {
        "guests": {
            "ERROR": {"count": 7, "few": ["web (1)", "web (2)"]},
            "MIGRATING": NONE,
            "VERIFY_RESIZE": {"count": 1, "few": ["db (3)"]},
        },
        "findings": [
            {
                "kind": "compute-unmapped",
                "where": "c",
                "what": "c is not mapped",
                "remedy": "map it",
            }
        ],
        "computes": {"compute1": 64, "compute9": 57},
        "room": {"/usr": {"disk": 1, "free": 1_000_000_000}},
        "backup": None,
    }
    found = refusals(deploy(secrets_file, "2023.1", "-y", facts=facts))
    for said in (
        "guests in ERROR: web (1), web (2) and 5 more: `openstack server reboot --hard`",
        "guests in VERIFY_RESIZE: db (3): `openstack server resize confirm`",
        "compute-unmapped: c is not mapped; remedy: map it",
        "nova-compute: controllers of 2023.1 do not start beside nova-compute of compute9",
        "room: 1.0 GB free for /usr, and an upgrade takes up to 1.5 GB",
        "backup: there is none yet: `systemctl start nova-care-backup` on @fake/controller",
    ):
        assert [line for line in found if said in line], said


def test_without_a_daily_backup_there_is_no_upgrade(secrets_file: Path) -> None:  # noqa: F811
    found = refusals(deploy(secrets_file, "2023.1", "--dry", care={}))
    assert [line for line in found if "no backup is made each day: set care.backup" in line]


def test_an_answer_that_is_none_is_no_leave_to_go_on(secrets_file: Path) -> None:  # noqa: F811
    found = refusals(deploy(secrets_file, "2023.1", "-y", facts={"guests": "none"}))
    assert [line for line in found if "what the cloud says of itself cannot be read" in line]


def test_a_step_too_far_is_refused_with_those_that_lead_there(secrets_file: Path) -> None:  # noqa: F811
    text = deploy(secrets_file, "2024.1", "-y")
    assert "upgrade from zed (Nova 26) to 2024.1 (Nova 29): not rolling" in text
    assert "left out: 2023.1, 2023.2" in text
    assert [x for x in refusals(text) if x.endswith("Set release to 2023.1 first, then to 2024.1")]


def test_there_is_no_way_back(secrets_file: Path) -> None:  # noqa: F811
    text = deploy(secrets_file, "yoga", "-y")
    assert [line for line in refusals(text) if "there is no way back to yoga" in line]
    assert "migrations:" not in text


def test_half_an_upgraded_site_is_called_so(secrets_file: Path) -> None:  # noqa: F811
    text = deploy(secrets_file, "2023.1", "-y", ahead="controller compute1")
    assert "the site is half upgraded (zed: @fake/compute2; 2023.1: @fake/controller, " in text
    (only,) = refusals(text)
    assert only.startswith("@fake/compute2: Nova: ")


def test_computes_alone_do_not_go_first(secrets_file: Path) -> None:  # noqa: F811
    found = refusals(deploy(secrets_file, "2023.1", "-y", "--limit", "@fake/compute1"))
    assert [line for line in found if line.startswith("@fake/controller: upgrade: it has zed")]


def test_a_site_at_its_release_is_asked_nothing_of_all_this(secrets_file: Path) -> None:  # noqa: F811
    environment = clean_environment(os.environ)
    environment |= {"PYINFRA_NOVA_SECRETS": str(secrets_file), "PYTHONPATH": str(ROOT)}
    told = ("--data", 'release="zed"', "--dry", "-vvv")
    process = warm.pyinfra("tests/plan/upgrading.py", "deploy.py", *told, env=environment)
    assert "host_report read" in process.stderr
    assert "upgrade_facts" not in process.stderr
    assert "upgrade from" not in process.stderr
    assert "disk_room" not in process.stderr
