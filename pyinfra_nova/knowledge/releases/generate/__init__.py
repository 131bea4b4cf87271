"""Makes the tables of releases: `python -m pyinfra_nova.knowledge.releases.generate`."""
