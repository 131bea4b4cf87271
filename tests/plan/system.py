"""An inventory of fakes of the system that FAKE_SYSTEM names, new ones or converged ones.

With FAKE_ALL_IN_ONE a single one is everything.
"""

import os as _os

from tests.plan.systems import SYSTEMS as _SYSTEMS
from tests.plan.systems import host as _host

_system = _SYSTEMS[_os.environ["FAKE_SYSTEM"]]
_installed = _os.environ["FAKE_STATE"] == "converged"

controllers = [_host(_system, "controller", "10.0.0.11", installed=_installed)]
computes = [
    _host(_system, "compute1", "10.0.0.31", installed=_installed),
    _host(_system, "compute2", "10.0.0.32", installed=_installed),
]
if _os.environ.get("FAKE_ALL_IN_ONE"):
    computes = controllers
