"""An inventory of hosts that are converged."""

from tests.plan.fake_hosts import CONVERGED as _ANSWERS
from tests.plan.fake_hosts import host as _host

controllers = [_host("controller", "10.0.0.11", _ANSWERS, installed=True)]
computes = [
    _host("compute1", "10.0.0.31", _ANSWERS, installed=True),
    _host("compute2", "10.0.0.32", _ANSWERS, installed=True),
]
