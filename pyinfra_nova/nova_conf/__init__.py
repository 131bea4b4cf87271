"""nova.conf and everything about it: written, overridden, read and checked."""
