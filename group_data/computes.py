"""What holds for computes only; each key may also be given for a single host in inventory.py."""

libvirt = {
    # "auto": kvm where the CPU and /dev/kvm both allow it, else qemu, which emulates in software.
    "virt_type": "auto",
    # "host-model", "host-passthrough", "custom" (with cpu_models) or "none"; None is Nova's choice.
    "cpu_mode": None,
    "cpu_models": [],
    # Volumes on Ceph (docs/storage.md): the UUID that Cinder has as rbd_secret_uuid. The key is
    # rbd_secret_key in secrets.yml.
    # "rbd_secret_uuid": "457eb676-33da-42ec-9a8c-9293d545c337",
    # "rbd_user": "cinder",  # only if guests' own disks are there, too
}

# What a compute gives to guests, by the names of nova.conf; what is left out is Nova's choice.
# docs/resources.md says what each is for.
compute = {
    # "cpu_shared_set": "0-1",  # host CPUs for guests that float
    # "cpu_dedicated_set": "2-7",  # host CPUs for guests whose own are pinned
    # "reserved_host_memory_mb": 512,
    # "reserved_host_disk_mb": 0,
    # "reserved_host_cpus": 0,  # not together with a set
    # "cpu_allocation_ratio": 4.0,
    # "ram_allocation_ratio": 1.0,
    # "disk_allocation_ratio": 1.0,
}

# Memory pages set aside for guests: now, and for every boot. `node` is a NUMA node, `reserved` how
# many of it guests may not have. What an earlier run has set aside and is not here is taken back.
hugepages = [
    # {"size": "2M", "count": 512},
    # {"size": "1G", "count": 4, "node": 0, "reserved": 1},
]

# Types of mediated devices (vGPU) that Nova may make.
devices = {
    # "enabled_mdev_types": ["nvidia-35"],
}

# Devices passed through to guests. Controllers need the same `alias`, so that belongs into all.py.
pci = {
    # "device_spec": [{"vendor_id": "10de", "product_id": "1eb8"}],
}

# See nova_conf in all.py.
nova_conf = {}
