"""The lab's hosts: how they are reached and which ranges they use. Not read without a lab."""

ssh_user = "root"
ssh_key = "/var/lib/pyinfra-nova/lab/id_ed25519"
ssh_known_hosts_file = "/var/lib/pyinfra-nova/lab/known_hosts"
ssh_strict_host_key_checking = "yes"

# The way to the outside, and the network that guests' floating addresses come from. Each host has
# the same number in them as its my_ip has in management_network; this machine is number 1 in each.
nat_network = "10.0.2.0/24"
provider_network = "198.51.100.0/24"

# Cinder, with volumes on a Ceph of one disk; inventories/volumes has it (docs/storage.md).
block_storage = False
