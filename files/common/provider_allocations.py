"""Resource providers of Placement and what consumers have of them, read and taken out safely."""

import rest

# 1.28: who changes allocations says which ones of the consumer's it has seen.
VERSION = {"OpenStack-API-Version": "placement 1.28"}
CONSUMER = ("project_id", "user_id", "consumer_generation")
"""What Placement wants to hear again of a consumer whose allocations are changed."""


def client(placement):
    """PLACEMENT at the version that all of this needs."""
    return rest.Client(placement.url, {**placement.headers, **VERSION})


def is_provider(placement, uuid):
    """Whether Placement has a provider; not only where it says itself that it has none."""
    try:
        placement.get(f"/resource_providers/{rest.quoted(uuid)}", "uuid")
    except rest.ErrorStatus as error:
        # A proxy's 404, or that of another service at this address, has no such errors in it.
        if error.status == 404 and "errors" in error.answer.json():
            return False
        raise
    return True


def held(placement, consumer):
    """What the consumer has, and the generation of it: who changes it from here on wins."""
    path = "/allocations/" + rest.quoted(consumer)
    found = placement.get(path, "allocations")
    if found["allocations"]:
        placement.require(path, [found], CONSUMER)
        placement.require(path, found["allocations"].values(), ["resources"])
    return found


def take_out(placement, consumer, had, providers=None):
    """Take PROVIDERS, or all, out of what a consumer has, unless that has changed since HAD."""
    taken = had["allocations"] if providers is None else providers
    left = {
        provider: {"resources": part["resources"]}
        for provider, part in had["allocations"].items()
        if provider not in taken
    }
    body = {**{key: had[key] for key in CONSUMER}, "allocations": left}
    # Not DELETE, which takes away whatever somebody else has put there meanwhile.
    placement.call("PUT", "/allocations/" + rest.quoted(consumer), body)
