"""Migrations that do not end: of a dead source, and such as nobody can confirm any more."""

from __future__ import annotations

from typing import Any

import migrations
import pytest

from .audited_guests import HOSTS, WEB, Cloud, ago, migration, named, only

HOURS = 3 * 3600


@pytest.fixture
def cloud() -> Cloud:
    return Cloud()


# --- of a dead source -----------------------------------------------------------------------------


def remedy(cloud: Cloud) -> str:
    return only(cloud, migrations.stuck_migrations)[2]


def forced_down(cloud: Cloud) -> None:
    service = {"host": "compute1", "binary": "nova-compute", "forced_down": 1}
    cloud.tables["services"] = [service]


def ended(status: str) -> str:
    done = "UPDATE migrations SET status = 'error' WHERE id = 1 AND status ="
    return f"in the cell's database: `{done} '{status}'`"


BEGINNING = "compute1 is dead, and who would abort it is nova-compute there; "
EVACUATED = (
    f"; then `openstack server set --state active {WEB}`"
    '; with "dead": True for compute1 in the inventory a deploy evacuates it, unless it runs '
    "elsewhere"
)


def test_a_live_migration_from_a_compute_that_is_forced_down_is_not_to_be_aborted(
    cloud: Cloud,
) -> None:
    """`openstack server migration abort` would wait there until nova-compute reads it."""
    cloud.web.update(task_state="migrating", written=ago(HOURS))
    cloud.moves(status="running", written=ago(HOURS))
    assert "server migration abort" in remedy(cloud)
    forced_down(cloud)
    back = "bring compute1 back, which ends it; where it never comes, "
    assert remedy(cloud) == BEGINNING + back + ended("running") + EVACUATED


@pytest.mark.parametrize("status", ["queued", "preparing"])
def test_one_that_did_not_run_is_not_ended_by_its_return(cloud: Cloud, status: str) -> None:
    """nova-compute resets, when it starts, the guest, and a migration that is `running`."""
    cloud.web.update(task_state="migrating", written=ago(HOURS))
    cloud.moves(status=status, written=ago(HOURS))
    forced_down(cloud)
    assert remedy(cloud) == BEGINNING + ended(status) + EVACUATED


def test_a_compute_that_the_inventory_calls_dead_is_so_without_a_word_of_nova(
    cloud: Cloud,
) -> None:
    cloud.moves(status="queued", written=ago(HOURS))
    seen = cloud.evidence()
    seen.expected["dead"] = ["compute1"]
    (found,) = migrations.stuck_migrations(seen)
    assert found["remedy"].startswith(BEGINNING + ended("queued") + "; with ")


@pytest.mark.parametrize(
    ("state", "says"), [("paused", "--state error"), ("active", "--state active")]
)
def test_its_guest_is_reset_to_what_can_be_evacuated(cloud: Cloud, state: str, says: str) -> None:
    cloud.web.update(task_state="migrating", vm_state=state, written=ago(HOURS))
    cloud.moves(status="running", written=ago(HOURS))
    forced_down(cloud)
    assert f"`openstack server {says.replace('--', 'set --')} {WEB}`" in remedy(cloud)


def test_a_guest_that_is_elsewhere_or_gone_is_not_evacuated(cloud: Cloud) -> None:
    cloud.moves(status="post-migrating", written=ago(HOURS))
    forced_down(cloud)
    cloud.web.update(host="compute2")
    assert remedy(cloud) == BEGINNING + ended("post-migrating")
    cloud.tables["instances"].clear()
    assert remedy(cloud) == BEGINNING + ended("post-migrating")


def test_a_dead_target_leaves_the_abort_to_the_source(cloud: Cloud) -> None:
    cloud.moves(status="running", written=ago(HOURS))
    service = {"host": "compute2", "binary": "nova-compute", "forced_down": 1}
    cloud.tables["services"] = [service, {**service, "host": "compute1", "forced_down": 0}]
    assert "server migration abort" in remedy(cloud)


def test_a_resize_has_no_abort_anyway(cloud: Cloud) -> None:
    cloud.moves(status="migrating", migration_type="resize", written=ago(HOURS))
    forced_down(cloud)
    assert remedy(cloud).startswith("see the log of nova-compute on compute2")


# --- what nobody can confirm ----------------------------------------------------------------------


