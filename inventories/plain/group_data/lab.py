"""What differs from the checkout's group_data/lab.py: this is laid over it."""

tls = {"mode": "off"}
