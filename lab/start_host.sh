# Runs one host of the lab, until it is powered off.
# usage: sh start_host.sh OVERLAY-OPTIONS ROOT CONTROL-GROUP v1|v2 "VETH:BRIDGE ..." COMMAND...
# It has a mount namespace of its own, so that its mounts go when it goes.
set -e
overlay=$1 root=$2 group=/sys/fs/cgroup/$3 layout=$4 interfaces=$5
shift 5
mount -t overlay -o "$overlay" pyinfra-nova-lab "$root"
# In the version 1 layout libvirt in a host could not start a guest.
[ "$layout" = v2 ] || mount -t cgroup2 none /sys/fs/cgroup
# nspawn's locks would stay behind when it is ended at once; the lab has its own.
export SYSTEMD_NSPAWN_LOCK=0

enter() { mkdir -p "$group/$1" && echo $$ >"$group/$1/cgroup.procs"; }

attach() {
    for pair in $interfaces; do
        tries=0
        until [ -e "/sys/class/net/${pair%:*}" ] || [ $tries = 300 ]; do
            tries=$((tries + 1))
            sleep 0.05
        done
        ip link set "${pair%:*}" master "${pair#*:}" up
    done
}

# nspawn wants a group without other processes to make its own in.
enter keeper
while :; do
    attach &
    status=0
    (
        # $$ is the outer shell's number.
        mkdir -p "$group/host"
        sh -c 'echo $PPID' >"$group/host/cgroup.procs"
        exec "$@"
    ) || status=$?
    # This is how nspawn says that the host wants to be booted again (systemd, EXIT_FORCE_RESTART).
    [ $status = 133 ] || exit $status
done
