"""An inventory of hosts that are fresh."""

from tests.plan.fake_hosts import FRESH as _ANSWERS
from tests.plan.fake_hosts import host as _host

controllers = [_host("controller", "10.0.0.11", _ANSWERS, installed=False)]
computes = [
    _host("compute1", "10.0.0.31", _ANSWERS, installed=False),
    _host("compute2", "10.0.0.32", _ANSWERS, installed=False),
]
