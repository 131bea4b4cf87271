"""pyinfra's own settings, which it reads from this file before it runs deploy.py."""

from pyinfra import config

from pyinfra_nova.session import worked_out_once
from pyinfra_nova.session.unmatched_patterns import refuse_unmatched_patterns

# Set on pyinfra's object: a name that this file merely defines is not read by pyinfra 3.
config.REQUIRE_PYINFRA_VERSION = ">=3.10,<4"

# One failed host ends the run: computes must not go on when the controller's databases did not get
# ready. Set here because pyinfra reads it before the deploy starts; in deploy.py it has no effect.
config.FAIL_PERCENT = 0

# Here because deploy.py does not run at all when --limit leaves no host.
refuse_unmatched_patterns()

# Here because pyinfra works some of it out when it reads the inventory.
worked_out_once.install()
