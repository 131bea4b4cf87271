"""What is particular about a pyinfra run, and nothing about Nova."""
