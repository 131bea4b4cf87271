"""A point that every host passes before any host goes on."""

from __future__ import annotations

from pyinfra.api import operation

from pyinfra_nova.session.steps import Commands


@operation()
def barrier() -> Commands:
    """Hold all hosts until each of them has come this far; costs no remote command.

    pyinfra orders operations by a topological sort of every host's own chain and runs it level by
    level (``State.get_op_order``), so the chains of two groups run side by side. An operation that
    all hosts share ties the chains together. It has to be called on every host.
    """
    return
    yield
