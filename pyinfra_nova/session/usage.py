"""Words that a command does not know, where its exit code 2 has a meaning of its own."""

from __future__ import annotations

import argparse
import sys
from typing import NoReturn

from typing_extensions import override

ERROR = 1


class Parser(argparse.ArgumentParser):
    """Ends with 1 for words that it does not know; argparse itself would end with 2."""

    @override
    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(ERROR, f"{self.prog}: error: {message}\n")
