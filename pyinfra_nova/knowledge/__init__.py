"""What is known of operating systems and of Nova's releases, as data."""
