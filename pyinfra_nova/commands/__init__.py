"""What people type: ``python -m pyinfra_nova.commands.NAME``."""
