"""Every kind of finding, with what it does to whom."""

EFFECTS = {
    # What explains others.
    "restore-under-way": "Nova stands still until it goes on, and no deploy begins",
    "restore-unfinished": "what was replaced is kept, and guests that Nova calls deleted run on",
    "broker-down": (
        "no service of Nova and no agent of Neutron hears anything: nothing is built, changed or "
        "deleted"
    ),
    # Services.
    "service-of-a-stranger": (
        "the scheduler may send guests to a host that is not there, "
        "and upgrades wait for its version"
    ),
    "service-renamed": (
        "under the other name Nova takes that host for a second one: its guests stay with a host "
        "that is down"
    ),
    "service-doubled": "Nova takes now the one and now the other for the state of that host",
    "service-missing": "nobody does its work: calls to it wait until they are given up",
    "service-in-cell0": "it serves no guests there, and Nova sees a service that is always down",
    "service-forced-down": "the scheduler sends it no guests, and its guests may be evacuated",
    "service-disabled-itself": "the scheduler sends it no guests until it is enabled again",
    "service-silent": "Nova takes it for down: no new guests, and no changes to those it has",
    "service-down": "Nova takes it for down: no new guests, and no changes to those it has",
    "service-deaf": "what it is asked to do waits until it is given up; guests stay in BUILD",
    # Cells and computes.
    "cell-of-a-stranger": "every list of guests waits for a cell that may not answer",
    "cell-doubled": "every list of guests has those of the cell twice, or fails",
    "cell-disabled": "the scheduler sends no guests to any host of it",
    "cell-missing": "guests cannot be built, or those that found no host cannot be shown",
    "compute-unmapped": "the scheduler does not see it, and no list of hypervisors has it",
    "mapping-of-a-stranger": "commands that name that host go on to a cell that has no such host",
    "mapping-without-compute": "commands that name that host end with an error",
    "node-of-a-stranger": "capacity is counted that is not there",
    "node-without-service": "the host is in no list of hypervisors and gets no guests",
    "node-missing": "the scheduler sends it no guests",
    "nodes-doubled": (
        "capacity is counted twice, and commands on that host's aggregates end with an error"
    ),
    "hypervisor-name-doubled": (
        "only one of them can have a provider of that name, so the other gets no guests"
    ),
    "compute-doubled": "each of the two does half of what is asked, on guests that it may not have",
    # Placement.
    "provider-without-node": "the scheduler is offered a host to which it can send nothing",
    "node-without-provider": "the scheduler sends it no guests",
    "aggregate-member-of-a-stranger": (
        "capacity of the aggregate is counted that is not there, and `nova-manage placement "
        "sync_aggregates` ends with an error"
    ),
    "aggregate-not-in-placement": (
        "who asks for guests in that zone or aggregate is never given those hosts"
    ),
    "aggregate-member-in-placement-only": (
        "guests that ask for that zone or aggregate are offered a host that is not in it"
    ),
    # The broker.
    "queue-unread": "it takes memory of the broker until that stops whoever sends to it",
    # Neutron and Keystone.
    "agent-dead": "ports of guests on that host are not made, or not changed",
    "agent-of-a-stranger": "networks and routers may be given to a host that is not there",
    "agent-renamed": "no port can be bound on that host: guests that are built there fail",
    "endpoint-elsewhere": "clients ask for Nova where it may not be",
    "endpoint-doubled": "clients take now the one and now the other",
    "endpoint-missing": "clients that ask for this interface find no Nova",
    # Access.
    "known-host-of-a-stranger": "guests would be moved to a host that is no compute any more",
    "key-of-a-stranger": (
        "who holds that key gets in as Nova's user, who has all guests of the host in hand"
    ),
    # What runs out.
    "password-ends": "from then on Nova can ask neither Placement, Neutron nor Glance",
    "certificate-ends": "from then on clients and services refuse to speak to it",
    "certificate-not-read": (
        "once the one that it shows has ended, or is trusted no more, nobody speaks to it"
    ),
    "screen-in-plain-text": (
        "its console is seen by whoever is on the way, and the proxy shows it to nobody"
    ),
    "port-in-plain-text": "whoever is on the way reads and changes what goes there",
    "certificate-unread": "Nova and its clients get no answer from that server over TLS",
    "snapshot-isolation": (
        "of two changes of a row at a time one ends with error 1020, which neither Keystone nor "
        "Nova tries again: logins and actions fail at times"
    ),
    "rows-not-archived": "queries and schema migrations get slower with each of them",
    # Guests, in Nova's own rows.
    "guest-stuck": "its owner can neither use nor change it, and a drain of its host waits for it",
    "migration-stuck": (
        "the guest takes its resources on two hosts, and neither can be drained or removed"
    ),
    "move-unconfirmable": (
        "neither of its hosts can be retired, what it holds in Placement stays taken, and Nova may "
        "confirm or revert the guest's next resize by it"
    ),
    "build-request-left": "its owner sees a guest that is never built, or one guest twice",
    "guest-in-error": "its owner cannot use it, and it counts against the quota",
    "guest-on-unnamed-host": "no deploy, upgrade or check reaches the host that it runs on",
    "guest-without-node": (
        "no resources are counted for it, and an online data migration of its row never ends"
    ),
    "guest-unmapped": "the API does not find it: its owner can neither see nor delete it",
    "machine-type-unset": (
        "a new release or default may give it other hardware at its next start, and nova-status "
        "warns before each upgrade"
    ),
    "move-not-recorded": (
        "every action on it goes to a host on which it does not run, and a drain waits for ever"
    ),
    # What guests hold in Placement.
    "allocation-of-deleted-guest": "the scheduler counts resources as taken that are free",
    "allocation-of-finished-migration": "the scheduler counts resources as taken that are free",
    "allocation-of-nobody": "the scheduler counts resources as taken that may be free",
    "allocation-of-hostless-guest": "the scheduler counts resources as taken that are free",
    "guest-without-allocation": "the scheduler gives its resources away a second time",
    "doubled-allocation": (
        "the scheduler counts it twice, and the host that it has left can not be removed"
    ),
    "allocation-on-another-host": (
        "one host is thought fuller than it is, and the other one is overcommitted"
    ),
    "allocation-unlike-flavor": "the scheduler reckons with another size than the guest has",
    # Guests against the domains of libvirt.
    "libvirt-silent": "Nova can neither start, stop nor move the guests of this host",
    "domain-on-two-hosts": "two domains may write to the same disk, which destroys it",
    "domain-on-another-host": (
        "Nova neither watches nor stops it there, and may start it a second time"
    ),
    "guest-without-domain": "its owner sees a running guest where there is none",
    "guest-not-running": "its owner sees a running guest that does not answer",
    "guest-running-unasked": "it runs though Nova says that it does not, and Nova may stop it",
    "domain-of-deleted-guest": (
        "it takes memory and CPUs that Nova gives away, and may write to volumes of others"
    ),
    "guest-forgotten": "its owner can neither see nor use it, and Nova gives its room away",
    "domain-unknown-to-nova": "it takes memory and CPUs of the host that Nova gives away",
    # Files of guests.
    "guest-folder-without-owner": "it takes disk that Nova gives away",
    "base-image-unused": "it takes disk that Nova gives away",
}
