"""A controller and two computes that are reached by SSH, if anybody asks them."""

controllers = [("controller", {"my_ip": "10.0.0.11", "ssh_hostname": "127.0.0.1", "ssh_port": 9})]
computes = [
    ("compute1", {"my_ip": "10.0.0.31", "ssh_hostname": "127.0.0.1", "ssh_port": 9}),
    ("compute2", {"my_ip": "10.0.0.32", "ssh_hostname": "127.0.0.1", "ssh_port": 9}),
]
