"""What happens on a host, a file a concern; deploy.py says in which order."""
