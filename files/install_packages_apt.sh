#!/bin/sh
# Install packages without starting their half-configured daemons.
# usage: sh -s -- PACKAGE...   (this text on stdin, after lock_packages.sh)
# Debian's packages start their daemons at once; unconfigured ones crash and are restarted for ever
# and take the machine with them. policy-rc.d is Debian's own way to say no (invoke-rc.d(8)).
# Another run's guard is not taken for one that was left behind: lock_packages.sh is before this.
set -eu
guard=/usr/sbin/policy-rc.d
mark='# pyinfra-nova: nothing is started while packages are installed'
export DEBIAN_FRONTEND=noninteractive APT_LISTCHANGES_FRONTEND=none

lift() {
    if grep -qsF "$mark" "$guard"; then rm -f "$guard"; fi
    if [ -e "$guard.kept" ]; then mv -f "$guard.kept" "$guard"; fi
}
trap lift EXIT
trap 'exit 1' HUP INT TERM

lift
if [ -e "$guard" ]; then mv -f "$guard" "$guard.kept"; fi
printf '#!/bin/sh\n%s\nexit 101\n' "$mark" >"$guard"
chmod 755 "$guard"

lists=/var/lib/apt/lists
sources="/etc/apt/sources.list /etc/apt/sources.list.d"
if [ -z "$(find "$lists" -maxdepth 1 -name '*Packages*' -mmin -1440 2>/dev/null | head -n 1)" ] ||
    [ -n "$(find $sources -newer "$lists" 2>/dev/null | head -n 1)" ]; then
    apt-get -q -o DPkg::Lock::Timeout=300 update
fi
dpkg --configure -a
apt-get -q -y -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confold \
    install --no-install-recommends "$@"
# nova-common gives its folders to nova when it is installed first, but not when it comes back after
# a removal, which has taken the empty ones (its postinst). While the guard is there, so that a run
# that is cut off here is made up for.
dpkg -L nova-common 2>/dev/null | grep '^/var/lib/nova/' | while read -r path; do
    find "$path" -maxdepth 0 -user root -exec chown -h nova:nova {} + || true
done
lift
trap - EXIT

# What the guard kept D-Bus and polkit from learning: libvirtd asks polkit over D-Bus.
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    systemctl try-reload-or-restart dbus.service 2>/dev/null || true
    systemctl try-restart polkit.service 2>/dev/null || true
fi
