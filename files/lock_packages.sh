#!/bin/sh
# One at a time, whoever else installs packages here by these scripts; every one of them is sent
# after this text. In a folder that nobody but root may enter, so that no other user can hold it.
set -eu
lock=/run/pyinfra-nova/packages
(umask 077 && mkdir -p "${lock%/*}" && chmod 700 "${lock%/*}" && : >>"$lock" && chmod 600 "$lock")
exec 9>"$lock"
flock -w 900 9 || (
    exec 9>&- >&2
    echo "packages are being installed by another program: end it, or wait for it:"
    find /proc/[0-9]*/fd -lname "$lock" 2>/dev/null | cut -d/ -f3 | sort -nu | grep -vx "$$" |
        while read -r pid; do echo "$(cat "/proc/$pid/comm") (pid $pid)"; done
    exit 1
)
