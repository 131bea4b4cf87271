#!/bin/sh
# Enable a pocket of the Ubuntu Cloud Archive, as add-apt-repository does.
# usage: sh -s -- KEYRING-PACKAGE POCKET   (this text on stdin, after lock_packages.sh), such as jammy-updates/antelope
set -eu
export DEBIAN_FRONTEND=noninteractive
file=/etc/apt/sources.list.d/cloudarchive-${2##*/}.list

apt-get -q -o DPkg::Lock::Timeout=300 update
apt-get -q -y -o DPkg::Lock::Timeout=300 install --no-install-recommends "$1"
former=$(mktemp)
[ ! -e "$file" ] || cp -p "$file" "$former"
printf 'deb http://ubuntu-cloud.archive.canonical.com/ubuntu %s main\n' "$2" >"$file"
# Enabled but never fetched it would be passed over, and the system's own release installed. What
# stood there before comes back: that an archive does not answer is no reason to remove it.
apt-get -q -o DPkg::Lock::Timeout=300 -o APT::Update::Error-Mode=any update || {
    if [ -s "$former" ]; then cp -p "$former" "$file"; else rm -f "$file"; fi
    rm -f "$former"
    exit 1
}
rm -f "$former"
