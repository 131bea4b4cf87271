"""The lab's commands: up, down, status, snapshot, restore, workshop."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path

from lab import host_disks, machines, network, package_cache, prerequisites, state, this_machine
from lab.settings import LabSettings, names_lab, read_settings
from lab.shell import LabError, run, say, step


def up(inventory: Path, *, hosts_only: bool = False, volumes: bool = False) -> int:
    """Have the lab of INVENTORY run, whatever was left of an earlier one.

    With VOLUMES it has Cinder, from then on.
    """
    settings = read_settings(inventory)
    with state.locked():
        state.make_directories()
        if volumes:
            state.BLOCK_STORAGE.touch()
        this_machine.install_tools()
        network.refuse_conflicts(settings)
        network.bring_up(settings)
        host_disks.make_key()
        started = machines.bring_up(settings)
        if not hosts_only:
            prerequisites.prepare(inventory, settings, again=started)
        if started:
            for host in settings.hosts:
                package_cache.collect_packages(host_disks.layer_of(host.name))
    say("the lab is up: " + ", ".join(_named(settings)))
    return 0


def _named(settings: LabSettings) -> list[str]:
    return [f"{host.name} {settings.management.address(host.offset)}" for host in settings.hosts]


def down(*, purge: bool) -> int:
    """Leave nothing of the lab on this machine."""
    with state.locked():
        names = machines.known_names()
        with step("stop " + (", ".join(names) or "nothing: no host is there")):
            machines.stop(names, clean=False)
        for name in names:
            package_cache.collect_packages(host_disks.layer_of(name))
        network.tear_down()
        machines.forget_cgroups()
        with step(f"remove {state.LAB}"):
            state.remove_tree(state.LAB)
        if state.LAB.parent.is_dir() and not any(state.LAB.parent.iterdir()):
            state.LAB.parent.rmdir()
        _cache_down(purge)
    return 0


def _cache_down(purge: bool) -> None:
    packages = this_machine.machine_packages()
    if not purge:
        size = package_cache.cache_size() / 1e6
        say(f"kept for the next lab: {state.CACHE} ({size:.0f} MB of packages)")
        if packages:
            say(f"kept on this machine: the packages {', '.join(packages)}")
        if size or packages:
            say("`down --purge` removes those too")
        return
    if packages and shutil.which("apt-get"):
        with step(f"remove {', '.join(packages)} from this machine"):
            run("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-y", "-q", "purge", *packages)
    state.remove_tree(state.CACHE)


def status(inventory: Path) -> int:
    """Say which hosts run and answer; 0 when all of them do."""
    settings = read_settings(inventory)
    rows = [("host", "management", "nat", "provider", "running", "ssh", "prerequisites")]
    complete = True
    for host in settings.hosts:
        running = machines.is_running(host.name)
        address = settings.management.address(host.offset)
        open_to_us = running and machines.answers(address)
        complete = complete and open_to_us
        rows.append(
            (
                host.name,
                str(address),
                str(settings.nat.address(host.offset)),
                str(settings.provider.address(host.offset)),
                "yes" if running else "no",
                "yes" if open_to_us else "no",
                "yes" if open_to_us and prerequisites.is_recorded() else "no",
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        )
    return 0 if complete else 1


def owns(inventory: Path) -> int:
    """0 if the hosts of INVENTORY are the lab's: it names a group `lab` that is not empty.

    What is wrong with the file is said by whoever is given it next.
    """
    try:
        return 0 if names_lab(inventory) else 1
    except LabError:
        return 1


def snapshot(inventory: Path, name: str) -> int:
    """Keep a copy of all hosts as they are now; they are stopped for it and started again."""
    settings = read_settings(inventory)
    target = state.SNAPSHOTS / name
    with state.locked():
        machines.stop([host.name for host in settings.hosts])
        state.remove_tree(target)
        with step(f"copy the hosts to {target}"):
            target.mkdir(parents=True)
            for path in sorted(state.HOSTS.iterdir()):
                run("cp", "-a", "--reflink=auto", str(path), str(target))
            if state.PREPARED.exists():
                shutil.copy2(state.PREPARED, target / ".prepared.json")
        network.bring_up(settings)
        machines.boot(settings.hosts, settings)
        _answer_again(inventory, settings)
    return 0


def _answer_again(inventory: Path, settings: LabSettings) -> None:
    """After a boot: a booted host is there before its services are."""
    if prerequisites.is_recorded():
        prerequisites.prepare(inventory, settings, again=True)


def restore(inventory: Path, name: str) -> int:
    """Put all hosts back to what they were when the snapshot NAME was made."""
    settings = read_settings(inventory)
    source = state.SNAPSHOTS / name
    if not source.is_dir():
        raise LabError(f"there is no snapshot {name}")
    with state.locked():
        machines.stop(machines.known_names(), clean=False)
        state.remove_tree(state.HOSTS)
        with step(f"copy the hosts from {source}"):
            state.HOSTS.mkdir(mode=0o700)
            for path in sorted(source.iterdir()):
                run("cp", "-a", "--reflink=auto", str(path), str(state.HOSTS))
        state.PREPARED.unlink(missing_ok=True)
        kept = state.HOSTS / ".prepared.json"
        if kept.exists():
            kept.rename(state.PREPARED)
        if state.read_json(state.PREPARED).get("block_storage"):
            state.BLOCK_STORAGE.touch()
        else:
            state.BLOCK_STORAGE.unlink(missing_ok=True)
        network.bring_up(settings)
        machines.bring_up(settings)
        _answer_again(inventory, settings)
    return 0


def trust_site(inventory: Path) -> None:
    """Have this machine believe who shows guests' screens, by the authorities of the site."""
    from pyinfra_nova.certificates.trust import trusted_pem
    from pyinfra_nova.session import host_script
    from pyinfra_nova.session.connections import load_inventory
    from pyinfra_nova.site.faults import SettingsError
    from pyinfra_nova.site.load import site_of

    if not read_settings(inventory).has_tls:
        return
    try:
        host_script.trust(trusted_pem(site_of(load_inventory(str(inventory)))))
    except SettingsError as error:
        raise LabError(str(error)) from error


