"""What differs from the checkout's group_data/all.py: this is laid over it."""

release = "2026.2"
