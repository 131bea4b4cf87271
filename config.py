"""pyinfra's own settings, which it reads from this file before it runs deploy.py."""

from pyinfra import config

from pyinfra_nova.session import counted_lines, worked_out_once
from pyinfra_nova.session.connections import allow_open_connections
from pyinfra_nova.session.inventory_entries import refuse_unreadable_entries
from pyinfra_nova.session.settings_first import read_settings_first
from pyinfra_nova.session.site_files import refuse_broken_files
from pyinfra_nova.session.unmatched_patterns import refuse_unmatched_patterns

# Set on pyinfra's object: a name that this file merely defines is not read by pyinfra 3.
config.REQUIRE_PYINFRA_VERSION = ">=3.10,<4"

# One failed host ends the run: computes must not go on when the controller's databases did not get
# ready. Set here because pyinfra reads it before the deploy starts; in deploy.py it has no effect.
config.FAIL_PERCENT = 0

# How many hosts are worked on at once, connections being made included; also --parallel. Not set,
# it is 20 for each CPU of this machine.
# config.PARALLEL = 40

# Here because deploy.py does not run at all when --limit leaves no host.
refuse_unmatched_patterns()
refuse_unreadable_entries()
refuse_broken_files()
# Here because pyinfra connects to the hosts before it reads deploy.py.
read_settings_first()

# Here because pyinfra works some of it out when it reads the inventory.
worked_out_once.install()

allow_open_connections()
counted_lines.install()
