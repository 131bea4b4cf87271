"""files/hugepages.py on a tree of files that stands in for a host's /proc, /sys and /etc."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import hugepages
import pytest

from pyinfra_nova.knowledge.platforms import Platform, table

from .hugepages_stand_in import DAEMON, KERNEL, MOUNT, ORIGINAL, Host, Killed, lent


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    host = Host(tmp_path)
    lent(host, monkeypatch)
    return host


def pages(kilobytes: int, count: int, node: int | None = None) -> dict[str, Any]:
    return {"kilobytes": kilobytes, "count": count, "node": node}


def asked(*wanted: dict[str, Any], apply: bool = False) -> dict[str, Any]:
    request = {"pages": list(wanted), "daemons": [DAEMON], "apply": apply}
    return dict(hugepages.answer(request))


def converge(*wanted: dict[str, Any]) -> list[str]:
    planned = asked(*wanted)["changes"]
    assert asked(*wanted, apply=True)["changes"] == planned
    assert asked(*wanted)["changes"] == []
    return list(planned)


SMALL, BIG = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", 1048576


def test_pages_of_the_kernels_own_size_are_set_now_and_by_sysctl(host: Host) -> None:
    assert converge(pages(2048, 512)) == [
        f"write {hugepages.SYSCTL}",
        "set huge pages of 2M to 512 (was 0)",
    ]
    assert host.text(SMALL) == "512"
    assert "vm.nr_hugepages = 512\n" in host.text(hugepages.SYSCTL)
    assert asked(pages(2048, 512))["remarks"] == []
    assert host.commands == []


def test_other_pages_are_an_argument_of_the_kernel_and_a_mount(host: Host) -> None:
    converge(pages(BIG, 2))
    assert "hugepagesz=1G hugepages=2" in host.text(hugepages.GRUB)
    unit = host.text("/etc/systemd/system/dev-hugepages1G.mount")
    assert "Where=/dev/hugepages1G\n" in unit and "Options=pagesize=1G\n" in unit
    assert host.commands == [
        "update-grub",
        "systemctl daemon-reload",
        "systemctl enable --now dev-hugepages1G.mount",
        "systemctl try-restart libvirtd.service",
    ]
    assert f"{KERNEL} hugepagesz=1G hugepages=2\n" in host.text(hugepages.GRUB_CFG)


def test_a_reboot_that_is_needed_is_said_until_it_was_made(host: Host) -> None:
    words = "hugepagesz=2M hugepages=0:64"
    (text,) = asked(pages(2048, 64, node=0))["remarks"]
    assert text == f"a reboot is needed for the kernel to be started with {words}"
    host.put("/proc/cmdline", f"quiet {words}\n")
    assert asked(pages(2048, 64, node=0))["remarks"] == []


def test_without_grub_the_arguments_are_left_to_the_operator(host: Host) -> None:
    (host.root / "boot/grub/grub.cfg").unlink()
    (text,) = asked(pages(BIG, 1))["remarks"]
    assert text == (
        "put this on the kernel's command line for the next boot: hugepagesz=1G hugepages=1"
    )
    asked(pages(BIG, 1), apply=True)
    assert "update-grub" not in host.commands
    assert not (host.root / hugepages.GRUB[1:]).exists()


def test_what_somebody_set_by_hand_is_repaired(host: Host) -> None:
    converge(pages(2048, 512))
    host.put(SMALL, "3\n")
    assert converge(pages(2048, 512)) == ["set huge pages of 2M to 512 (was 3)"]


def test_a_count_of_none_takes_everything_back(host: Host) -> None:
    converge(pages(2048, 512), pages(BIG, 1))
    host.commands.clear()
    converge(pages(2048, 0), pages(BIG, 0))
    assert not [path for path in (host.root / "etc").rglob("*") if path.is_file()]
    assert "systemctl disable --now dev-hugepages1G.mount" in host.commands


@pytest.mark.parametrize(
    ("undo", "said"),
    [
        (
            lambda host: host.put(hugepages.GRUB_CFG, f"{KERNEL}\n"),
            ["update-grub: start kernels with hugepagesz=1G hugepages=2"],
        ),
        (
            lambda host: host.put(hugepages.GRUB_CFG, f"{KERNEL} hugepagesz=1G hugepages=24\n"),
            ["update-grub: start kernels with hugepagesz=1G hugepages=2"],
        ),
        (
            lambda host: host.systemctl("disable", "--now", MOUNT),
            [f"mount {MOUNT}", f"restart {DAEMON}, which looks for mounts when it starts"],
        ),
        (lambda host: host.enabled.clear(), [f"mount {MOUNT}"]),
        (
            lambda host: host.started.update({DAEMON: 1}),
            [f"restart {DAEMON}, which looks for mounts when it starts"],
        ),
        (
            lambda host: host.loaded.update({MOUNT: "older"}),
            [f"have systemd read {MOUNT}"],
        ),
    ],
    ids=["menu", "another number", "unmounted", "disabled", "libvirt", "not read"],
)
def test_what_is_not_in_force_is_brought_about(
    host: Host, undo: Callable[[Host], object], said: list[str]
) -> None:
    converge(pages(BIG, 2))
    undo(host)
    assert converge(pages(BIG, 2)) == said


FROM_TO = {
    "nothing to pages of both kinds": ([], [pages(2048, 512), pages(BIG, 2)]),
    "nothing to pages of nodes": ([], [pages(BIG, 1, node=0), pages(BIG, 1, node=1)]),
    "another number": ([pages(BIG, 1)], [pages(BIG, 2)]),
    "one kind less": ([pages(2048, 512), pages(BIG, 2)], [pages(2048, 512)]),
    "one node less": ([pages(BIG, 1, node=0), pages(BIG, 1, node=1)], [pages(BIG, 1, node=0)]),
    "pages to none that are named": (
        [pages(2048, 512), pages(BIG, 2)],
        [pages(2048, 0), pages(BIG, 0)],
    ),
    "pages to nothing": ([pages(2048, 512), pages(BIG, 2)], []),
}


@pytest.mark.parametrize("change", FROM_TO)
def test_a_run_killed_after_any_action_is_finished_by_the_next(
    change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, after = FROM_TO[change]

    def prepared(name: str) -> Host:
        host = Host(tmp_path / name)
        lent(host, monkeypatch)
        if before:
            converge(*before)
        host.actions = 0
        return host

    undisturbed = prepared("undisturbed")
    converge(*after)
    assert undisturbed.actions >= 2
    for count in range(1, undisturbed.actions + 1):
        host = prepared(str(count))
        host.killed_after = count
        with pytest.raises(Killed):
            asked(*after, apply=True)
        converge(*after)
        assert host.state() == undisturbed.state(), f"killed after action {count}"


def test_what_a_killed_run_has_done_is_not_done_again(host: Host) -> None:
    """Each run is killed after one action; the next goes on behind it."""
    converge(pages(BIG, 2))
    before, runs = len(host.commands), 0
    while asked()["changes"]:
        runs += 1
        host.actions, host.killed_after = 0, 1
        with pytest.raises(Killed):
            asked(apply=True)
        host.killed_after = None
        assert runs < 20, host.commands[-6:]
    assert sum("try-restart" in command for command in host.commands[before:]) == 1


def test_pages_that_are_no_longer_wanted_are_given_back_with_everything_that_was_for_them(
    host: Host,
) -> None:
    bare = host.state()
    converge(pages(2048, 512), pages(BIG, 2))
    assert converge() == [
        "set huge pages of 2M to 0 (was 512)",
        "set huge pages of 1G to 0 (was 2)",
        f"unmount {MOUNT}",
        f"restart {DAEMON}, which looks for mounts when it starts",
        f"remove /etc/systemd/system/{MOUNT}",
        "have systemd forget them",
        f"remove {hugepages.SYSCTL}",
        f"write {hugepages.GRUB}",
        "update-grub: start kernels without huge pages",
        f"remove {hugepages.GRUB}",
    ]
    state = host.state()
    for name, text in bare["files"].items():  # type: ignore[attr-defined]
        assert state["files"][name].strip() == text.strip()  # type: ignore[index]
    assert state["files"].keys() == bare["files"].keys()  # type: ignore[attr-defined]
    assert (state["mounted"], state["enabled"]) == ([], [])


def test_what_somebody_else_has_set_aside_stays(host: Host) -> None:
    for path in (hugepages.SYSCTL, hugepages.GRUB, f"/etc/systemd/system/{MOUNT}"):
        host.put(path, "# mine\nhugepagesz=1G hugepages=2\n")
    host.put(SMALL, "7\n")
    before = host.state()
    assert converge() == []
    assert host.state() == before


def test_a_file_that_was_replaced_in_between_is_not_removed(host: Host) -> None:
    converge(pages(2048, 512))
    host.put(hugepages.SYSCTL, "# mine\n")
    with pytest.raises(SystemExit, match="is not as this project wrote it"):
        ORIGINAL.remove(hugepages.SYSCTL)
    assert host.text(hugepages.SYSCTL) == "# mine\n"


def test_pages_that_guests_use_are_said(host: Host) -> None:
    converge(pages(2048, 512))
    host.put(SMALL.replace("nr_", "free_"), "500\n")
    (said,) = asked()["remarks"]
    assert said == (
        "12 huge pages of 2M are in use, and are given back when their guests are moved or stopped"
    )


def test_pages_are_in_use_from_the_first_one_on(host: Host) -> None:
    converge(pages(2048, 512))
    free = SMALL.replace("nr_", "free_")
    for number, said in ((512, 0), (511, 1)):
        host.put(free, f"{number}\n")
        assert len(asked()["remarks"]) == said


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (f"{KERNEL} hugepagesz=1G hugepages=2", True),
        (f"{KERNEL} hugepagesz=1G hugepages=2 quiet", True),
        ("\tmodule2 /boot/vmlinuz-6.1 placeholder hugepagesz=1G hugepages=2", True),
        ("\tmodule /boot/vmlinuz-6.1 hugepagesz=1G hugepages=2", True),
        (f"{KERNEL} hugepagesz=1G hugepages=20", False),
        (f"{KERNEL} hugepagesz=1G x hugepages=2", False),
        ("# linux hugepagesz=1G hugepages=2", False),
        ("\techo hugepagesz=1G hugepages=2", False),
        ("linux", False),
        ("", False),
    ],
)
def test_a_menu_starts_kernels_with_arguments_in_the_lines_that_start_kernels(
    host: Host, line: str, found: bool
) -> None:
    host.put(hugepages.GRUB_CFG, f"menuentry 'Debian' {{\n{line}\n}}\n")
    assert hugepages.in_grub_cfg("hugepagesz=1G hugepages=2") is found


def test_a_count_that_the_kernel_does_not_take_ends_the_run(host: Host) -> None:
    (host.root / SMALL[1:]).unlink()
    (host.root / SMALL[1:]).mkdir()
    with pytest.raises(SystemExit, match=f"^{SMALL} cannot be set: Is a directory$"):
        hugepages.set_count(pages(2048, 1))


def test_what_is_written_can_be_read_by_all_and_is_whole(host: Host) -> None:
    converge(pages(BIG, 2))
    unit = host.root / hugepages.mount_unit(BIG)[0][1:]
    assert unit.stat().st_mode & 0o7777 == 0o644
    assert [path.name for path in unit.parent.iterdir()] == [MOUNT]
    assert unit.read_text() == (
        f"{hugepages.WRITTEN}[Unit]\nDescription=Huge pages of 1G\nDefaultDependencies=no\n"
        "Before=sysinit.target\n\n[Mount]\nWhat=hugetlbfs\nWhere=/dev/hugepages1G\n"
        "Type=hugetlbfs\nOptions=pagesize=1G\n\n[Install]\nWantedBy=sysinit.target\n"
    )


@pytest.mark.parametrize("row", table().platforms, ids=lambda row: f"{row.system}-{row.release}")
def test_a_platforms_own_daemon_alone_is_restarted(row: Platform) -> None:
    started = {unit.name for unit in row.units if unit.role == "compute"}
    name = row.libvirt.service.removesuffix(".service")
    assert name in started or f"{name}.socket" in started


def test_an_update_of_grub_that_has_no_effect_ends_the_run(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*command: str) -> str:
        return "" if command == ("update-grub",) else host.run(*command)

    monkeypatch.setattr(hugepages, "run", run)
    with pytest.raises(SystemExit, match="without hugepagesz=1G hugepages=2"):
        asked(pages(BIG, 2), apply=True)


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (pages(65536, 1), "this host has no huge pages of 64M"),
        (pages(2048, 1, node=3), "this host has no huge pages of 2M of NUMA node 3"),
        (pages(BIG, 8), "8192 MiB of huge pages are more than nine tenths of this host's 8192 MiB"),
    ],
)
def test_what_a_host_cannot_have_is_refused(host: Host, wanted: dict[str, Any], said: str) -> None:
    assert asked(wanted)["error"] == said
    with pytest.raises(SystemExit, match=said):
        asked(wanted, apply=True)
    assert host.commands == []
