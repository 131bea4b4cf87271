#!/bin/sh
# Upgrade all packages, on a host without guests; those that are held stay (apt-mark(8)).
# usage: sh -s --   (this text on stdin, after lock_packages.sh)
# Daemons are restarted by their packages: all of them are configured, so no guard is needed.
set -eu
export DEBIAN_FRONTEND=noninteractive APT_LISTCHANGES_FRONTEND=none NEEDRESTART_MODE=l
apt-get -q -o DPkg::Lock::Timeout=300 update
dpkg --configure -a
apt-get -q -y -o DPkg::Lock::Timeout=300 \
    -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold dist-upgrade
