"""What holds for the whole site. Every key but management_network may be left out.

CONTROLLER below stands for controller_host, REGION for region. An unknown key is an error that
names the file and the key. Passwords are in secrets.yml, addresses of hosts in inventory.py.
"""

release = "zed"
region = "RegionOne"

# The network that the hosts' my_ip are in: API, database, broker and VNC traffic between hosts.
management_network = "10.0.0.0/24"

# The name in every URL; it has to resolve on every host. Default: the first controller's name.
# controller_host = "controller"

# What a deploy may create and bring in line. False: it is there already, and only used.
manage_database = True  # databases, user, grants; on the first host of the group `database`
manage_messaging = True  # RabbitMQ user; on the first host of the group `messaging`
manage_identity = True  # Keystone user with role `service`, service, endpoints

database = {
    # "host": "CONTROLLER",  # or the first host of the group `database`
    "port": 3306,
    "user": "nova",
    "nova_api": "nova_api",
    "nova": "nova",
    "nova_cell0": "nova_cell0",
}

messaging = {
    # "hosts": ["CONTROLLER"],  # or the hosts of the group `messaging`, all of one cluster
    # "port": 5672,  # 5671 where `tls` is on
    "user": "openstack",
    "virtual_host": "/",
}

# memcached_servers = ["CONTROLLER:11211"]

keystone = {
    # "auth_url": "http://CONTROLLER:5000/v3",
    # "www_authenticate_uri": "http://CONTROLLER:5000/v3",
    "username": "nova",
    "project_name": "service",
    "user_domain_name": "Default",
    "project_domain_name": "Default",
    "admin": {
        "username": "admin",
        "project_name": "admin",
        "user_domain_name": "Default",
        "project_domain_name": "Default",
    },
}

# The compute service in Keystone's catalogue.
# endpoints = {
#     "public": "http://CONTROLLER:8774/v2.1",  # 8774 is apis["osapi_compute_listen_port"]
#     "internal": "http://CONTROLLER:8774/v2.1",
#     "admin": "http://CONTROLLER:8774/v2.1",
# }

placement = {
    # "auth_url": keystone's, "region_name": "REGION",
    "username": "placement",
    "project_name": "service",
    "user_domain_name": "Default",
    "project_domain_name": "Default",
    "valid_interfaces": ["internal", "public"],
}

neutron = {
    # "auth_url": keystone's, "region_name": "REGION",
    "username": "neutron",
    "project_name": "service",
    "user_domain_name": "Default",
    "project_domain_name": "Default",
    "valid_interfaces": ["internal", "public"],
    "service_metadata_proxy": True,
}

glance = {
    # "region_name": "REGION",
    "valid_interfaces": ["internal", "public"],
    # "api_servers": ["http://controller:9292"],  # only if the catalogue cannot be used
}

cinder = {
    # "os_region_name": "REGION",
    # "catalog_info": "volumev3::internalURL",  # Nova's choice is volumev3::publicURL
    # "cross_az_attach": False,  # Nova's choice is True
}

# Where the APIs listen, on controllers; "$my_ip" is the host's own management address. The URLs of
# `endpoints` have the first port unless they are given; Neutron's metadata agents have to be told
# the second one (nova_metadata_port).
apis = {
    "osapi_compute_listen": "0.0.0.0",
    "osapi_compute_listen_port": 8774,
    "metadata_listen": "0.0.0.0",
    "metadata_listen_port": 8775,
}

vnc = {
    "enabled": True,
    # The proxy, on controllers. The URL is what a user's browser opens.
    "novncproxy_host": "0.0.0.0",
    "novncproxy_port": 6080,
    # "novncproxy_base_url": "http://CONTROLLER:6080/vnc_auto.html",
    # The guests' screens, on computes; "$my_ip" is the host's own management address. They ask for
    # no password, so they do not belong on 0.0.0.0.
    "server_listen": "$my_ip",
    "server_proxyclient_address": "$my_ip",
}

# Processes and threads on each controller; more of them also take more database connections.
workers = {
    "api_processes": 2,
    "api_threads": 1,
    "metadata_processes": 2,
    "metadata_threads": 8,
    "conductor": 2,
    "scheduler": 2,
}

# Seconds between two reports of a service that it is there, and without one until it is called
# down, at least twice as many. Each is written to the database: many computes need longer ones.
report_interval = 10
service_down_time = 60

# Whether a compute takes guests as soon as it has registered, or once a deploy has proven it.
enable_new_services = False

# What proves a new compute before it takes guests: one of its own, which has to run, to reach its
# network, to show a screen, and to get a volume where there is Cinder. None: its services alone.
# smoke_guest = {
#     "image": "cirros", "network": "private",  # by name; the network with DHCP
#     "ram": 512,
#     "expects": "up, address",  # on its console, a regular expression; else one of its addresses
#     "volume": True,
#     "timeout": 600,
#     "at_once": 10,
# }

# How guests are moved away from computes of state "drained" or "retired": how many at once from one
# compute and from all, how many seconds a move may take, and what becomes of a live one that takes
# longer: "abort" leaves its guest where it is, "force_complete" pauses it until it has moved,
# or has it go on over there at once where nova.conf permits post-copy.
drain = {
    "at_once_per_host": 1,
    "at_once": 4,
    "timeout": 600,
    "then": "abort",
}

# Read only where nova-api is one eventlet server: Ubuntu and EL9, up to 2025.1. Elsewhere each API
# has a server of its own.
enabled_apis = ["osapi_compute", "metadata"]

# What is done for the cloud by timers on the first controller; None leaves a part out.
care = {
    # Deleted rows go to the shadow tables, and from there for good, so many days later.
    "archive": {"days": 30, "at": "03:10", "batch": 1000, "pause": 1},
    "purge": {"days": 90, "at": "04:10"},
    # Minutes between two audits of the cloud's records, and between two pages of metrics for
    # Prometheus' node_exporter, which are written only where it has this folder.
    "audit": {"every": 60},
    "metrics": {"every": 1, "folder": "/var/lib/prometheus/node-exporter"},
    # A backup each day on the first controller, encrypted for whoever has the key of `recipient`.
    # "backup": {"at": "02:10", "keep": 14, "folder": "/var/backups/pyinfra-nova",
    #            "recipient": "age1..."},
}

# What a backup holds beside Nova's own databases: others on the same server, each with the units on
# controllers that use it; those that are not there are left out, and None leaves one out.
backup = {
    "also": {
        "placement": ["placement-api"],
        "neutron": [
            "neutron-server",
            "neutron-api",
            "neutron-rpc-server",
            "neutron-periodic-workers",
        ],
    },
}

# Whether what goes between hosts is encrypted (docs/tls.md): "off"; "internal" with certificates of
# authorities of the project's own, which are made of tls_secret in secrets.yml; "provided" with
# those that the site makes. What group_data/lab.py says of it holds for the lab.
tls = {
    "mode": "off",
    # "certificates": "certificates",  # the folder on this machine with those that are provided
    # "cafile": "company-ca.pem",  # on this machine: authorities of services that others run
    "days": 90,  # how long a certificate is good for,
    "renew_days": 30,  # and how long before its end a deploy makes a new one
    "minimum_version": "1.2",  # or "1.3"
}

# Any other option of nova.conf, written literally: {"section": {"option": value}}. None takes an
# option out; a list is written with commas, or several times where the option may be given so. Also
# in controllers.py, computes.py and for a single host; the more particular place wins. What other
# places depend on, ports and log files, say, is refused under any of its names.
nova_conf = {}
