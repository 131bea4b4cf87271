"""files/backup/restored_host.py: units, drop-in, marker; against a `systemctl` that stands in."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import restored_host

from pyinfra_nova.knowledge import releases

SYSTEMCTL = """\
import json, pathlib, sys
folder = pathlib.Path({folder!r})
with (folder / "calls").open("a") as stream:
    stream.write(" ".join(sys.argv[1:]) + "\\n")
units = json.loads((folder / "units").read_text())
if (folder / "silence").exists() and sys.argv[1] == (folder / "silence").read_text():
    sys.exit("Failed to get properties: Connection timed out")
verb, *words = [word for word in sys.argv[1:] if word != "--"]
names = [word for word in words if not word.startswith("--")]
if verb == "show":
    blocks = []
    for name in names[: 1 if (folder / "half").exists() else None]:
        state = units.get(name)
        load = "loaded" if state else "not-found"
        active, enabled = state or ("inactive", "")
        blocks.append(f"Id={{name}}\\nLoadState={{load}}\\nActiveState={{active}}\\n"
                      f"UnitFileState={{enabled}}\\n")
    print("\\n".join(blocks))
elif verb in ("start", "stop", "restart"):
    for name in names:
        if name in units and not (verb == "stop" and name.startswith("stubborn")):
            units[name][0] = "inactive" if verb == "stop" else "active"
    (folder / "units").write_text(json.dumps(units))
elif verb == "list-units":
    for name, (active, _) in units.items():
        if name.startswith("nova-care-") and active == "active":
            print(name, "loaded active waiting")
elif verb == "list-unit-files":
    mine = [name for name in units if name.startswith("nova-care-")]
    for name in mine:
        if units[name][1] == "enabled":
            print(name, "enabled")
    sys.exit(not mine)  # as systemd does where there is none
