"""All in one with everything in plain text: see group_data/lab.py beside this file."""

controllers = [
    ("controller", {"my_ip": "10.0.0.11", "ssh_hostname": "10.0.0.11"}),
]

computes = controllers
database = controllers
messaging = controllers

# The host that `./run lab` makes. Delete this group when you name a host of your own.
lab = controllers
