"""The lab's hosts: how they are reached and which ranges they use. Not read without a lab."""

ssh_user = "root"
ssh_key = "/var/lib/pyinfra-nova/lab/id_ed25519"
ssh_known_hosts_file = "/var/lib/pyinfra-nova/lab/known_hosts"
ssh_strict_host_key_checking = "yes"

# The way to the outside, and the network that guests' floating addresses come from. Each host has
# the same number in them as its my_ip has in management_network; this machine is number 1 in each.
nat_network = "10.0.2.0/24"
provider_network = "198.51.100.0/24"

# Volumes are on Ceph, once `./run workshop` or `./run lab up --volumes` has brought it: libvirt has
# its key, rbd_secret_key of secrets.yml, under this UUID (docs/storage.md).
libvirt = {"rbd_secret_uuid": "457eb676-33da-42ec-9a8c-9293d545c337"}

# Whether what goes between the lab's hosts is encrypted (docs/lab.md), whatever group_data/all.py
# says of it for all sites.
tls = {"mode": "internal"}