"""


class Host:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def has(self, **units: tuple[str, str]) -> None:
        import json

        named = {name.replace("_", "-") + ".service": list(u) for name, u in units.items()}
        named["nova-care-archive.timer"] = ["active", "enabled"]
        (self.folder / "units").write_text(json.dumps(named))

    @property
    def units(self) -> dict[str, list[str]]:
        import json

        return dict(json.loads((self.folder / "units").read_text()))

    @property
    def calls(self) -> str:
        return (self.folder / "calls").read_text()


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    program = tmp_path / "systemctl"
    program.write_text(f"#!{sys.executable}\n" + SYSTEMCTL.format(folder=str(tmp_path)))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    for name in ("MARKER", "DROP_IN", "COMPUTE_ID"):
        (tmp_path / name).mkdir()
        monkeypatch.setattr(restored_host, name, str(tmp_path / name / "file"))
    monkeypatch.setattr(restored_host, "PATIENCE", 1)
    found = Host(tmp_path)
    found.has(nova_compute=("active", "enabled"), nova_api=("active", "disabled"))
    return found


def tell(verb: str, **request: Any) -> dict[str, Any]:
    return dict(restored_host.answer({"verb": verb, **request}))


def test_looking_changes_nothing(host: Host) -> None:
    found = tell("look", units=["nova-compute.service", "neutron-server.service"])
    assert (found["marker"], found["log"], found["compute_id"]) == (None, False, None)
    assert found["units"] == {"nova-compute.service": {"state": "active", "enabled": True}}
    assert not any(word in host.calls for word in ("start", "stop ", "reload"))


def test_a_compute_is_told_to_keep_guests_and_systemd_to_read_it(host: Host) -> None:
    assert tell("hold", marker="m", log=True)["log"] is True
    text = Path(restored_host.DROP_IN).read_text()
    assert text.startswith("# Written by pyinfra-nova")
    assert "Environment=OS_DEFAULT__RUNNING_DELETED_INSTANCE_ACTION=log" in text
    assert host.calls.count("daemon-reload") == 1
    tell("hold", marker="m", log=True)
    assert host.calls.count("daemon-reload") == 1


def test_oslo_config_reads_that_before_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from oslo_config import cfg

    path = tmp_path / "nova.conf"
    path.write_text(
        "[DEFAULT]\nrunning_deleted_instance_action = reap\nsync_power_state_interval = 600\n"
        "[image_cache]\nremove_unused_base_images = true\n"
    )
    for line in restored_host.TEXT.splitlines():
        name, _, value = line.removeprefix("Environment=").partition("=")
        if line.startswith("Environment="):
            monkeypatch.setenv(name, value)
    conf = cfg.ConfigOpts()
    conf.register_opt(cfg.StrOpt("running_deleted_instance_action", default="reap"))
    conf.register_opt(cfg.IntOpt("sync_power_state_interval", default=600))
    conf.register_opt(cfg.BoolOpt("remove_unused_base_images", default=True), group="image_cache")
    conf(["--config-file", str(path)])
    assert conf.running_deleted_instance_action == "log"
    assert conf.sync_power_state_interval == -1
    assert conf.image_cache.remove_unused_base_images is False


@pytest.mark.parametrize("release", sorted(releases.VERSIONS))
def test_every_release_has_what_it_is_told(release: str) -> None:
    told = re.findall(r"Environment=OS_([A-Z_]+?)__([A-Z_]+)=", restored_host.TEXT)
    assert len(told) == 3
    for section, option in told:
        group = section if section == "DEFAULT" else section.lower()
        assert releases.load(release).option(group, option.lower())


def test_timers_stand_still_with_the_units_and_come_back_with_those_that_are_enabled(
    host: Host,
) -> None:
    units = ["nova-compute.service", "nova-api.service"]
    tell("stop", units=units)
    assert {state for state, _ in host.units.values()} == {"inactive"}
    tell("start", units=units)
    assert host.units["nova-compute.service"][0] == "active"
    assert host.units["nova-care-archive.timer"][0] == "active"
    assert host.units["nova-api.service"][0] == "inactive"


def test_a_host_that_has_no_timers_starts_its_units(host: Host) -> None:
    (host.folder / "units").write_text('{"nova-compute.service": ["inactive", "enabled"]}')
    tell("start", units=["nova-compute.service"])
    assert host.units["nova-compute.service"][0] == "active"


def test_a_unit_that_does_not_stop_is_named(host: Host) -> None:
    host.has(stubborn=("active", "enabled"))
    with pytest.raises(SystemExit, match=r"cannot be stopped: stubborn\.service \(active\)"):
        tell("stop", units=["stubborn.service"])


@pytest.mark.parametrize("verb", ["show", "list-units"])
def test_nothing_counts_as_stopped_while_systemd_does_not_answer(host: Host, verb: str) -> None:
    (host.folder / "silence").write_text(verb)
    said = f"systemctl {verb} ended with 1: Failed to get properties: Connection timed out"
    with pytest.raises(SystemExit, match=said):
        tell("stop", units=["nova-api.service"])
    assert host.units["nova-api.service"][0] == "active"


def test_half_of_what_systemd_says_of_units_is_not_taken_for_all(host: Host) -> None:
    (host.folder / "half").touch()
    with pytest.raises(SystemExit, match="told of 1 of 2 units"):
        tell("stop", units=["nova-compute.service", "nova-api.service"])
    assert host.units["nova-compute.service"][0] == "active"


def test_another_identity_is_kept_beside(host: Host) -> None:
    mine = "0b6c1f2e-7f4e-4f6a-8f0e-1e5e7b3f9a10"
    path = Path(restored_host.COMPUTE_ID)
    path.write_text("other\n")
    assert tell("identify", compute_id=mine)["compute_id"] == mine
    assert path.with_name("file.before-restore").read_text() == "other\n"
    assert path.stat().st_mode & 0o777 == 0o644
    with pytest.raises(ValueError, match="badly formed"):
        tell("identify", compute_id="../../etc")


def test_what_is_over_is_taken_away_and_nova_compute_reads_nova_conf_again(host: Host) -> None:
    tell("hold", marker="m", log=True)
    found = tell("release", log=False)
    assert (found["marker"], found["log"]) == (None, True)
    assert tell("release", log=True)["log"] is False
    assert "restart -- nova-compute.service" in host.calls


def test_a_drop_in_that_somebody_else_has_written_stays(host: Host) -> None:
    path = Path(restored_host.DROP_IN)
    path.write_text("[Service]\nEnvironment=A=b\n")
    with pytest.raises(SystemExit, match="is not this project's"):
        tell("release", log=True)
    assert path.exists()


# --- Placement ------------------------------------------------------------------------------------


@pytest.fixture
def runuser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What nova-manage answers in turn; its last answer ten times at most."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def answers(*given: tuple[int, str]) -> Path:
        lines = [f"{n}) echo '{text}'; exit {code} ;;" for n, (code, text) in enumerate(given, 1)]
        code, text = given[-1]
        last = f"*) [ $n -lt 10 ] && {{ echo '{text}'; exit {code}; }}; exit 99 ;;"
        calls = folder / "calls"
        counted = f'echo "$@" >>{calls}; n=$(wc -l <{calls}); case $n in'
        program = folder / "runuser"
        program.write_text("\n".join(["#!/bin/sh", counted, *lines, last, "esac", ""]))
        program.chmod(0o755)
        return calls

    return answers


def test_guests_are_healed_until_nova_says_that_there_are_no_more(runuser: Any) -> None:
    calls = runuser((1, "Max count reached. Processed 1000 instances."), (0, "Processed 7."))
    assert restored_host.heal() == {"code": 0, "said": "Processed 7."}
    assert len(calls.read_text().splitlines()) == 2
    assert "--verbose" in calls.read_text()  # else it does not say so


def test_a_nova_manage_that_cannot_be_run_is_not_run_for_ever(runuser: Any) -> None:
    """It ends with 1, too: an error of Python's, or runuser's own."""
    runuser((1, "ImportError: no module named nova"))
    assert restored_host.heal() == {"code": 1, "said": "ImportError: no module named nova"}
