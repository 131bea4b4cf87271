"""The machines of lab/virtualbox/Vagrantfile: Ubuntu 22.04, reached as Vagrant's user with sudo."""

_MACHINES = "lab/virtualbox/.vagrant/machines"


def _host(name, address):
    return (
        name,
        {
            "my_ip": address,
            "ssh_hostname": address,
            "ssh_user": "vagrant",
            # Vagrant makes one for each machine at its first start.
            "ssh_key": f"{_MACHINES}/{name}/virtualbox/private_key",
            # Machines that are made anew have new host keys.
            "ssh_known_hosts_file": f"{_MACHINES}/{name}/virtualbox/known_hosts",
            "ssh_strict_host_key_checking": "accept-new",
            "_sudo": True,
        },
    )


controllers = [_host("controller", "10.0.0.11")]
computes = [_host("compute1", "10.0.0.31")]
database = controllers
messaging = controllers
