"""Every kind of finding, with what it does to whom."""

EFFECTS = {
    "service-of-a-stranger": (
        "the scheduler may send guests to a host that is not there, "
        "and upgrades wait for its version"
    ),
}
