"""Stand-in packages: the real Nova of a release under the names that a distribution gives it.

The lab's hosts are Debian. So that a deploy for Ubuntu finds there what it installs, Nova comes
from PyPI into an environment of its own and is packed under the names, users, units and paths that
Ubuntu's packages have. What that shows and what not is in docs/platforms.md.
"""
