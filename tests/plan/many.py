"""An inventory of as many converged computes as FAKE_COMPUTES says, or of other ones.

With FAKE_STATE=unprivileged pyinfra is root on none of them.
"""

import os as _os

from tests.plan.fake_hosts import CONVERGED as _CONVERGED
from tests.plan.fake_hosts import host as _host

_STATE = _os.environ.get("FAKE_STATE", "converged")
_ADDRESSES = {
    f"compute{number}": f"10.0.{4 + number // 256}.{number % 256}"
    for number in range(1, 1 + int(_os.environ["FAKE_COMPUTES"]))
}
_KNOWN = {
    name: {"up": True, "node": True, "mapped": True, "address": address}
    for name, address in _ADDRESSES.items()
}
_ANSWERS = {
    **_CONVERGED,
    "nova_state read": {**_CONVERGED["nova_state read"], "computes": _KNOWN},
}
controllers = [_host("controller", "10.0.0.11", _ANSWERS, installed=True)]
computes = [
    _host(name, address, _CONVERGED, installed=True, root=_STATE != "unprivileged")
    for name, address in _ADDRESSES.items()
]
