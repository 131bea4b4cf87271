"""Run a script of ``files/`` on a host: the request goes in over stdin, JSON comes back.

Standard input is the one channel that neither ``ps``, pyinfra's verbose output nor its error
messages show, so a request may carry secrets; an answer must not.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from pyinfra.api import FactBase, StringCommand
from pyinfra.api.arguments import CONNECTOR_ARGUMENT_KEYS, pop_global_arguments
from pyinfra.api.command import QuoteString
from pyinfra.api.exceptions import FactProcessError, PyinfraError
from pyinfra.api.host import Host
from typing_extensions import override

from pyinfra_nova.session.connections import is_lost
from pyinfra_nova.session.redaction import SecretInput

SCRIPTS = Path(__file__).resolve().parents[2] / "files"

# Reads one JSON object from stdin, makes its sources importable and prints what the last one's
# `answer(request)` returns.
RUNNER = (
    "import json, sys, types; message = json.load(sys.stdin)\n"
    "for name, source in message['modules']:\n"
    "    module = sys.modules[name] = types.ModuleType(name)\n"
    "    exec(compile(source, name + '.py', 'exec'), module.__dict__)\n"
    "json.dump(module.answer(message['request']), sys.stdout); print()"
)

# The same where more than the request comes in: the object is one line, the rest is for the script.
STREAM_RUNNER = RUNNER.replace("json.load(sys.stdin)", "json.loads(sys.stdin.buffer.readline())")

Answer = dict[str, Any]
NO_ANSWER = "nothing was answered"
"""What is said of an empty answer, which pyinfra makes of a command that ends well without a word:
nothing that was asked about is as it should be for that."""
LOST = "the connection was lost, so nobody knows how it has ended: it may still run there"
FactT = TypeVar("FactT", bound="ScriptFact")
TRUST = "trust"
"""The module by which a script takes the word of servers."""
_trusted: str | None = None


def trust(pem: str | None) -> None:
    """Have scripts believe servers that the authorities of PEM vouch for, from now on; no others.

    With None nothing is encrypted, and what is sent to hosts says nothing of it.
    """
    global _trusted
    _trusted = pem


def trusted() -> str | None:
    """The authorities, in PEM."""
    return _trusted


class LostError(PyinfraError):
    """A command whose connection ended before it did."""


def script_input(
    name: str, request: Mapping[str, Any], uses: Sequence[str] = (), folder: Path = SCRIPTS
) -> SecretInput:
    """The standard input that makes RUNNER run ``FOLDER/NAME.py`` with REQUEST.

    USES names what it imports, of ``files/common/``, ``files/audit/``, ``files/backup/`` or
    ``files/``, in an order in which it can be.
    """
    modules = _modules(name, tuple(uses), folder)
    asked = f'"modules": {modules}, "request": {json.dumps(request)}'
    if _trusted is not None and TRUST in uses:
        asked += f', "trusted": {_quoted(_trusted)}'
    return SecretInput(f"{{{asked}}}")


@cache
def _quoted(pem: str) -> str:
    """PEM in JSON; once for all hosts, for a file of authorities may be long."""
    return json.dumps(pem)


@cache
def _modules(name: str, uses: tuple[str, ...], folder: Path) -> str:
    """The sources of a script and of what it imports, in JSON; read once for all hosts."""
    paths = [*map(source_path, uses), folder / f"{name}.py"]
    return json.dumps([(path.stem, path.read_text(encoding="utf-8")) for path in paths])


def source_path(used: str) -> Path:
    """The file that a script imports by the name USED."""
    folders = (*(SCRIPTS / name for name in ("common", "audit", "backup", "care")), SCRIPTS)
    return next(p for p in (folder / f"{used}.py" for folder in folders) if p.exists())


def shell_command(name: str, *words: str) -> StringCommand:
    """The command that runs ``files/NAME.sh`` with WORDS, behind the lock of all installations."""
    parts = ("lock_packages", name)
    texts = ((SCRIPTS / f"{part}.sh").read_text(encoding="utf-8") for part in parts)
    quoted = (QuoteString(word) for word in words)
    return StringCommand("sh -s --", *quoted, _stdin=SecretInput("".join(texts)))


def script_command(
    name: str,
    verb: str,
    request: Mapping[str, Any],
    uses: Sequence[str] = (),
    folder: Path = SCRIPTS,
) -> StringCommand:
    """The command that runs ``FOLDER/NAME.py``; VERB is there to be read in logs and in ``ps``."""
    stdin = script_input(name, request, uses, folder)
    return StringCommand(*_command_bits(name, verb), _stdin=stdin)


def streamed(fact: type[ScriptFact], verb: str, request: Mapping[str, Any]) -> tuple[str, bytes]:
    """A shell command that runs FACT's script, and what its standard input begins with.

    For ``ssh`` itself: pyinfra's connections keep all that a command prints in memory.
    """
    words = ("python3", "-c", STREAM_RUNNER, fact.script, verb)
    first = "".join(script_input(fact.script, request, fact.uses, fact.folder))
    return shlex.join(words), first.encode() + b"\n"


def _command_bits(name: str, verb: str) -> tuple[object, ...]:
    return ("python3", "-c", QuoteString(RUNNER), name, verb)


class ScriptFact(FactBase[Answer]):
    """What a script answers about a host. Subclasses name it, its imports and its folder.

    Raises:
        FactProcessError: the answer is not a JSON object.
    """

    script: ClassVar[str]
    uses: ClassVar[tuple[str, ...]] = ()
    folder: ClassVar[Path] = SCRIPTS
    default = dict

    @override
    def command(self) -> StringCommand:
        return StringCommand(*_command_bits(self.script, "read"))

    @override
    def process(self, output: Any) -> Answer:
        return answered(self.script, output)


def answered(script: str, lines: Iterable[str]) -> Answer:
    """The JSON object that SCRIPT has printed.

    Raises:
        FactProcessError: it is none.
    """
    text = "\n".join(lines)
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FactProcessError(f"{script} answered {text[:200]!r}") from error
    if not isinstance(answer, dict):
        raise FactProcessError(f"{script} answered no object")
    return answer


def ask(host: Host, fact: type[ScriptFact], request: Mapping[str, Any]) -> Answer:
    """What FACT's script answers to REQUEST on HOST: one remote command."""
    stdin = script_input(fact.script, request, fact.uses, fact.folder)
    answer: Answer = host.get_fact(fact, _stdin=stdin)
    return answer


def order(host: Host, fact: type[ScriptFact], verb: str, request: Mapping[str, Any]) -> Answer:
    """What FACT's script answers on HOST where REQUEST has it change something, outside a deploy.

    Raises:
        PyinfraError: it failed; the text is its own last line.
    """
    command = script_command(fact.script, verb, request, fact.uses, fact.folder)
    return answered(fact.script, carried_out(host, command))


def carried_out(host: Host, command: StringCommand, *, shown: bool = False) -> list[str]:
    """What COMMAND prints on HOST, outside a deploy; it is SHOWN as it comes.

    Raises:
        LostError: the connection ended first.
        PyinfraError: it failed; the text is its own last line.
    """
    # What the inventory says of sudo, su and the like.
    given, _ignored = pop_global_arguments(host.state, host, {})
    how = {key: value for key, value in given.items() if key in CONNECTOR_ARGUMENT_KEYS}
    how.update(command.connector_arguments)
    succeeded, output = host.run_shell_command(command, print_output=shown, **how)
    if not succeeded and is_lost(host):
        raise LostError(LOST)
    if not succeeded:
        raise PyinfraError((list(output.stderr_lines) or ["it says nothing"])[-1])
    return list(output.stdout_lines)
