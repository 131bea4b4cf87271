"""Every system, release and role: what is rendered is what that release reads, and no more."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

import pytest
from oslo_config import cfg, types

from pyinfra_nova.knowledge.platforms import Platform, platform_for, table
from pyinfra_nova.knowledge.releases import VERSIONS, load
from pyinfra_nova.nova_conf.check import Role, Source, findings
from pyinfra_nova.nova_conf.config_file import ConfigFile
from pyinfra_nova.nova_conf.ini import option_values
from pyinfra_nova.nova_conf.render import files_for
from pyinfra_nova.site.settings import Site

from .site_data import all_in_one, secrets, site

VirtType = Literal["kvm", "qemu"]
HOSTS: dict[Role, str] = {"controller": "controller", "compute": "compute1", "all-in-one": "aio"}
ROWS = [pytest.param(row, id=f"{row.os}-{row.os_version}-{row.release}") for row in
        table().platforms]  # fmt: skip


@cache
def where(role: Role, release: str, vnc: bool, tls: str) -> Site:
    settings: dict[str, Any] = {"release": release, "vnc": {"enabled": vnc}, "tls": {"mode": tls}}
    passwords = secrets(tls_secret="t" * 32)
    if role == "all-in-one":
        return all_in_one(settings, passwords=passwords)
    return site(settings, passwords=passwords)


def files(role: Role, row: Platform, virt_type: VirtType = "kvm", vnc: bool = True,
          tls: str = "off") -> list[ConfigFile]:  # fmt: skip
    found = where(role, row.release, vnc, tls)
    return files_for(found, found.hosts[HOSTS[role]], row, virt_type)


def sources(written: list[ConfigFile]) -> list[Source]:
    """What nova-compute and the other daemons read, in their order."""
    return [Source(file.path, file.content, int(file.mode, 8)) for file in written if file.oslo]


def options(written: list[ConfigFile]) -> dict[str, list[str]]:
    return {
        name: value for file in sources(written) for name, value in option_values(file.text).items()
    }


def variants() -> Iterator[tuple[VirtType, bool]]:
    yield from ((virt_type, vnc) for virt_type in get_args(VirtType) for vnc in (True, False))


@pytest.mark.parametrize("tls", ["off", "internal"])
@pytest.mark.parametrize("role", get_args(Role))
@pytest.mark.parametrize("row", ROWS)
def test_the_release_reads_every_option_that_is_written(
    row: Platform, role: Role, tls: str
) -> None:
    known = load(row.release)
    for virt_type, vnc in variants():
        written = files(role, row, virt_type, vnc, tls)
        assert findings(sources(written), row.release, role) == []
        for name in options(written):
            section, _, key = name.partition("/")
            found = known.option(section, key)
            assert found is not None, name  # not even one that is read under a former name
            assert found.deprecated is None, name


def oslo_type(kind: Mapping[str, Any]) -> types.ConfigType:
    """oslo.config's own type for a row of a release's table."""
    given = {name: kind[name] for name in ("min", "max", "choices") if name in kind}
    match kind["type"]:
        case "boolean":
            return types.Boolean()
        case "integer":
            return types.Integer(**given)
        case "float":
            return types.Float(**given)
        case "port":
            return types.Port(**given)
        case "list":
            return types.List(oslo_type(kind["item"]))
        case "dict":
            return types.Dict(oslo_type(kind["item"]))
        case "uri":
            return types.URI(schemes=kind.get("schemes"))
        case "host address":
            return types.HostAddress()
        case "host domain":
            return types.HostDomain()
        case "string":
            more = {name: kind[name] for name in ("regex", "max_length") if name in kind}
            return types.String(**given, **more, ignore_case=kind.get("ignore_case", False))
    raise AssertionError(kind["type"])


@pytest.mark.parametrize("tls", ["off", "internal"])
@pytest.mark.parametrize("role", get_args(Role))
@pytest.mark.parametrize("row", ROWS)
def test_oslo_config_itself_reads_every_value_as_its_type(
    row: Platform, role: Role, tls: str, tmp_path: Path
) -> None:
    written = files(role, row, tls=tls)
    known, conf, paths = load(row.release), cfg.ConfigOpts(), []
    for number, source in enumerate(sources(written)):
        paths.append(str(tmp_path / f"{number}.conf"))
        Path(paths[-1]).write_text(source.text)
    names = [name.split("/", 1) for name in options(written)]
    for section, name in names:
        found = known.option(section, name)
        assert found is not None
        kind = oslo_type(found.data)
        opt = cfg.MultiOpt(name, kind) if found.multi else cfg.Opt(name, kind)
        conf.register_opt(opt, group=None if section == "DEFAULT" else section)
    conf([], project="nova", default_config_files=paths)
    for section, name in names:
        group = conf if section == "DEFAULT" else getattr(conf, section)
        assert getattr(group, name) is not None  # a value of another type raises


@pytest.mark.parametrize("row", ROWS)
def test_processes_are_told_to_what_serves_the_apis(row: Platform) -> None:
    settings: dict[str, Any] = {
        "release": row.release,
        "workers": {"api_processes": 3, "metadata_processes": 5, "metadata_threads": 7},
    }
    found = site(settings)
    written = files_for(found, found.hosts["controller"], row, "kvm")
    texts = {file.path: file.content for file in written}
    if row.wsgi == "eventlet":
        conf = options(written)
        assert conf["DEFAULT/osapi_compute_workers"] == ["3"]
        assert conf["DEFAULT/metadata_workers"] == ["5"]
        assert conf["DEFAULT/enabled_apis"] == ["osapi_compute,metadata"]
    elif row.wsgi == "uwsgi":
        assert "\nprocesses = 3\n" in texts[str(row.paths.api_uwsgi)]
        assert "\nthreads = 7\n" in texts[str(row.paths.metadata_uwsgi)]
    else:
        assert " processes=3 threads=1 " in texts[str(row.paths.api_site)]
        assert " processes=5 threads=7 " in texts[str(row.paths.metadata_site)]
    assert row.wsgi == "eventlet" or "DEFAULT/enabled_apis" not in options(written)


@pytest.mark.parametrize("row", ROWS)
def test_config_drives_are_made_by_the_program_that_is_installed(row: Platform) -> None:
    conf = options(files("compute", row))
    asked = conf.get("DEFAULT/mkisofs_cmd", ["genisoimage"])
    assert asked == [row.mkisofs]
    package = {"genisoimage": "genisoimage", "mkisofs": "xorriso"}[row.mkisofs]
    assert package in row.packages_for(["compute"])


@pytest.mark.parametrize("row", ROWS)
def test_libvirt_is_told_in_the_file_that_wins(row: Platform) -> None:
    last = sources(files("compute", row, "qemu"))[-1]
    assert option_values(last.text)["libvirt/virt_type"] == ["qemu"]
    assert last.name == (row.paths.nova_compute_conf or row.paths.nova_conf)


def test_uwsgi_loads_modules_where_there_are_no_scripts() -> None:
    texts = {f.path: f.content for f in files("controller", platform_for("debian", "", "2026.2"))}
    api = texts["/etc/nova/nova-api-uwsgi.ini"]
    assert "\nmodule = nova.wsgi.osapi_compute:application\n" in api
    assert "wsgi-file" not in api


def test_apache_has_a_site_for_each_api() -> None:
    row = platform_for("ubuntu", "24.04", "2026.1")
    texts = {file.path: file.content for file in files("controller", row)}
    site = texts["/etc/apache2/sites-available/nova-api.conf"]
    assert "\nListen 8774\n" in site
    assert "WSGIScriptAlias / /usr/lib/python3/dist-packages/nova/wsgi/osapi_compute.py\n" in site
    assert "<Files osapi_compute.py>" in site
    assert "\nListen 8775\n" in texts["/etc/apache2/sites-available/nova-api-metadata.conf"]


def test_every_release_has_a_row() -> None:
    assert {row.release for row in table().platforms} == set(VERSIONS)


@pytest.mark.parametrize("role", get_args(Role))
def test_a_host_is_rendered_and_checked_in_50_ms(role: Role) -> None:
    row = platform_for("rocky", "9.5", "2024.1")
    times = []
    for _ in range(5):
        started = time.perf_counter()
        findings(sources(files(role, row)), row.release, role)
        times.append(time.perf_counter() - started)
    assert min(times) < 0.05
