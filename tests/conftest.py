"""Makes the scripts of ``files/`` importable, as they are for each other on a host."""

import sys
from pathlib import Path

# Importing it puts gevent's sockets in place, which has to happen before anyone imports ssl.
import pyinfra_cli  # noqa: F401

FILES = Path(__file__).resolve().parents[1] / "files"
FOLDERS = ("common", "audit", "care", "backup")
sys.path[:0] = [*(str(FILES / folder) for folder in FOLDERS), str(FILES)]
