"""What Nova builds on, put on the lab's hosts: `pyinfra inventory.py lab/deploy.py`."""

from __future__ import annotations

import os
from pathlib import Path

from pyinfra import host, inventory

from lab import state, tasks
from lab.cloud import Cloud
from lab.passwords import lab_secrets
from lab.settings import read_settings
from pyinfra_nova.certificates.trust import trusted_pem
from pyinfra_nova.session import host_script, redaction
from pyinfra_nova.session.barrier import barrier
from pyinfra_nova.site.load import site_of

site = site_of(inventory)
redaction.install(site.secrets)
host_script.trust(trusted_pem(site))
lab = read_settings(Path(os.environ.get("PYINFRA_NOVA_INVENTORY", "inventory.py")))
cloud = Cloud(site, lab, lab_secrets(), block_storage=state.BLOCK_STORAGE.exists())
name = host.name

tasks.install_packages(cloud, name)
tasks.provider_network(cloud, name)
if cloud.is_controller(name):
    shown = tasks.server_certificates(cloud, name)
    tasks.database_and_broker(cloud, name, shown)
    tasks.services(cloud, shown)
    if cloud.block_storage:
        tasks.block_storage(cloud, shown)
barrier(name="Neutron's server is there")
tasks.network_agents(cloud, name)
if cloud.is_controller(name):
    tasks.network_and_image(cloud)
