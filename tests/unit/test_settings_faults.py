"""What is wrong with settings, in the whole line that an operator reads."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.site_data import faults, host_faults

LONG = "x" * 300


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"relase": "zed"}, "relase: unknown key; did you mean 'release'?"),
        ({"neutron": {"usrname": "x"}}, "neutron.usrname: unknown key; did you mean 'username'?"),
        (
            {"neutron": {"password": "x"}},
            "neutron.password: unknown key; passwords belong in secrets.yml",
        ),
        ({"keystone": {"admin": {"usr": "x"}}}, "keystone.admin.usr: unknown key"),
        (
            {"keystone": {"admin": {"usernam": "x"}}},
            "keystone.admin.usernam: unknown key; did you mean 'username'?",
        ),
        (
            {"care": {"archive": {"dayz": 9}}},
            "care.archive.dayz: unknown key; did you mean 'days'?",
        ),
        (
            {"pci": {"device_spec": [{"vendor": "8086", "product_id": "1520"}]}},
            "pci.device_spec.0.vendor: unknown key; did you mean 'vendor_id'?",
        ),
        (
            {"use_neutron": True},
            "use_neutron: Nova knows no other network service than Neutron since Ussuri; "
            "leave it out",
        ),
        (
            {"firewall_driver": "x"},
            "firewall_driver: it belonged to nova-network, which is gone since Ussuri; "
            "Neutron filters; leave it out",
        ),
        (
            {"management_network": "10.0.0.0/99"},
            "management_network: '10.0.0.0/99' is not a network like 10.0.0.0/24",
        ),
        (
            {"management_network": "10.0.0.1/24"},
            "management_network: '10.0.0.1/24' is an address in a network; did you mean "
            "'10.0.0.0/24'?",
        ),
        ({"management_network": None}, "management_network: input is not a valid IPv4 network"),
        (
            {"release": "zedd"},
            "release: 'zedd' is not a release known here; known are yoga, zed, 2023.1, "
            "2023.2, 2024.1, 2024.2, 2025.1, 2025.2, 2026.1, 2026.2",
        ),
        ({"controller_host": "my host"}, "controller_host: 'my host' is not a host name"),
        ({"controller_host": "-x"}, "controller_host: '-x' is not a host name"),
        ({"region": ""}, "region: is empty"),
        ({"region": "a\nb"}, "region: contains a newline"),
        ({"database": {"port": 0}}, "database.port: input should be greater than or equal to 1"),
        (
            {"database": {"port": "many"}},
            "database.port: is text: write it without quotes",
        ),
        (
            {"database": "controller"},
            "database: input should be a valid dictionary or instance of Database",
        ),
        (
            {"database": {"nova": "no-va"}},
            "database.nova: 'no-va' is not a plain SQL name (letters, digits, _)",
        ),
        (
            {"database": {"nova": "nova_api"}},
            "database: nova_api, nova and nova_cell0 are not three names: nova_api, "
            "nova_api, nova_cell0",
        ),
        (
            {"messaging": {"hosts": []}},
            "messaging.hosts: list should have at least 1 item after validation, not 0",
        ),
        (
            {"messaging": {"virtual_host": "a#b"}},
            "messaging.virtual_host: 'a#b' is neither / nor made of letters, digits, '.', "
            "'_' and '-'",
        ),
        (
            {"keystone": {"auth_url": "controller:5000"}},
            "keystone.auth_url: 'controller:5000' is not a URL like http://controller:5000/v3",
        ),
        (
            {"keystone": {"auth_url": "http://[::1"}},
            "keystone.auth_url: 'http://[::1' is not a URL",
        ),
        (
            {"keystone": {"auth_url": "http://x:99999"}},
            "keystone.auth_url: 'http://x:99999' is not a URL",
        ),
        (
            {"endpoints": {"public": "http://u:p@x"}},
            "endpoints.public: holds a user name or password, which belong in secrets.yml",
        ),
        (
            {"vnc": {"server_listen": "any"}},
            "vnc.server_listen: 'any' is neither $my_ip nor an IPv4 address",
        ),
        (
            {"workers": {"api_processes": 0}},
            "workers.api_processes: input should be greater than or equal to 1",
        ),
        (
            {"glance": {"valid_interfaces": ["inner"]}},
            "glance.valid_interfaces.0: must be 'public', 'internal' or 'admin'",
        ),
        ({"enabled_apis": ["ec2"]}, "enabled_apis.0: must be 'osapi_compute' or 'metadata'"),
        (
            {"manage_database": "perhaps"},
            "manage_database: is text: write it without quotes",
        ),
        ({"libvirt": {"virt_type": "xen"}}, "libvirt.virt_type: must be 'auto', 'kvm' or 'qemu'"),
        ({"nova_conf": "x"}, "nova_conf: is not {section: {option: value}}"),
        ({"nova_conf": {"DEFAULT": 3}}, "nova_conf.DEFAULT: is not {option: value}"),
        (
            {"nova_conf": {"default": {}}},
            "nova_conf.default: unknown section; did you mean 'DEFAULT'?",
        ),
        ({"nova_conf": {"a]b": {}}}, "nova_conf.a]b: is not a section name"),
        (
            {"nova_conf": {"api": {"a-b": 1}}},
            "nova_conf.api.a-b: is not an option name; write it as nova.conf does, with _ "
            "rather than -",
        ),
        ({"nova_conf": {"api": {"a": "b\nc"}}}, "nova_conf.api.a: contains a newline"),
        ({"nova_conf": {"api": {"a": ["b", "\x00"]}}}, "nova_conf.api.a: contains a NUL byte"),
        (
            {"nova_conf": {"api": {"a": {"b": 1}}}},
            "nova_conf.api.a: is not a text, number, boolean, list of texts or None",
        ),
        (
            {"nova_conf": {"DEFAULT": {"use_neutron": True}}},
            "nova_conf.DEFAULT.use_neutron: Nova knows no other network service than Neutron "
            "since Ussuri; leave it out",
        ),
        (
            {"nova_conf": {"service_user": {"auth_strategy": "x"}}},
            "nova_conf.service_user.auth_strategy: that section never had this option, "
            "although installation guides show it; leave it out",
        ),
        (
            {"nova_conf": {"DEFAULT": {"my_ip": "1.2.3.4"}}},
            "nova_conf.DEFAULT.my_ip: is decided by the settings; set `my_ip` of the host",
        ),
        (
            {"nova_conf": {"Placement": {"password": "x"}}},
            "nova_conf.Placement.password: is decided by the settings; set "
            "placement_password in secrets.yml",
        ),
        (
            {"nova_conf": {"libvirt": {"virt_type": "kvm"}}},
            "nova_conf.libvirt.virt_type: is decided by the settings; set `libvirt` in "
            "group_data/computes.py or of the host",
        ),
        ({"nova_confs": {}}, "nova_confs: unknown key"),
        ({"secrets_file": "x"}, "secrets_file: unknown key; passwords belong in secrets.yml"),
        ({"PASSWD": "x"}, "PASSWD: unknown key; passwords belong in secrets.yml"),
        ({"region": "a "}, "region: begins or ends with a space"),
        ({"region": "x" * 256}, "region: is longer than 255 characters"),
        ({"region": "\u2028"}, "region: is empty"),
        ({"region": 5}, "region: input should be a valid string"),
        ({"region": None}, "region: input should be a valid string"),
        ({"memcached_servers": ["a b:1"]}, "memcached_servers.0: 'a b' is not a host name"),
        (
            {"memcached_servers": ["cache:0"]},
            "memcached_servers.0: 'cache:0' is not a host name and a port",
        ),
        (
            {"memcached_servers": ["cache:65536"]},
            "memcached_servers.0: 'cache:65536' is not a host name and a port",
        ),
        (
            {"memcached_servers": ["cache:"]},
            "memcached_servers.0: 'cache:' is not a host name and a port",
        ),
        (
            {"memcached_servers": []},
            "memcached_servers: list should have at least 1 item after validation, not 0",
        ),
        (
            {"database": {"user": "-nova"}},
            "database.user: is not made of at most 80 letters, digits, '.', '_', '-', '+' and '@'",
        ),
        (
            {"backup": {"also": {"placement": ["a b"]}}},
            "backup.also.placement.0: 'a b' is not the name of a unit of systemd",
        ),
        (
            {"keystone": {"auth_url": "http://x/\xe9"}},
            "keystone.auth_url: 'http://x/\xe9' holds a character that no URL has",
        ),
        (
            {"keystone": {"auth_url": "ftp://x"}},
            "keystone.auth_url: 'ftp://x' is not a URL like http://controller:5000/v3",
        ),
        (
            {"keystone": {"auth_url": "http:///v3"}},
            "keystone.auth_url: 'http:///v3' is not a URL like http://controller:5000/v3",
        ),
        (
            {"keystone": {"auth_url": "http://x:0"}},
            "keystone.auth_url: 'http://x:0' is not a URL like http://controller:5000/v3",
        ),
        (
            {"keystone": {"auth_url": "http://u@x"}},
            "keystone.auth_url: holds a user name or password, which belong in secrets.yml",
        ),
        (
            {"keystone": {"auth_url": "http://u:p@x:99999"}},
            "keystone.auth_url: the value is not a URL",
        ),
        (
            {"glance": {"api_servers": ["http://a,http://b"]}},
            "glance.api_servers.0: 'http://a,http://b' holds a comma",
        ),
        (
            {"cinder": {"catalog_info": "volumev3::none"}},
            "cinder.catalog_info: 'volumev3::none' is not like volumev3::internalURL",
        ),
        (
            {"cinder": {"catalog_info": "block-storage::publicURL"}},
            "cinder.catalog_info: 'block-storage::publicURL' has a hyphen, which Nova of zed "
            "does not take; take volumev3, and have Cinder in the catalogue under that type",
        ),
        (
            {"apis": {"metadata_listen": "::1"}},
            "apis.metadata_listen: '::1' is neither $my_ip nor an IPv4 address",
        ),
        (
            {"apis": {"metadata_listen_port": 8774}},
            "apis: the APIs and the console proxy need a port each, not [8774, 8774, 6080]",
        ),
        (
            {"vnc": {"novncproxy_port": 8775}},
            "vnc.novncproxy_port: the APIs and the console proxy need a port each, "
            "not [8774, 8775, 8775]",
        ),
        (
            {"service_down_time": 19},
            "service_down_time: is less than twice report_interval, which is 10",
        ),
        (
            {"report_interval": 31},
            "service_down_time: is less than twice report_interval, which is 31",
        ),
        ({"libvirt": {"rbd_user": "a"}}, "libvirt: rbd_user needs rbd_secret_uuid"),
        (
            {"libvirt": {"rbd_secret_uuid": "457EB676"}},
            "libvirt.rbd_secret_uuid: '457EB676' is not a UUID (`uuidgen` makes one)",
        ),
        (
            {"libvirt": {"cpu_mode": "custom", "cpu_models": ["a b"]}},
            "libvirt.cpu_models.0: 'a b' is not the name of a CPU model",
        ),
        (
            {"state_reason": "AUTO: mine"},
            "state_reason: begins as Nova's own reasons do, which it takes back by itself",
        ),
        (
            {"state_reason": "\U00010000"},  # a fourth byte
            "state_reason: holds '\U00010000', which Nova's database cannot keep",
        ),
        (
            {"state_reason": "a \U0001f600"},
            "state_reason: holds '\U0001f600', which Nova's database cannot keep",
        ),
        ({"nova_conf": {3: {}}}, "nova_conf.3: is not a section name"),
        (
            {"nova_conf": {"api": {3: 1}}},
            "nova_conf.api.3: is not an option name; write it as nova.conf does, with _ "
            "rather than -",
        ),
        (
            {"nova_conf": {"api": {"a": 18446744073709551616}}},
            "nova_conf.api.a: is a number of more than 64 bits",
        ),
        (
            {"nova_conf": {"api": {"a": [1]}}},
            "nova_conf.api.a: is not a text, number, boolean, list of texts or None",
        ),
        (
            {"nova_conf": {"DEFAULT": {"state_path": "/srv"}}},
            "nova_conf.DEFAULT.state_path: is not to be changed: the packages' units and "
            "rights, the WSGI servers and the SSH keys that move guests know the packages' "
            "folder; mount what has the room there; guests' disks alone are elsewhere with "
            "instances_path",
        ),
        ({"controller_host": "a" * 64}, f"controller_host: '{'a' * 64}' is not a host name"),
        (
            {"controller_host": "a." * 126 + "aa"},
            f"controller_host: '{'a.' * 40}…' is not a host name",
        ),
        ({"controller_host": f"-{'x' * 79}"}, f"controller_host: '-{'x' * 79}' is not a host name"),
        (
            {"controller_host": f"-{'x' * 80}"},
            f"controller_host: '-{'x' * 79}…' is not a host name",
        ),
        (
            {"keystone": {"auth_url": "http://nova:hun\nter2@keystone"}},
            "keystone.auth_url: the value holds a character that no URL has",
        ),
        ({"region": LONG}, "region: is longer than 255 characters"),
        (
            {"keystone": {"auth_url": f"http://{LONG}/ "}},
            f"keystone.auth_url: 'http://{'x' * 73}…' holds a character that no URL has",
        ),
    ],
)
def test_a_fault_of_the_site_names_file_and_key(data: dict[str, Any], said: str) -> None:
    assert faults(data) == [f"group_data/all.py: {said}"]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"my_ipp": "10.0.0.3"}, "my_ipp: unknown key; did you mean 'my_ip'?"),
        (
            {"use_neutron": True},
            "use_neutron: Nova knows no other network service than Neutron since Ussuri; "
            "leave it out",
        ),
        ({"ssh_hostnam": "x"}, "ssh_hostnam: unknown key; did you mean 'ssh_hostname'?"),
        ({"region": "x"}, "region: holds for the whole site; set it in group_data/all.py"),
        ({"my_ip": "10.0.0.300"}, "my_ip: '10.0.0.300' is not an IPv4 address"),
        (
            {"my_ip": "10.0.2.15"},
            "my_ip: 10.0.2.15 is not in management_network 10.0.0.0/24 (group_data/all.py)",
        ),
        ({"my_ip": "10.0.0.11"}, "my_ip: 10.0.0.11 is also that of controller"),
        ({"my_ip": "10.0.0.0"}, "my_ip: 10.0.0.0 is the network itself"),
        ({"my_ip": "10.0.0.255"}, "my_ip: 10.0.0.255 is the broadcast address"),
        (
            {"my_ip": None},
            'my_ip: is missing; give it its management address: ("compute1", {"my_ip": "..."})',
        ),
        ({"nova_host": "a b"}, "nova_host: 'a b' is not a host name"),
        ({"nova_host": "Controller"}, "nova_host: 'Controller' is also the name of controller"),
        ({"libvirt": {"virt": "kvm"}}, "libvirt.virt: unknown key; did you mean 'virt_type'?"),
        (
            {"libvirt": {"cpu_mode": "custom"}},
            "libvirt: cpu_mode custom and cpu_models need each other",
        ),
        (
            {"libvirt": {"cpu_models": ["x"]}},
            "libvirt: cpu_mode custom and cpu_models need each other",
        ),
        (
            {"libvirt": {"virt_type": "qemu", "cpu_mode": "host-passthrough"}},
            "libvirt: cpu_mode host-passthrough needs virt_type kvm",
        ),
        (
            {"nova_conf": {"database": {}}},
            "nova_conf.database: a compute gets no such section; set it for the controllers",
        ),
        (
            {"nova_conf": {"DEFAULT": {"host": "x"}}},
            "nova_conf.DEFAULT.host: is decided by the settings; set `nova_host` of the host",
        ),
        (
            {"my_ip": "10.0.0.3", "passwrd": "x"},
            "passwrd: unknown key; passwords belong in secrets.yml",
        ),
        (
            {"nova_conf": {"Database": {}}},
            "nova_conf.Database: a compute gets no such section; set it for the controllers",
        ),
        (
            {"nova_conf": {"DEFAULT": {"sql_connection": "x"}}},
            "nova_conf.DEFAULT.sql_connection: is decided by the settings; set `database` "
            "and database_password in secrets.yml",
        ),
        ({"nova_conf": 3}, "nova_conf: is not {section: {option: value}}"),
        ({"release": "zed"}, "release: holds for the whole site; set it in group_data/all.py"),
        ({"state": "shut"}, "state: must be 'open', 'closed', 'drained' or 'retired'"),
        ({"libvirt": 3}, "libvirt: input should be a valid dictionary or instance of Libvirt"),
        (
            {"nova_conf": {"DEFAULT": {"sql_max_retries": 3}}},
            "nova_conf.DEFAULT.sql_max_retries: a compute gets no such option; set it for "
            "the controllers",
        ),
    ],
)
def test_a_fault_of_a_host_names_the_inventory_and_the_host(
    data: dict[str, Any], said: str
) -> None:
    assert host_faults(**data) == [f"inventory.py: compute1.{said}"]
