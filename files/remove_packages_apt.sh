#!/bin/sh
# Remove packages; not with `purge`: nova-common's postrm would then delete /var/lib/nova, and with
# it whatever disks of guests are there.
# usage: sh -s -- PACKAGE...   (this text on stdin, after lock_packages.sh)
set -eu
export DEBIAN_FRONTEND=noninteractive
# nova-common's prerm drops cell0's database where debconf was once told to make it.
if command -v debconf-set-selections >/dev/null; then
    echo "nova-common nova/configure_db boolean false" | debconf-set-selections
fi
apt-get -q -y -o DPkg::Lock::Timeout=300 remove "$@"
