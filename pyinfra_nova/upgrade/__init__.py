"""From one release to another: what it takes, what keeps it from being begun, and how it would go.

``course`` and ``options`` say what follows from the releases alone, ``facts`` asks the cloud,
``refusals`` judges what it says, and ``plan`` puts all of it into words.
"""
