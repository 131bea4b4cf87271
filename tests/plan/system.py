"""An inventory of fakes of the system that FAKE_SYSTEM names, new ones or converged ones.

With FAKE_ALL_IN_ONE a single one is everything; FAKE_STATE may also be ``enabled``, new hosts with
the release's repository, and ``half``, where the controller alone is converged.
"""

import os as _os

from tests.plan.systems import SYSTEMS as _SYSTEMS
from tests.plan.systems import host as _host

_system = _SYSTEMS[_os.environ["FAKE_SYSTEM"]]
_state = _os.environ["FAKE_STATE"]
_old = {"installed": _state in ("converged", "half"), "enabled": _state != "fresh"}
_new = {"installed": _state == "converged", "enabled": _state in ("converged", "enabled")}

controllers = [_host(_system, "controller", "10.0.0.11", **_old)]
computes = [
    _host(_system, "compute1", "10.0.0.31", **_new),
    _host(_system, "compute2", "10.0.0.32", **_new),
]
if _os.environ.get("FAKE_ALL_IN_ONE"):
    computes = controllers
