"""The end of a deploy: what there is now, how long it took, and what to try next."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence

from pyinfra_nova.certificates.trust import trusted_pem
from pyinfra_nova.resources.compute_api import ComputeApi, ComputeApiState
from pyinfra_nova.session import host_script
from pyinfra_nova.session.connections import connected, load
from pyinfra_nova.site.load import site_of
from pyinfra_nova.site.secret_files import secrets_file
from pyinfra_nova.site.settings import Site
from pyinfra_nova.site.sources import LAB_GROUP

Row = tuple[str, ...]


def aligned(title: str, rows: Iterable[Row]) -> list[str]:
    """ROWS as columns under TITLE."""
    rows = list(rows)
    if not rows:
        return []
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) for row in rows]
    return ["", title, *(f"  {line.rstrip()}" for line in lines)]


def hosts(site: Site) -> list[Row]:
    return [
        (host.name, str(host.my_ip or "-"), ", ".join(sorted(host.roles)))
        for host in site.hosts.values()
    ]


def next_steps(site: Site, *, is_lab: bool) -> list[Row]:
    """Commands that make sense now, each with what it is for."""
    controller = site.primary_controller.name
    steps: list[Row] = [
        (f"./run ssh {controller}", "a root shell on the controller"),
        (f"./run ssh {controller} openstack hypervisor list", "ask the cloud itself"),
        ("./run plan", "what another deploy would change: nothing"),
        ("./run verify", "the checks again, guests included"),
    ]
    if is_lab:
        steps.append(("./run workshop", "an exercise: guests, floating IPs, every command shown"))
        steps.append(("./run lab down", "remove the lab"))
    return steps


def summary(
    site: Site, state: ComputeApiState, seconds: Sequence[tuple[str, int]], *, is_lab: bool
) -> list[str]:
    """The lines of the summary."""
    services = [(s.binary, s.host, s.state) for s in state.services]
    hypervisors = [(h.name, str(h.address), h.state) for h in state.hypervisors]
    whole = sum(count for _, count in seconds)
    times = [
        (what, f"{count // 60} min {count % 60:02d} s")
        for what, count in (*seconds, ("all of it", whole))
    ]
    return [
        *aligned("Hosts", hosts(site)),
        *aligned("Services", sorted(services)),
        *aligned("Hypervisors", sorted(hypervisors)),
        *aligned("Times", times),
        *aligned("Next", next_steps(site, is_lab=is_lab)),
    ]


def _seconds(text: str) -> tuple[str, int]:
    what, _, count = text.rpartition("=")
    return what, int(count)


def main(arguments: Sequence[str]) -> int:
    """Print the summary of a deployed site."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inventory", default="inventory.py")
    parser.add_argument("--seconds", action="append", type=_seconds, default=[], metavar="WHAT=N")
    options = parser.parse_args(arguments)
    pyinfra_state = load(options.inventory)
    site = site_of(pyinfra_state.inventory, secrets_file(), options.inventory)
    host_script.trust(trusted_pem(site))
    with connected(pyinfra_state, site.primary_controller.name) as host:
        state = ComputeApiState.of(host, ComputeApi.of(site), ())
        host.disconnect()
    is_lab = LAB_GROUP in pyinfra_state.inventory.groups
    print("\n".join(summary(site, state, options.seconds, is_lab=is_lab)))
    if state.error:
        print(state.error, file=sys.stderr)
    return 1 if state.error else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
