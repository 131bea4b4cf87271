"""Configuration files: content, owner and mode, written at once and never readable too early."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict
from typing import Any

from pyinfra import host, logger
from pyinfra.api import operation

from pyinfra_nova.nova_conf.config_file import AbsentFile, ConfigFile
from pyinfra_nova.session.host_script import NO_ANSWER, ScriptFact, ask, script_command
from pyinfra_nova.session.steps import Commands, changing, refused, say


class ConfigFileDifferences(ScriptFact):
    """The files that are not as they should be: path, what differs, and a masked diff."""

    script = "config_files"


def _request(
    files: Sequence[ConfigFile],
    absent: Sequence[AbsentFile],
    only: Collection[str] | None = None,
    *,
    write: bool,
) -> dict[str, Any]:
    """Of FILES those of the paths ONLY are written, or all; what is absent is none of FILES."""
    chosen = [file for file in files if only is None or file.path in only]
    return {
        "write": write,
        "files": [_wanted(file, write=write) for file in chosen],
        "wanted": [file.path for file in files],
        "absent": [asdict(file) for file in absent],
    }


def _wanted(file: ConfigFile, *, write: bool) -> dict[str, Any]:
    wanted = {
        "path": file.path,
        "owner": file.owner,
        "group": file.group,
        "mode": file.mode,
        "hidden": file.hidden,
    }
    if file.keeps_about:
        wanted |= {"keeps_about": list(file.keeps_about), "keeps_from": file.keeps_from}
    if file.own_lines:
        wanted["own_lines"] = file.own_lines
    if file.by_digest and not write:
        return {**wanted, "digest": file.digest}
    return {**wanted, "content": file.content}


def comparison(files: Sequence[ConfigFile], absent: Sequence[AbsentFile] = ()) -> dict[str, Any]:
    """What ConfigFileDifferences is asked to compare FILES, and what is to be ABSENT, with."""
    return _request(files, absent, write=False)


@operation()
def written(files: Sequence[ConfigFile], absent: Sequence[AbsentFile] = ()) -> Commands:
    """Bring FILES in line: content, owner, group, mode; a file that is right keeps its time.

    Of what is to be ABSENT, what this project wrote is taken away; what has another form is named,
    and left. The whole set costs one remote command to compare and one more to write.
    """
    found = ask(host, ConfigFileDifferences, comparison(files, absent))
    if not found:
        yield from refused(NO_ANSWER)
        return
    differing = found["files"]
    for difference in differing:
        say(f"{difference['path']}: {difference['change']}")
        if host.state.config.DIFF and difference["diff"]:
            for line in difference["diff"].splitlines():
                logger.info(f"    {line}")
    for path in found.get("left", []):
        say(f"{path}: is not wanted, but not as this project writes it; left as it is")
    names = {difference["path"] for difference in differing}
    if names:
        request = _request(files, absent, names, write=True)
        yield changing(script_command("config_files", "write", request))
