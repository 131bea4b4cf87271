#!/bin/sh
# Install packages. Those of RPM start no daemon, so nothing is guarded here.
# usage: sh -s -- PACKAGE...   (this text on stdin)
set -eu
# One at a time, as install_packages_apt.sh.
exec 9>/run/pyinfra-nova.packages
flock -w 900 9
dnf -y --setopt=install_weak_deps=False install "$@"
