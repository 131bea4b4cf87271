"""What a host that only answers says, one answer after the other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from typing_extensions import override


class InTurn(list[str]):
    """The lines of an answer; the next one each time that they are read, then the last one."""

    def __init__(self, answers: list[Any]) -> None:
        super().__init__()
        self.answers = answers

    @override
    def __iter__(self) -> Iterator[str]:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        yield answer if isinstance(answer, str) else json.dumps(answer)
