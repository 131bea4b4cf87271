"""A systemctl and a journalctl on the path, which know the few commands that host scripts use."""

from __future__ import annotations

from pathlib import Path

SYSTEMCTL = """#!/bin/sh
# show --property=A,B UNIT...: of each unit the properties asked for that it has, and a blank line.
[ ! -e "${0%/*}/silence" ] || { cat "${0%/*}/silence" >&2; exit 1; }
cd "${0%/*}/units" || exit
case $1$2 in show--property=*) ;; *) echo "Unknown command: $*" >&2; exit 1 ;; esac
asked=$(echo "${2#*=}" | sed 's/,/|/g')
shift 2
blank=
for unit; do
    printf "$blank"
    blank='\\n'
    if [ -e "$unit" ]; then
        grep -E "^($asked)=" "$unit"
    else
        printf 'Id=%s.service\nLoadState=not-found\nActiveState=inactive\nSubState=dead\n' "$unit"
    fi
done
"""
JOURNALCTL = """#!/bin/sh
echo "of no interest" >&2
[ "$#" = 7 ] && [ "$1 $2 $3 $4 $5 $6" = "-q -n 20 -o cat -u" ] || exit 1
exec cat "${0%/*}/journal/$7"
"""


class Systemd:
    """What systemd says of units, and the journal of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name, text in (("systemctl", SYSTEMCTL), ("journalctl", JOURNALCTL)):
            (folder / name).write_text(text)
            (folder / name).chmod(0o755)
        for name in ("units", "journal"):
            (folder / name).mkdir()

    def says(self, unit: str, *, journal: str = "", **properties: object) -> None:
        """From now on this of UNIT, by default that it is loaded, enabled and runs."""
        known = {
            "Id": f"{unit}.service",
            "LoadState": "loaded",
            "ActiveState": "active",
            "SubState": "running",
            "UnitFileState": "enabled",
            "NeedDaemonReload": "no",
            "NRestarts": "0",
            "MainPID": "0",
            "Description": "what nobody asks for",
            **properties,
        }
        text = "".join(f"{key}={value}\n" for key, value in known.items())
        (self.folder / "units" / unit).write_text(text)
        (self.folder / "journal" / unit).write_text(journal)

    def is_silent(self, words: str | None) -> None:
        """From now on systemd answers nothing, for which systemctl has these WORDS; or it does."""
        if words is None:
            (self.folder / "silence").unlink()
        else:
            (self.folder / "silence").write_text(words)
