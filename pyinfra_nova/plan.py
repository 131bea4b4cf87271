"""``python -m pyinfra_nova.plan INVENTORY`` says what a deploy would change."""

import sys

from pyinfra_nova.commands.plan import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
