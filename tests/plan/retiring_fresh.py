"""Hosts on which nothing is yet, and one that was a compute of another site's."""

from tests.plan.fake_hosts import FRESH as _FRESH
from tests.plan.fake_hosts import host as _host

_EARLY = {"left": {}, "error": "PyMySQL is not installed", "early": True}
_ANSWERS = {**_FRESH, "retirements read": _EARLY, "unit_stops read": {"units": []}}
controllers = [_host("controller", "10.0.0.11", _ANSWERS, installed=False)]
computes = [
    _host("compute1", "10.0.0.31", _ANSWERS, installed=False),
    _host("compute2", "10.0.0.32", _ANSWERS, installed=False, state="retired"),
]
