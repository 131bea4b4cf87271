"""``python -m pyinfra_nova.secrets init`` makes a secrets file."""

import sys

from pyinfra_nova.site.secrets import main

if __name__ == "__main__":
    sys.exit(main())
