"""What exists on a host: one module per kind of thing, its fact and its operation side by side."""
