"""What holds for computes only; each key may also be given for a single host in inventory.py."""

libvirt = {
    # "auto": kvm where the CPU and /dev/kvm both allow it, else qemu, which emulates in software.
    "virt_type": "auto",
    # "host-model", "host-passthrough", "custom" (with cpu_models) or "none"; None is Nova's choice.
    "cpu_mode": None,
    "cpu_models": [],
}

# See nova_conf in all.py.
nova_conf = {}
