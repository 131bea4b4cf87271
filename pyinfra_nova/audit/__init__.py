"""What the cloud does not say of itself: its records held against each other and its hosts."""
