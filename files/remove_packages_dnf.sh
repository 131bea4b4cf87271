#!/bin/sh
# Remove packages, and nothing that they needed: guests of others may run on it.
# usage: sh -s -- PACKAGE...   (this text on stdin, after lock_packages.sh)
set -eu
dnf -y --setopt=clean_requirements_on_remove=False remove "$@"
