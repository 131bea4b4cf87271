"""Computes maintained: closed, drained, worked on, proven, opened, one batch after the other."""
