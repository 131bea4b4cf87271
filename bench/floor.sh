#!/bin/sh
# The floor: the Nova deployment that this project does, typed as a bare shell script with no check,
# no comparison and no healing. Fast hosts and a fast network do not make a deploy faster than this.
# usage: floor.sh SSH_CONFIG FILES CONTROLLER COMPUTE...
#   FILES/HOST/ holds the files to write on each host, by their paths; FILES/secrets.env the
#   passwords, quoted for where they are used: SQL, and a shell; FILES/HOST.owners the commands that
#   give a host's certificates to who reads them
# FLOOR_DEADLINE: seconds in which the API has to answer, and the computes to be there
set -eu
deadline=${FLOOR_DEADLINE:-180}
ssh_config=$1 files=$2 controller=$3
shift 3
. "$files/secrets.env"
scheme=${SCHEME:-http} cafile=${CAFILE:-}

on() {
    name=$1
    shift
    ssh -F "$ssh_config" "$name" "$@"
}

install='export DEBIAN_FRONTEND=noninteractive
printf "#!/bin/sh\nexit 101\n" >/usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
apt-get -q update
apt-get -q -y -o Dpkg::Options::=--force-confold install --no-install-recommends'

# For a shell on a host, in which $deadline is set: wait until a command succeeds, or end.
wait_for='wait_for() {
    what=$1 over=$(($(date +%s) + deadline))
    shift
    until "$@"; do
        [ "$(date +%s)" -lt "$over" ] || { echo "$what: not within $deadline s" >&2; exit 1; }
        sleep 0.5
    done
}'

copy_files() {
    tar -C "$files/$1" -cf - . | on "$1" 'tar -C / --no-same-owner --no-overwrite-dir -xf - &&
        chown root:nova /etc/nova/*.conf && chmod 640 /etc/nova/*.conf'
    [ ! -s "$files/$1.owners" ] || on "$1" sh -e <"$files/$1.owners"
}

controller_side() {
    on "$controller" 'echo NOVA_CONSOLE_PROXY_TYPE=novnc >/etc/default/nova-consoleproxy'
    on "$controller" "$install nova-api nova-conductor nova-scheduler nova-consoleproxy
        rm /usr/sbin/policy-rc.d"
    copy_files "$controller"
    on "$controller" mysql <<SQL
CREATE DATABASE nova_api; CREATE DATABASE nova; CREATE DATABASE nova_cell0;
CREATE USER nova@'%' IDENTIFIED BY $NOVA_DATABASE_PASSWORD;
GRANT ALL ON nova_api.* TO nova@'%'; GRANT ALL ON nova.* TO nova@'%';
GRANT ALL ON nova_cell0.* TO nova@'%';
SQL
    on "$controller" sh -s <<SHELL
set -e
printf '%s\\n' $MESSAGING_PASSWORD | rabbitmqctl -q add_user openstack
rabbitmqctl -q set_permissions openstack '.*' '.*' '.*'
openstack user create --domain default --password $NOVA_PASSWORD nova
openstack role add --project service --user nova admin
openstack role add --project service --user nova service
openstack service create --name nova --description 'OpenStack Compute' compute
for interface in public internal admin; do
    openstack endpoint create --region RegionOne compute \$interface $scheme://$controller:8774/v2.1
done
runuser -u nova -- nova-manage api_db sync
runuser -u nova -- nova-manage cell_v2 map_cell0 \
    --database_connection '{scheme}://{username}:{password}@{hostname}:{port}/nova_cell0?{query}'
runuser -u nova -- nova-manage cell_v2 create_cell --name cell1 --verbose
runuser -u nova -- nova-manage db sync
units='nova-api nova-api-metadata nova-conductor nova-scheduler nova-novncproxy'
systemctl enable \$units
systemctl restart \$units
deadline=$deadline
$wait_for
answers() {
    case $scheme in
    https) curl -sf --cacert $cafile https://$controller:8774/ ;;
    *) curl -sf http://$controller:8774/ ||
        python3 -c "import urllib.request as u; u.urlopen('http://$controller:8774/')" ;;
    esac
}
wait_for 'nova-api answers' answers
SHELL
}

compute_side() {
    on "$1" "$install nova-compute nova-compute-kvm genisoimage
        rm /usr/sbin/policy-rc.d
        systemctl daemon-reload
        systemctl try-reload-or-restart dbus
        systemctl try-restart polkit || true"
    copy_files "$1"
}

compute_start() {
    on "$1" 'systemctl enable libvirtd nova-compute && systemctl restart libvirtd nova-compute'
}

controller_side &
controller_job=$!
jobs=
for compute in "$@"; do
    compute_side "$compute" &
    jobs="$jobs $!"
done
for job in $controller_job $jobs; do wait "$job"; done
jobs=
for compute in "$@"; do
    compute_start "$compute" &
    jobs="$jobs $!"
done
for job in $jobs; do wait "$job"; done

on "$controller" sh -s <<SHELL
set -e
deadline=$deadline
$wait_for
there() {
    [ "\$(mysql -N -e 'SELECT COUNT(*) FROM nova.compute_nodes')" = $# ]
}
wait_for '$# compute nodes are in the database' there
runuser -u nova -- nova-manage cell_v2 discover_hosts --verbose
openstack hypervisor list
nova-status upgrade check
SHELL
