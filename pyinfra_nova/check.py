"""``python -m pyinfra_nova.check`` says what is wrong with a nova.conf; so does ``findings``."""

from pyinfra_nova.nova_conf.check import Source, findings

__all__ = ["Source", "findings"]

if __name__ == "__main__":
    import sys

    from pyinfra_nova.nova_conf.check.__main__ import main

    sys.exit(main())
