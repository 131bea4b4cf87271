#!/bin/sh
# Install packages. Those of RPM start no daemon, so nothing is guarded here.
# usage: sh -s -- PACKAGE...   (this text on stdin, after lock_packages.sh)
set -eu
dnf -y --setopt=install_weak_deps=False install "$@"
