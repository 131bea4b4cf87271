"""How systemd units fare: their states, how often each was restarted, and what went wrong.

Request: {"units": [names], "causes": bool}
Answer:  {name: {"state", "restarts": number, "cause": text|null}}
"""

import units


def answer(request):
    states = units.show(request["units"])
    return {
        name: {
            "state": "{} ({})".format(state.get("ActiveState"), state.get("SubState")),
            "restarts": int(state.get("NRestarts") or 0),
            "cause": units.cause(name) if request["causes"] else None,
        }
        for name, state in states.items()
    }
