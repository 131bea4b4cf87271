"""./run restore: what it refuses, what it does in which order, and how it goes on when cut off."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from pyinfra_nova.backup import question, refusals, restoring
from pyinfra_nova.backup.restoring import Restoration
from pyinfra_nova.backup.seal import Contents, End, Header
from pyinfra_nova.commands import restore
from pyinfra_nova.knowledge.platforms import platform_for
from pyinfra_nova.nova_conf.urls import cell_urls
from pyinfra_nova.session.answering import NoAnswerError
from pyinfra_nova.site.settings import Site

from .site_data import HOSTS, secrets, site

REVISIONS = {"nova_api": ["b30f"], "nova": ["ccb0"], "nova_cell0": ["ccb0"]}
KNOWN = {"api": {"head": "b30f", "known": ["aaaa", "b30f"]}, "main": {"known": ["ccb0"]}}


def contents(of: Site | None = None, **changed: Any) -> Contents:
    header = question.header(of or site(), changed.pop("compute_ids", {}))
    header |= {"at": 1.0, "left_out": [], "guests": {"compute1": 2}}
    header["databases"] = changed.pop("databases", ["nova_api", "nova_cell0", "nova", "placement"])
    rows = {name: {"t": 3} for name in header["databases"]}
    end = {"sha256": "5ea1", "bytes": 1, "rows": rows, "seconds": 1.0}
    revisions = changed.pop("revisions", REVISIONS)
    return Contents(
        header=Header.model_validate({**header, **changed}),
        end=End.model_validate({**end, "revisions": revisions}),
    )


# --- what is refused ------------------------------------------------------------------------------


def of_site(found: Contents, here: Site, *, forced: bool = False) -> str:
    return "\n".join(refusals.of_site(found, here, forced=forced))


def test_a_backup_of_this_site_is_refused_for_nothing() -> None:
    assert of_site(contents(), site()) == ""
    assert list(refusals.of_schemas(contents(), KNOWN)) == []


def test_another_release_is_refused_also_by_force() -> None:
    text = of_site(contents(site({"release": "2025.1"})), site(), forced=True)
    assert "the backup is of 2025.1, this site is of zed" in text


def test_other_names_of_databases_are_refused_also_by_force() -> None:
    other = site({"database": {"nova": "nova_cell1"}})
    assert "database nova_cell1 is called nova here" in of_site(
        contents(other), site(), forced=True
    )


@pytest.mark.parametrize(
    "changed",
    [
        {"region": "Two"},
        {"controller_host": "other"},
        {"keystone": {"auth_url": "http://k:5000/v3"}},
    ],
)
def test_another_site_is_refused_by_what_is_different_and_taken_by_force(
    changed: dict[str, Any],
) -> None:
    other = site(changed)
    [key] = changed
    assert f"{key}" in of_site(contents(other), site())
    assert "it is of another site" in of_site(contents(other), site())
    assert of_site(contents(other), site(), forced=True) == ""


@pytest.mark.parametrize("modes", [("off", "internal"), ("internal", "off")])
def test_a_site_that_has_moved_to_tls_since_or_back_is_the_same(modes: tuple[str, str]) -> None:
    """Its daily backups go on under one name, too, and older ones of them go in their time."""
    passwords = secrets(tls_secret="t" * 32)
    then, now = (site({"tls": {"mode": mode}}, passwords=passwords) for mode in modes)
    assert then.settings.keystone.auth_url != now.settings.keystone.auth_url
    assert of_site(contents(then), now) == ""
    assert question.header(then, {})["site"] == question.header(now, {})["site"]


def test_nor_is_one_another_whose_keystone_spoke_tls_before() -> None:
    url = "https://controller:5000/v3"
    then = site({"keystone": {"auth_url": url}})
    assert question.header(then, {})["site"]["keystone.auth_url"] == url
    now = site({"tls": {"mode": "internal"}}, passwords=secrets(tls_secret="t" * 32))
    assert of_site(contents(then), now) == ""


def test_a_site_that_has_none_of_its_computes_is_another() -> None:
    hosts = {**HOSTS, "x1": {"my_ip": "10.0.0.41"}}
    groups = {"controllers": ["controller"], "computes": ["x1"]}
    here = site(groups=groups, hosts={k: hosts[k] for k in ("controller", "x1")})
    found = contents(hosts={"compute1": "compute1", "compute2": "compute2"})
    assert "it knows none of the computes here" in of_site(found, here)


def test_a_server_that_is_somebody_elses_is_not_written_to() -> None:
    groups = {"controllers": ["controller"], "computes": ["compute1", "compute2"], "database": []}
    here = site({"manage_database": False, "database": {"host": "db"}}, groups=groups)
    assert "the group database is empty" in of_site(contents(here), here)


def test_a_schema_that_the_installed_nova_does_not_know_is_refused() -> None:
    found = contents(revisions={**REVISIONS, "nova": ["f00d"]})
    [text] = refusals.of_schemas(found, KNOWN)
    assert "the schema of nova is f00d, which the installed Nova does not know" in text


def test_an_older_schema_is_taken() -> None:
    found = contents(revisions={**REVISIONS, "nova_api": ["aaaa"]})
    assert list(refusals.of_schemas(found, KNOWN)) == []


def test_a_database_without_a_revision_is_none_of_a_working_nova() -> None:
    [text] = refusals.of_schemas(
        contents(revisions={"nova_api": ["b30f"], "nova": ["ccb0"]}), KNOWN
    )
    assert "nova_cell0 has no schema revision" in text


def test_a_controller_without_nova_is_to_be_deployed_first() -> None:
    nothing: dict[str, Any] = {
        "api": {"head": None, "known": []},
        "main": {"head": None, "known": []},
    }
    assert "deploy it first" in "".join(refusals.of_schemas(contents(), nothing))


def test_what_another_restore_has_replaced_is_not_lost() -> None:
    record = {"sha256": "other", "old": {"nova": []}, "swapped": "yes"}
    [text] = refusals.of_databases(contents(), {"progress": record, "kept": []})
    assert "the restore of another backup is not over" in text
    [text] = refusals.of_databases(contents(), {"progress": None, "kept": ["nova_before_restore"]})
    assert "nova_before_restore, which nobody here has made" in text


# --- the whole of it ------------------------------------------------------------------------------


class Cloud:
    """Hosts that remember what they were told, and break off where they are told to."""

    def __init__(self, here: Site) -> None:
        self.site, self.state = here, None
        self.record: dict[str, Any] | None = None
        self.marked: set[str] = set()
        self.logging: set[str] = set()
        self.stopped: set[str] = set()
        self.replaced = False
        self.compute_ids: dict[str, str | None] = dict.fromkeys(here.hosts)
        self.done: list[str] = []
        self.cells: Mapping[str, Any] = {}
        self.breaks = -1

    def act(self, what: str) -> None:
        if len(self.done) == self.breaks:
            self.breaks = -1
            raise NoAnswerError(f"cut off at {what}")
        self.done.append(what)

    def look(self) -> dict[str, Any]:
        system = {"id": "debian", "version": "12"}
        return {
            name: {"os": system, "compute_id": self.compute_ids[name]} for name in self.site.hosts
        }

    def data(self, name: str) -> dict[str, Any]:
        return {}

    def ask(self, name: str, fact: type, request: Mapping[str, Any]) -> dict[str, Any]:
        if fact is question.KnownRevisions:
            return KNOWN
        return {"databases": {"nova": {"t": 5}}, "progress": self.record, "kept": [], "others": []}

    def order(self, name: str, fact: type, verb: str, request: Mapping[str, Any]) -> dict[str, Any]:
        if verb == "swap":
            assert self.stopped == {"controller", "compute1", "compute2"}, "somebody writes to them"
            assert self.logging == {"compute1", "compute2"}
            assert self.record is not None
            self.record |= {"old": {}, "swapped": "yes"}
            self.replaced = True
        elif verb == "finish":
            self.record = None
        self.act(verb)
        return {}

    def tell(self, verb: str, requests: Mapping[str, Any]) -> dict[str, Any]:
        for name, request in requests.items():
            if verb == "hold":
                self.marked |= {name} if request["marker"] else set()
                self.logging |= {name} if request["log"] else set()
            elif verb == "stop":
                self.stopped.add(name)
            elif verb == "start":
                self.stopped.discard(name)
            elif verb == "identify":
                self.compute_ids[name] = request["compute_id"]
            elif verb == "release":
                self.marked.discard(name)
                self.logging -= {name} if request["log"] else set()
        self.act(verb)
        return {name: {"healed": {"code": 0, "said": ""}} for name in requests}

    def loaded(self, *arguments: Any) -> dict[str, Any]:
        assert not self.replaced
        self.cells = arguments[3]["cells"]
        self.record = {"sha256": "5ea1", "loaded": "yes"}
        self.act("load")
        return {}

    def facts(self) -> tuple[Any, ...]:
        ids = tuple(sorted((k, v or "") for k, v in self.compute_ids.items()))
        return self.record, self.marked, self.logging, self.stopped, self.replaced, ids


@contextmanager
def text_of_it() -> Iterator[Iterator[bytes]]:
    yield iter([b""])


def restoration(cloud: Cloud, found: Contents) -> Restoration:
    return Restoration(cloud, found, text_of_it, lambda text: None)  # type: ignore[arg-type]


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Cloud]:
    def made() -> Cloud:
        found = Cloud(site({"release": "2025.1"}))
        monkeypatch.setattr(restoring, "given", found.loaded)
        monkeypatch.setattr(restoring, "platform_for", lambda *_: PLATFORM)
        return found

    return made


PLATFORM = platform_for("debian", "12", "zed")
IDS: dict[str, str | None] = {"compute1": "c1", "compute2": None}


def test_it_is_done_in_this_order(cloud: Callable[[], Cloud]) -> None:
    found = cloud()
    restoration(found, contents(compute_ids=IDS)).run()
    order = ["hold", "load", "stop", "swap", "identify", "start", "start", "release"]
    assert found.done == order
    assert (found.marked, found.stopped) == (set(), set())
    assert found.compute_ids["compute1"] == "c1"
    assert found.compute_ids["compute2"] is None


def test_what_is_loaded_comes_to_know_how_the_site_reaches_its_cells(
    cloud: Callable[[], Cloud],
) -> None:
    found = cloud()
    restoration(found, contents()).run()
    assert found.cells == {
        name: {"transport_url": cell.transport_url, "database_connection": cell.database_connection}
        for name, cell in cell_urls(found.site).items()
    }


def test_computes_keep_what_they_find_until_it_is_finished(cloud: Callable[[], Cloud]) -> None:
    found = cloud()
    one = restoration(found, contents())
    one.run()
    assert found.logging == {"compute1", "compute2"}
    one.finish()
    assert found.logging == set()
    assert found.record is None


@pytest.mark.parametrize("breaks", range(8))
def test_cut_off_after_any_step_a_second_call_ends_where_one_would_have(
    cloud: Callable[[], Cloud], breaks: int
) -> None:
    undisturbed = cloud()
    restoration(undisturbed, contents(compute_ids=IDS)).run()
    found = cloud()
    found.breaks = breaks
    with pytest.raises(NoAnswerError):
        restoration(found, contents(compute_ids=IDS)).run()
    restoration(found, contents(compute_ids=IDS)).run()
    assert found.facts() == undisturbed.facts()
    assert found.done.count("swap") <= 1


def test_placement_that_was_not_in_the_backup_is_repaired(cloud: Callable[[], Cloud]) -> None:
    found = cloud()
    restoration(found, contents(databases=["nova_api", "nova_cell0", "nova"])).run()
    assert "heal" in found.done


def test_units_of_others_stand_still_only_where_their_database_is_replaced() -> None:
    here = site()
    seen = {"os": {"id": "debian", "version": "12"}}
    controller, compute = here.controllers[0], here.computes[0]
    whole = restoring.units_of(here, controller, seen, ["nova", "placement", "neutron"])
    assert {"nova-api.service", "placement-api.service", "neutron-server.service"} <= set(whole)
    part = restoring.units_of(here, controller, seen, ["nova"])
    assert all(name.startswith("nova-") for name in part)
    assert restoring.units_of(here, compute, seen, ["nova"]) == ["nova-compute.service"]


# --- what is said ---------------------------------------------------------------------------------


def test_what_will_be_replaced_is_shown_with_numbers(cloud: Callable[[], Cloud]) -> None:
    found = cloud()
    one = restoration(found, contents(compute_ids=IDS))
    lines = "\n".join(restore.told(one, one.databases()))
    assert "nova: 5 rows in 1 table there, replaced by 3 rows in 1 table" in lines
    assert "nova_api: nothing there, replaced by 3 rows" in lines
    assert "compute_id is written on compute1" in lines
    assert "Not in the backup, so as they are: neutron" in lines


@pytest.mark.parametrize(
    "words",
    [
        ["inventory.py", "-y", "cloud.age"],
        ["inventory.py", "cloud.age", "-y"],
        ["-y", "inventory.py", "--force-site", "cloud.age"],
    ],
)
def test_options_may_stand_anywhere(words: list[str]) -> None:
    found = restore.arguments(words)
    assert (found.inventory, str(found.file), found.yes) == ("inventory.py", "cloud.age", True)


# --- the end of it --------------------------------------------------------------------------------


class Left(Cloud):
    """What hosts and databases say before the end."""

    log = False
    problems: tuple[str, ...] = ()

    @contextmanager
    def opened(self) -> Iterator[None]:
        yield

    def seen(self, names: list[str]) -> tuple[dict[str, Any], list[str]]:
        assert names == ["controller", "compute1", "compute2"]
        nothing = {"marker": None, "log": False}
        found = {"controller": nothing, "compute1": {"marker": None, "log": self.log}}
        return (found if self.problems else {**found, "compute2": nothing}), list(self.problems)


def finished(monkeypatch: pytest.MonkeyPatch, left: Left) -> int:
    monkeypatch.setattr(restore, "loaded", lambda _: (None, left.site))
    monkeypatch.setattr(restore, "Hosts", lambda *_: left)
    return restore.main(["inventory.py", "--finish", "-y"])


def test_where_there_is_no_restore_nothing_is_finished(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    left = Left(site())
    assert finished(monkeypatch, left) == 1
    said = capsys.readouterr()
    assert (said.out, said.err, left.done) == ("", "there is no restore to finish\n", [])


def test_of_a_host_that_is_silent_it_is_not_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    left = Left(site())
    left.problems = ("compute2 cannot be reached",)
    assert finished(monkeypatch, left) == 1
    said = "what is left there is not known: compute2 cannot be reached\n"
    assert capsys.readouterr().err.endswith(said)


@pytest.mark.parametrize(("record", "log"), [
    (None, True),
    ({"sha256": "5ea1"}, False),
    ({"sha256": "5ea1", "old": {}, "swapped": "yes"}, False),
])  # fmt: skip
def test_what_a_restore_has_left_is_finished(
    monkeypatch: pytest.MonkeyPatch, record: dict[str, Any] | None, log: bool
) -> None:
    left = Left(site())
    left.record, left.log = record, log
    assert finished(monkeypatch, left) == 0
    assert left.done == ["finish" if record and "old" in record else "abandon", "release"]
