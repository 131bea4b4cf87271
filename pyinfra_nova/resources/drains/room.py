"""What the hosts have left once some guests are there."""

from __future__ import annotations

from collections.abc import Iterable

from pyinfra_nova.resources.drains.state import Apart, Target


class Room:
    """What the hosts have left once some guests are there."""

    def __init__(self, targets: Iterable[Target]) -> None:
        self.free: dict[str, dict[str, int]] = {}
        self.taken: dict[tuple[str, str], int] = {}
        for target in targets:
            for host, amounts in target.free.items():
                self.free.setdefault(host, dict(amounts))

    def promise(self, target: Target) -> str:
        """Take the room for a guest where most is left; what its move depends on, or ""."""
        apart = [host for host in target.hosts if self._keeps_apart(host, target.group)]
        if target.group and not apart:
            return f", if no other of server group {target.group.name} goes there"
        fitting = [host for host in apart if self._fits(host, target)]
        if not fitting:
            return ", if the others leave it room"
        chosen = max(fitting, key=lambda host: self.free.get(host, {}).get("MEMORY_MB", 0))
        for name, amount in target.needs.items():
            if name in self.free.get(chosen, {}):
                self.free[chosen][name] -= amount
        if target.group:
            place = (target.group.id, chosen)
            self.taken[place] = self.taken.get(place, 0) + 1
        return ""

    def _keeps_apart(self, host: str, group: Apart | None) -> bool:
        return not group or self.taken.get((group.id, host), 0) < group.left.get(host, 0)

    def _fits(self, host: str, target: Target) -> bool:
        left = self.free.get(host, {})
        return all(left[name] >= amount for name, amount in target.needs.items() if name in left)
