"""An inventory with a host on whose port nobody listens."""

from tests.plan.fake_hosts import CONVERGED as _ANSWERS
from tests.plan.fake_hosts import host as _host

controllers = [_host("controller", "10.0.0.11", _ANSWERS, installed=True)]
computes = [
    _host("compute1", "10.0.0.31", _ANSWERS, installed=True),
    ("compute2", {"my_ip": "10.0.0.32", "ssh_hostname": "127.0.0.1", "ssh_port": 9}),
]
