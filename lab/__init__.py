"""The lab: systemd hosts on this machine, and on them what a Nova deployment builds on."""
