"""How systemd units fare: their states, how often each was restarted, and what went wrong.

Request: {"units": [as for units.py], "causes": bool}
Answer:  {name: {"state", "restarts": number, "cause": text|null}}
"""

import unit_logs
import units


def answer(request):
    wanted = {unit["name"]: unit for unit in request["units"]}
    states = units.show(list(wanted))
    return {
        name: {
            "state": "{} ({})".format(state.get("ActiveState"), state.get("SubState")),
            "restarts": int(state.get("NRestarts") or 0),
            "cause": unit_logs.cause(wanted[name]) if request["causes"] else None,
        }
        for name, state in states.items()
    }
