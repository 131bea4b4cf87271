"""Where the plugin that keeps Nova's password from servers without TLS is, and where it is not."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import Distribution
from pathlib import Path
from urllib.parse import parse_qs, urlparse

import config_files
import host_report
import pytest

from pyinfra_nova.knowledge.platforms import Platform, table
from pyinfra_nova.nova_conf.database_plugin import MODULE, plugin_files, written_plugin_files
from pyinfra_nova.nova_conf.plugin_name import PLUGIN
from pyinfra_nova.nova_conf.urls import database_url
from pyinfra_nova.resources.config_files import _request
from pyinfra_nova.run.host_plan import HostPlan
from pyinfra_nova.site.run_scope import scope_of
from pyinfra_nova.site.tls import TRUST

from .rendered_conf import NOVA_CONF
from .site_data import debian, secrets, site

PASSWORDS = secrets(tls_secret="t" * 32)
ROWS = [pytest.param(row, id=f"{row.system} {row.release}") for row in table().platforms]


def plan(mode: str, name: str = "controller", row: Platform | None = None) -> HostPlan:
    row = row or debian()
    where = site({"tls": {"mode": mode}, "release": row.release}, passwords=PASSWORDS)
    return HostPlan(where.hosts[name], where, row, "qemu", scope_of(where, where.hosts))


def paths(of: HostPlan) -> list[str]:
    return [file.path for file in plugin_files(of.site, of.host, of.platform)]


@pytest.mark.parametrize("row", ROWS)
def test_it_is_beside_novas_own_packages_before_a_url_names_it(row: Platform) -> None:
    """There every Python of the system looks that finds Nova, also after an upgrade of it."""
    found = plan("internal", row=row)
    files = {file.path: file for file in found.files}
    order = list(files)
    mine = paths(found)
    assert len(mine) == 3
    for path in mine:
        assert path.startswith(f"{row.paths.python}/{MODULE}")
        assert order.index(path) < order.index(row.paths.nova_conf)
        assert (files[path].owner, files[path].mode) == ("root", "0644")
    assert row.migrations.main.startswith(f"{row.paths.python}/nova/")
    assert f"&plugin={PLUGIN}\n" in files[row.paths.nova_conf].content


def test_pythons_own_reader_of_packages_finds_it(tmp_path: Path) -> None:
    for file in plugin_files(*_place(plan("internal"))):
        path = tmp_path / file.path[1:]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file.content)
    folder = tmp_path / debian().paths.python[1:] / f"{MODULE}-1.dist-info"
    found = Distribution.at(folder)
    assert (found.metadata["Name"], found.version) == (MODULE, "1")
    [point] = found.entry_points
    assert (point.group, point.name) == ("sqlalchemy.plugins", PLUGIN)
    assert point.value == f"{MODULE}:VerifiedTls"


def _place(of: HostPlan):  # type: ignore[no-untyped-def]
    return of.site, of.host, of.platform


def test_the_url_names_it_and_whom_to_trust() -> None:
    query = urlparse(database_url(plan("internal").site, "nova")).query
    assert parse_qs(query) == {"ssl_ca": [TRUST], "plugin": [PLUGIN]}


def test_hosts_that_ask_no_database_have_none_and_lose_what_they_had() -> None:
    found = plan("internal", "compute1")
    assert paths(found) == []
    assert {*paths(plan("internal"))} <= {file.path for file in found.absent}
    assert not {*paths(plan("internal"))} & {file.path for file in plan("internal").absent}


@pytest.mark.parametrize("row", ROWS)
def test_whoever_asks_the_database_starts_anew_when_it_changes(row: Platform) -> None:
    found = plan("internal", row=row)
    for unit in found.units("controller"):
        assert {*paths(found)} <= {*unit.reads}, unit.name
    for unit in plan("internal", "compute1", row).units("compute"):
        assert not [path for path in unit.reads if MODULE in path], unit.name


def test_without_tls_nothing_of_it_is_there() -> None:
    found = plan("off")
    text = "".join(file.path + file.content for file in found.files)
    assert MODULE not in text and PLUGIN not in text
    assert not [file for file in (*found.absent, *found.absent_at_the_end) if MODULE in file.path]
    assert not [path for unit in found.units("controller") for path in unit.reads if MODULE in path]


def test_it_goes_once_nobody_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encrypted, plain = plan("internal"), plan("off")
    for file in plugin_files(*_place(encrypted)):
        path = tmp_path / file.path[1:]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file.content)
    neighbour = tmp_path / debian().paths.python[1:] / "nova"
    neighbour.mkdir()
    mark, *patterns = host_report.WRITTEN["certificates"]
    looked = {"certificates": (mark, *(f"{tmp_path}{pattern}" for pattern in patterns))}
    monkeypatch.setattr(host_report, "WRITTEN", looked)
    seen = [path[len(str(tmp_path)) :] for path in host_report.written()["certificates"]]
    assert sorted(seen) == sorted(paths(encrypted))
    # A plan says so, and nothing else is touched before the end.
    plain = replace(plain, written={"certificates": seen})
    assert not [file for file in plain.absent if MODULE in file.path]
    request = _request([], plain.absent_at_the_end, write=True)
    for entry in request["absent"]:
        entry["path"] = f"{tmp_path}{entry['path']}"
    answer = config_files.answer(request)
    assert len(answer["files"]) == 3 and answer["left"] == []
    assert [path.name for path in neighbour.parent.iterdir()] == ["nova"]


def test_what_is_somebody_elses_stays(tmp_path: Path) -> None:
    request = _request([], written_plugin_files(debian()), write=True)
    contents = {
        f"{MODULE}.py": '"""Mine."""\n',
        "METADATA": f"Metadata-Version: 2.1\nName: {MODULE}\nVersion: 1\nAuthor: somebody\n",
        "entry_points.txt": "[console_scripts]\n",
    }
    for entry in request["absent"]:
        path = tmp_path / entry["path"][1:]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(contents[path.name])
        entry["path"] = str(path)
    answer = config_files.answer(request)
    assert (answer["files"], len(answer["left"])) == ([], 3)


def test_nova_conf_is_ours_to_compare(tmp_path: Path) -> None:
    """A diff shows that the plugin comes, and no password."""
    content = {file.path: file.content for file in plan("internal").files}[NOVA_CONF]
    path = tmp_path / "nova.conf"
    path.write_text(content.replace(f"&plugin={PLUGIN}", ""))
    difference = config_files.compare(
        {
            **{"path": str(path), "content": content, "owner": "root", "group": "root"},
            **{"mode": "0640", "hidden": False},
        }
    )
    assert f":********@controller:3306/nova?ssl_ca={TRUST}&plugin={PLUGIN}" in difference["diff"]
    assert "d@ta" not in difference["diff"] and "%40" not in difference["diff"]
