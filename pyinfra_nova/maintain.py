"""``python -m pyinfra_nova.maintain INVENTORY HOST...`` maintains computes one after the other."""

import sys

from pyinfra_nova.commands.maintain import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
