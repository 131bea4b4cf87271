"""An inventory of fresh hosts whose databases are on one that Nova itself would not run on."""

import json as _json

from tests.plan.fake_hosts import FRESH as _ANSWERS
from tests.plan.fake_hosts import host as _host
from tests.plan.fake_hosts import preflight as _preflight

controllers = [_host("controller", "10.0.0.11", _ANSWERS, installed=False)]
computes = [_host("compute1", "10.0.0.31", _ANSWERS, installed=False)]
_name, _data = _host("sql", "10.0.0.21", _ANSWERS, installed=False)
_older = {**_preflight("sql", "10.0.0.21"), "os": {"id": "debian", "version": "11"}}
_data["fake_responses"]["host_report read"] = _json.dumps(_older)
database = [(_name, _data)]
