"""What goes to a host for a script is all that it imports, in an order in which it can be."""

from __future__ import annotations

import ast
import importlib
import json
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

import lab.operations
import pyinfra_nova
from pyinfra_nova.certificates.authority import authority
from pyinfra_nova.certificates.trust import trusted_pem
from pyinfra_nova.resources.config_files import ConfigFileDifferences
from pyinfra_nova.resources.http_answers import SilentUrls
from pyinfra_nova.session import host_script
from pyinfra_nova.session.host_script import RUNNER, SCRIPTS, ScriptFact, script_input, streamed
from pyinfra_nova.site.settings import Site

from .site_data import secrets, site
from .tls_stand_in import SECRET, context, pages

TRUSTED_ALONE = authority(SECRET, "services").pem
"""What a site without a `cafile` trusts."""

for found in pkgutil.walk_packages(pyinfra_nova.__path__, "pyinfra_nova."):
    if found.name.split(".")[1] != "commands":
        importlib.import_module(found.name)

OURS = {path.stem for path in SCRIPTS.rglob("*.py")}


def facts(base: type[ScriptFact] = ScriptFact) -> Iterator[type[ScriptFact]]:
    for fact in base.__subclasses__():
        yield fact
        yield from facts(fact)


def imported(source: str) -> set[str]:
    """What a module cannot be loaded without; what a function imports it may do without."""
    nodes = [node for node in ast.parse(source).body if isinstance(node, ast.Import)]
    return {name.name for node in nodes for name in node.names} & OURS


def test_the_labs_scripts_are_looked_at_too() -> None:
    assert lab.operations.CloudObjects in set(facts())


@pytest.mark.parametrize("fact", list(facts()), ids=lambda fact: fact.__name__)
def test_a_script_has_what_it_imports(fact: type[ScriptFact]) -> None:
    (text,) = script_input(fact.script, {}, fact.uses, fact.folder)
    there: set[str] = set()
    for name, source in json.loads(text)["modules"]:
        assert imported(source) <= there, f"{name} comes too early"
        there.add(name)


# --- whom scripts trust ---------------------------------------------------------------------------


def encrypted(**more: str) -> Site:
    return site({"tls": {"mode": "internal", **more}}, passwords=secrets(tls_secret=SECRET))


@pytest.fixture(autouse=True)
def nobody_is_trusted_afterwards() -> Iterator[None]:
    yield
    host_script.trust(None)


def envelope(fact: type[ScriptFact]) -> str:
    return "".join(script_input(fact.script, {"a": 1}, fact.uses, fact.folder))


def test_where_nothing_is_encrypted_nothing_is_said_of_it() -> None:
    host_script.trust(trusted_pem(site()))
    text = envelope(SilentUrls)
    assert list(json.loads(text)) == ["modules", "request"]
    assert text.endswith(', "request": {"a": 1}}')


def test_a_script_is_told_whom_to_trust_if_it_asks_servers() -> None:
    host_script.trust(trusted_pem(encrypted()))
    assert json.loads(envelope(SilentUrls))["trusted"] == TRUSTED_ALONE
    assert "trusted" not in json.loads(envelope(ConfigFileDifferences))


def test_another_site_is_not_asked_with_what_was_trusted_before() -> None:
    host_script.trust(trusted_pem(encrypted()))
    host_script.trust(trusted_pem(site()))
    assert "trusted" not in json.loads(envelope(SilentUrls))


def run(command: list[str], text: str) -> dict[str, Any]:
    done = subprocess.run(command, input=text, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("how", ["asked", "streamed"])
@pytest.mark.parametrize("what", ["right", "foreign"])
def test_a_host_believes_whom_the_envelope_names(how: str, what: str) -> None:
    """As it is run there, by a Python of its own."""
    host_script.trust(trusted_pem(encrypted()))
    with pages(context(what)) as (port, asked):
        url = {"name": "the API", "url": f"https://127.0.0.1:{port}/", "holds": "versions"}
        if how == "asked":
            text = "".join(script_input("http_answers", {"urls": [url]}, SilentUrls.uses))
            found = run([sys.executable, "-c", RUNNER, "http_answers", "read"], text)
        else:
            words, first = streamed(SilentUrls, "read", {"urls": [url]})
            found = run(["sh", "-c", words], first.decode())
    said = [each["detail"] for each in found["failing"]]
    if what == "right":
        assert (said, asked) == ([], ["/"])
    else:
        assert asked == []
        assert said == [
            f"GET https://127.0.0.1:{port}/ was not asked: 127.0.0.1:{port} shows a certificate "
            "that no trusted authority has issued"
        ]
