"""Whether units are stopped for good, so that not even a reboot starts them.

Request: {"units": [names], "prove": bool}
Answer:  {"units": [{"name", "state": text, "stop": bool, "disable": bool, "mask": bool}]}, those
that are not; with `prove` one that still runs ends the script with its state.
A unit that is not there cannot be started. One that systemd says nothing of is not one of those.
"""

import units

OFF = ("inactive", "failed")
ON_AT_BOOT = ("enabled", "enabled-runtime", "linked", "linked-runtime", "alias", "generated")


def compared(name, state):
    if "LoadState" not in state or "ActiveState" not in state:
        raise SystemExit(f"systemd does not say what {name} is at")
    runs = state["ActiveState"] not in OFF or int(state.get("MainPID") or 0) != 0
    runs = runs or units.is_queued(state)
    there = state["LoadState"] != "not-found"
    found = state.get("UnitFileState", "")
    return {
        "name": name,
        "state": "{} ({}), {}".format(state["ActiveState"], state.get("SubState"), found or "?"),
        "stop": runs,
        "disable": there and found in ON_AT_BOOT,
        # What is masked in /run is so until the next boot.
        "mask": there and (state["LoadState"] != "masked" or found == "masked-runtime"),
    }


def answer(request):
    states = units.show(request["units"])
    found = [compared(name, states.get(name, {})) for name in request["units"]]
    if request["prove"]:
        for unit in found:
            if unit["stop"]:
                raise SystemExit("{name} is not stopped: {state}".format(**unit))
    return {"units": [unit for unit in found if unit["stop"] or unit["disable"] or unit["mask"]]}
