#!/bin/sh
# Upgrade all packages, on a host without guests; those that are held stay (apt-mark(8)).
# usage: sh -s --   (this text on stdin, after lock_packages.sh)
# Daemons are restarted by their packages: all of them are configured, so no guard is needed.
set -eu
export DEBIAN_FRONTEND=noninteractive APT_LISTCHANGES_FRONTEND=none NEEDRESTART_MODE=l
apt-get -q -o DPkg::Lock::Timeout=300 update </dev/null
# What an upgrade that was cut off has left asks about files that were changed by hand, as well.
dpkg --force-confdef --force-confold --configure -a </dev/null
apt-get -q -y -o DPkg::Lock::Timeout=300 \
    -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold dist-upgrade </dev/null