def workshop(inventory: Path, options: argparse.Namespace) -> int:
    """Do the exercise on the deployed lab."""
    # With Jinja2 and pydantic, which no other word needs.
    from lab.workshop import course
    from lab.workshop.exercise import exercise
    from lab.workshop.place import Place
    from lab.workshop.volumes import VOLUME_SERVICE

    if not names_lab(inventory):
        raise LabError(f"{inventory} names no lab; the exercise by hand is in docs/workshop.md")
    place = Place.of(read_settings(inventory), inventory)
    if options.list:
        for each in exercise(place):
            print(f"{each.name:<15} {each.title}")
        return 0
    if not machines.answers(place.controller_address):
        raise LabError(f"{place.controller} does not answer: {place.run} deploy")
    lab = course.RealLab(place)
    needed = {each.service for each in exercise(place) if options.step in (None, each.name)}
    if VOLUME_SERVICE in needed and not options.clean:
        services = lab.ask().services
        if "compute" in services and VOLUME_SERVICE not in services:
            say("Cinder comes first, once; it stays until `lab down`")
            up(inventory, volumes=True)
    trust_site(inventory)
    with state.locked():
        walked = course.Course(place, lab)
        if options.clean:
            walked.remove()
        else:
            course.walk(walked, only=options.step, keep=options.keep)
    return 0


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m lab", description=__doc__)
    words = top.add_subparsers(dest="word", required=True)
    for word, text in (
        ("up", "make, start, mend the hosts and what Nova builds on"),
        ("down", "remove the hosts and all traces of them"),
        ("status", "what runs; exit status 1 if something does not"),
        ("owns", "exit status 0 if the inventory's hosts are the lab's"),
        ("snapshot", "keep a copy of the hosts under a name"),
        ("restore", "put the hosts back to such a copy"),
        ("workshop", "the exercise, step by step: docs/workshop.md"),
    ):
        command = words.add_parser(word, help=text)
        command.add_argument("--inventory", type=Path, default=Path("inventory.py"))
        if word == "up":
            command.add_argument(
                "--hosts-only", action="store_true", help="bare hosts, nothing installed on them"
            )
            command.add_argument(
                "--volumes", action="store_true", help="Cinder, too; it stays until `down`"
            )
        if word == "down":
            command.add_argument("--purge", action="store_true", help="the package cache as well")
        if word in ("snapshot", "restore"):
            command.add_argument("name")
        if word == "workshop":
            command.add_argument("--keep", action="store_true", help="leave all that it makes")
            command.add_argument(
                "--step", metavar="NAME", help="this step alone; leaves it as well"
            )
            command.add_argument("--list", action="store_true", help="the steps and their names")
            command.add_argument("--clean", action="store_true", help="only remove what is there")
    return top


def main() -> int:
    options = parser().parse_args()
    if options.word == "owns":
        return owns(options.inventory)
    if os.geteuid() != 0:
        raise LabError("the lab needs root: run it with sudo")
    if options.word == "up":
        return up(options.inventory, hosts_only=options.hosts_only, volumes=options.volumes)
    if options.word == "down":
        return down(purge=options.purge)
    if options.word == "status":
        return status(options.inventory)
    if options.word == "snapshot":
        return snapshot(options.inventory, options.name)
    if options.word == "workshop":
        return workshop(options.inventory, options)
    return restore(options.inventory, options.name)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except LabError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted: the same command goes on from here")
