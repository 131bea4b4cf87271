"""The hosts. These are the lab's; name your own, with their addresses on management_network.

`my_ip` is an address of the host itself, `ssh_hostname` where pyinfra reaches it. A host may be
in several groups. `nova_host` sets another name in Nova than the one here.
"""

controllers = [
    ("controller", {"my_ip": "10.0.0.11", "ssh_hostname": "10.0.0.11"}),
]

computes = [
    ("compute1", {"my_ip": "10.0.0.31", "ssh_hostname": "10.0.0.31"}),
    ("compute2", {"my_ip": "10.0.0.32", "ssh_hostname": "10.0.0.32"}),
]

# Where MariaDB and RabbitMQ run. Empty, with manage_database or manage_messaging = False in
# group_data/all.py, if somebody else runs them.
database = controllers
messaging = controllers

# The hosts that `./run lab` makes. Delete this group when you name hosts of your own.
lab = controllers + computes
