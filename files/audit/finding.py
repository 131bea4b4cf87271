"""What an audit says: a finding, what it rests on, and which sources have to have answered for it.

A detector looks at evidence and yields findings. It says which sources it needs: what did not
answer is no evidence of anything, so a detector without one of its sources is not run, and the
audit says what nobody has looked at.
"""

import kinds

SOURCES = ("databases", "placement", "broker", "identity", "network", "hosts", "strangers")

GRACE = 120
"""Seconds for which whatever compares two sources leaves alone what has changed: they are read one
after the other, and Nova writes to them one after the other."""


def finding(kind, where, what, remedy, since=None, key=None, repair=None):
    """A finding of KIND at WHERE, a host or a service of the cloud.

    SINCE is the epoch at which it began, if anybody knows. KEY tells it from others of its kind and
    place; REPAIR is what `repairs.py` needs to mend it: {"action": name, ...}, or None where that
    is for a person.
    """
    return {
        "kind": kind,
        "where": where,
        "what": what,
        "since": since,
        "effect": kinds.EFFECTS[kind],
        "remedy": remedy,
        "key": f"{kind}/{where}/{key or what}",
        "repair": repair,
    }


def needs(*sources):
    """Mark a detector with the sources that have to have answered."""
    unknown = set(sources) - set(SOURCES)
    if unknown:
        raise ValueError(f"no sources of an audit: {unknown}")

    def marked(detector):
        detector.needs = sources
        return detector

    return marked


def judged(evidence, detectors):
    """The findings of DETECTORS, and which detectors were not run for want of which source."""
    found, skipped = [], {}
    for detector in detectors:
        lacking = [source for source in detector.needs if source in evidence.silent]
        if lacking:
            skipped[detector.__name__.replace("_", " ")] = lacking
        else:
            found += detector(evidence)
    return found, skipped
