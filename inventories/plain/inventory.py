"""The lab's hosts with everything in plain text: see group_data/lab.py beside this file."""

controllers = [
    ("controller", {"my_ip": "10.0.0.11", "ssh_hostname": "10.0.0.11"}),
]

computes = [
    ("compute1", {"my_ip": "10.0.0.31", "ssh_hostname": "10.0.0.31"}),
    ("compute2", {"my_ip": "10.0.0.32", "ssh_hostname": "10.0.0.32"}),
]

database = controllers
messaging = controllers
lab = controllers + computes
