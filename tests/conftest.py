"""Makes the scripts of ``files/`` importable, as they are for each other on a host."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "files"))