def waits(cloud: Cloud, **more: Any) -> None:
    """A resize of `web` to compute2 that is `finished`, as one in VERIFY_RESIZE is."""
    cloud.moves(status="finished", migration_type="resize", written=ago(HOURS), **more)
    cloud.web.update(host="compute2", node="compute2", vm_state="resized")


def found(cloud: Cloud) -> list[dict[str, Any]]:
    return cloud.found(migrations.unconfirmable_moves)


@pytest.mark.parametrize("state", ["active", "stopped", "paused", "soft-delete"])
def test_a_finished_move_of_a_guest_that_is_not_resized_any_more(cloud: Cloud, state: str) -> None:
    """As after `openstack server set --state active`: Nova then refuses to confirm it for ever."""
    waits(cloud)
    cloud.web["vm_state"] = state
    (each,) = found(cloud)
    assert (each["kind"], each["where"]) == ("move-unconfirmable", "compute1")
    assert each["what"] == (
        f"the resize 1 of guest web ({WEB}) from compute1 to compute2 waits to be confirmed, and "
        f"nobody can: the guest is {state}"
    )
    assert each["remedy"] == (
        ended("finished") + ", as Nova does with resize_confirm_window; then audit again for what "
        "the move has left on compute1"
    )
    assert each["key"] == f"move-unconfirmable/compute1/{named('migration 1')}"
    repair = {"action": "end-migration", "migration": 1, "guest": WEB, "followed": False}
    assert each["repair"] == repair


def test_one_in_error_is_for_a_person_who_may_need_it(cloud: Cloud) -> None:
    waits(cloud)
    cloud.web["vm_state"] = "error"
    (each,) = found(cloud)
    assert each["remedy"].startswith(
        "bring the guest out of its ERROR, then in the cell's database"
    )
    assert each["repair"] is None


def test_one_that_waits_for_a_person_is_left_alone_however_long(cloud: Cloud) -> None:
    waits(cloud)
    assert found(cloud) == []


@pytest.mark.parametrize("task", ["resize_finish", "deleting", "resize_reverting", "rebooting"])
def test_a_guest_that_is_at_something_may_be_about_to_change(cloud: Cloud, task: str) -> None:
    """Nova writes `finished` before it writes RESIZED."""
    waits(cloud)
    cloud.web.update(vm_state="active", task_state=task)
    assert found(cloud) == []


def test_what_has_changed_just_now_is_left_alone(cloud: Cloud) -> None:
    waits(cloud)
    cloud.web.update(vm_state="active", written=ago(100))
    assert found(cloud) == []
    cloud.web["written"] = ago(130)
    assert len(found(cloud)) == 1
    cloud.tables["migrations"][0]["written"] = ago(100)
    assert found(cloud) == []


def test_a_guest_that_is_gone_has_taken_its_moves_along(cloud: Cloud) -> None:
    waits(cloud)
    cloud.tables["instances"].clear()
    assert found(cloud) == []


@pytest.mark.parametrize("status", ["confirming", "reverting", "confirmed", "running"])
def test_only_what_is_finished_waits_for_a_confirmation(cloud: Cloud, status: str) -> None:
    waits(cloud)
    cloud.web["vm_state"] = "active"
    cloud.tables["migrations"][0]["status"] = status
    assert found(cloud) == []


def test_of_two_that_wait_only_the_newer_can_be_confirmed(cloud: Cloud) -> None:
    """The API would take the older one for it, and undo or clean up on the wrong host."""
    waits(cloud)
    waits(cloud)
    (each,) = found(cloud)
    assert each["what"].endswith("the guest is resized, and its resize 2 came after it")
    repair = {"action": "end-migration", "migration": 1, "guest": WEB, "followed": True}
    assert each["repair"] == repair


def test_so_is_it_by_a_later_move_of_another_sort(cloud: Cloud) -> None:
    waits(cloud)
    later = migration(2, "web", *reversed(HOSTS), status="completed")
    cloud.tables["migrations"].append(later)
    cloud.web["vm_state"] = "active"
    (each,) = found(cloud)
    assert each["what"].endswith("the guest is active, and its live-migration 2 came after it")
    assert each["repair"]["followed"] is True


def test_of_a_move_to_another_cell_this_one_does_not_know_all(cloud: Cloud) -> None:
    waits(cloud)
    cloud.web["vm_state"] = "active"
    cloud.tables["cell_mappings"].append({"id": 3, "uuid": named("cell2"), "name": "cell2"})
    (each,) = found(cloud)
    assert each["repair"] is None and "`UPDATE migrations" in each["remedy"]
