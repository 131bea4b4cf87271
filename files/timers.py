"""What keeps timers of systemd from being as they should; nothing is changed.

Request: {"timers": [names]}
Answer:  {"reload": bool, "start": [timers], "enable": [timers]}
`reload`: systemd has read another file than there is now, or none.
"""

import subprocess

PROPERTIES = "Id,LoadState,ActiveState,UnitFileState,NeedDaemonReload"


def shown(names):
    """The properties of units by name."""
    done = subprocess.run(
        ["systemctl", "show", "--property", PROPERTIES, *names],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found = {}
    for block in done.stdout.strip().split("\n\n"):
        values = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        found[values.get("Id")] = values
    return found


def answer(request):
    timers = request["timers"]
    services = [name.replace(".timer", ".service") for name in timers]
    states = shown([*timers, *services]) if timers else {}
    return {
        "reload": any(
            states.get(name, {}).get("NeedDaemonReload") == "yes"
            or states.get(name, {}).get("LoadState") != "loaded"
            for name in (*timers, *services)
        ),
        "start": [n for n in timers if states.get(n, {}).get("ActiveState") != "active"],
        "enable": [n for n in timers if states.get(n, {}).get("UnitFileState") != "enabled"],
    }
