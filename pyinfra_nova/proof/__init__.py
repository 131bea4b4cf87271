"""What shows that a deployed site works; the deploy's last stage and tests/verify share it."""
