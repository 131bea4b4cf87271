"""What holds for controllers only; see nova_conf in all.py."""

nova_conf = {}
