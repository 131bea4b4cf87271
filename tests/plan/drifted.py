"""An inventory of hosts that are converged but for a flavor's numbers and a host's huge pages."""

from tests.plan.fake_hosts import CONVERGED as _CONVERGED
from tests.plan.fake_hosts import host as _host

_ANSWERS = {
    **_CONVERGED,
    "cloud_objects read": {"error": None, "refused": ["flavor m1 differs: vcpus 2 (was 1)"]},
    "hugepages read": {
        "error": None,
        "changes": ["set huge pages of 2M to 4 (was 0)"],
        "remarks": ["reboot"],
    },
}
_PAGES = [{"size": "2M", "count": 4}]
controllers = [_host("controller", "10.0.0.11", _ANSWERS, installed=True)]
computes = [
    _host("compute1", "10.0.0.31", _ANSWERS, installed=True, hugepages=_PAGES),
    _host("compute2", "10.0.0.32", _ANSWERS, installed=True),
]
