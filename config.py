"""pyinfra's own settings, which it reads from this file before it runs deploy.py."""

REQUIRE_PYINFRA_VERSION = ">=3.10,<4"

# One failed host ends the run: computes must not go on when the controller's databases did not get
# ready. Set here because pyinfra reads it before the deploy starts; in deploy.py it has no effect.
FAIL_PERCENT = 0
