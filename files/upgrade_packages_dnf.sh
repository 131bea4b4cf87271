#!/bin/sh
# Upgrade all packages, on a host without guests; those that are locked stay (dnf versionlock).
# usage: sh -s --   (this text on stdin, after lock_packages.sh)
set -eu
dnf -y upgrade </dev/null
