"""What a database's URL names; by itself, as the checker needs nothing but Python's own library."""

PLUGIN = "pyinfra-nova-tls"
"""SQLAlchemy's, of files/pyinfra_nova_tls.py."""
