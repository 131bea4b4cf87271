#!/bin/sh
# Enable RDO's repository of a release, and those that its packages depend on.
# usage: sh -s -- RELEASE-PACKAGE REPOSITORY-ID...   (this text on stdin, after lock_packages.sh)
set -eu
dnf -y --setopt=install_weak_deps=False install dnf-plugins-core "$1"
shift
for id; do
    dnf config-manager --set-enabled "$id"
done
# What is enabled but cannot be fetched is told now; with the lists here, the plan of what comes next
# is complete.
dnf -q makecache
