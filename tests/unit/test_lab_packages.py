"""lab/packages: what stands for Ubuntu's packages is named, laid out and told of as they are."""

from __future__ import annotations

import hashlib
import re
import subprocess
from collections.abc import Iterator
from datetime import date, datetime, timezone
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

import pytest

from lab.packages import build, locking, repository, serve
from lab.packages.contents import debs, in_environment
from lab.packages.deb import Deb, File, Link, control, pack
from lab.packages.environment import LIBRARIES, PLACE
from lab.packages.environment import archive_of as environment_of
from lab.packages.releases import BESIDE_NOVA, PYTHON, RELEASES, lock_of, stand_in
from lab.packages.services import Service
from lab.packages.shape import SERIES, Shape, shape_of
from lab.shell import LabError
from pyinfra_nova.knowledge import releases
from pyinfra_nova.knowledge.platforms import table

PINNED = re.compile(r"[a-z0-9-]+==[0-9][0-9a-z.]*$")


def their_own() -> Iterator[Shape]:
    """Of every release that a series has."""
    for row in table().platforms:
        for series, version in SERIES.items():
            if (row.os, row.os_version) == ("ubuntu", version):
                yield shape_of(series, row.release)


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """What an installed Nova has that packages are made of."""
    etc = tmp_path / "environment/etc/nova"
    (etc / "rootwrap.d").mkdir(parents=True)
    (etc / "rootwrap.conf").write_text("[DEFAULT]\nexec_dirs=/sbin,/usr/bin\n")
    (etc / "rootwrap.d/compute.filters").write_text("[Filters]\n")
    (etc / "api-paste.ini").write_text("[composite:metadata]\n")
    for name in ("nova-manage", "nova-compute", "privsep-helper"):
        path = tmp_path / "environment/bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("#!/bin/sh\n")
    return tmp_path / "environment"


# --- releases and their locks ---------------------------------------------------------------------


def test_every_release_that_is_known_has_a_stand_in_of_its_major_version() -> None:
    assert {name: int(one.nova.split(".")[0]) for name, one in RELEASES.items()} == dict(
        releases.VERSIONS
    )


@pytest.mark.parametrize("name", RELEASES)
def test_a_lock_pins_everything_once_and_says_what_it_is_of(name: str) -> None:
    text = lock_of(name).read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert [line for line in lines if not PINNED.match(line)] == []
    names = [line.partition("==")[0] for line in lines]
    assert len(set(names)) == len(names) > 100
    assert f"nova=={RELEASES[name].nova}" in lines
    assert set(BESIDE_NOVA) <= set(names)
    assert text.startswith(locking.header(name, RELEASES[name]))


@pytest.mark.parametrize("name", RELEASES)
def test_a_lock_keeps_the_limits_of_its_release(name: str) -> None:
    lines = lock_of(name).read_text(encoding="utf-8").splitlines()
    (sqlalchemy,) = (line for line in lines if line.startswith("sqlalchemy=="))
    wanted = "1.4." if releases.VERSIONS[name] <= releases.VERSIONS["2024.2"] else "2.0."
    assert sqlalchemy.startswith(f"sqlalchemy=={wanted}")


def test_libraries_are_of_the_day_of_their_release_nova_itself_of_any() -> None:
    asked = locking.command("uv", Path("in"), Path("out"), stand_in("yoga"))
    assert asked[asked.index("--exclude-newer") + 1] == "2022-03-30"
    assert asked[asked.index("--python-version") + 1] == PYTHON
    assert "--exclude-newer-package=nova=2100-01-01" in asked
    assert "--exclude-newer-package=greenlet=2023-03-01" in asked


def test_releases_come_out_one_after_another() -> None:
    days = [date.fromisoformat(one.date) for one in RELEASES.values()]
    assert days == sorted(days)


def test_a_release_that_nobody_knows_is_refused_with_those_that_are() -> None:
    with pytest.raises(LabError, match=r"no stand-in for xena; possible are: yoga, zed"):
        stand_in("xena")


# --- where they are and what they are called ------------------------------------------------------


def test_a_pocket_and_a_version_are_the_ubuntu_cloud_archives() -> None:
    shape = shape_of("jammy", "2023.1")
    assert shape.archive == "ubuntu-cloud.archive.canonical.com"
    assert shape.suite == "jammy-updates/antelope"
    assert shape.version == "3:27.5.1-0ubuntu1~cloud0"


def test_what_a_series_has_itself_is_in_its_own_archive() -> None:
    shape = shape_of("noble", "2024.1")
    assert (shape.archive, shape.suite) == ("archive.ubuntu.com", "noble")
    assert shape.version == "3:29.4.0-0ubuntu1"


def test_the_suite_is_the_one_that_the_deploy_enables() -> None:
    for shape in their_own():
        if shape.row.repository and shape.row.repository.ids:
            assert shape.row.repository.ids == (shape.suite,)
        else:
            assert shape.suite == shape.series


def test_a_release_that_a_series_never_gets_has_the_shape_of_one_that_does() -> None:
    """The way through all releases stays on one host."""
    assert shape_of("jammy", "2025.1").row.wsgi == "eventlet"
    assert shape_of("jammy", "2026.1").row.wsgi == "apache"
    assert shape_of("noble", "2026.2").suite == "noble-updates/hibiscus"


@pytest.mark.parametrize(
    ("series", "release", "said"),
    [
        ("noble", "zed", "zed is not for noble; possible are 2024.1,"),
        ("focal", "zed", "there is no series focal; possible are: jammy, noble"),
    ],
)
def test_what_there_cannot_be_is_refused(series: str, release: str, said: str) -> None:
    with pytest.raises(LabError, match=said):
        shape_of(series, release)


# --- what is in them ------------------------------------------------------------------------------


@pytest.mark.parametrize("release", ["yoga", "2023.1", "2025.2", "2026.2"])
def test_every_package_and_unit_of_the_row_is_packed(release: str, environment: Path) -> None:
    shape = shape_of("jammy", release)
    packed = {deb.name: deb for deb in debs(shape, environment, "amd64")}
    wanted = shape.row.packages_for(["controller", "compute"])
    assert {name for name in wanted if "nova" in name} <= set(packed)
    files = {path for deb in packed.values() for path in deb.files}
    units = [unit for unit in shape.row.units if unit.name.startswith("nova-")]
    assert units
    for unit in units:
        assert f"/lib/systemd/system/{unit.name}.service" in files
    sites = {shape.row.paths.api_site, shape.row.paths.metadata_site} - {None}
    assert sites <= files
    assert bool(sites) == (shape.row.wsgi == "apache")


def test_each_needs_its_own_version_of_the_others(environment: Path) -> None:
    shape = shape_of("jammy", "2023.1")
    packed = {deb.name: deb for deb in debs(shape, environment, "amd64")}
    for deb in packed.values():
        ours = [words.split()[0] for words in deb.depends if words.split()[0] in packed]
        exact = [words for words in deb.depends if f"(= {shape.version})" in words]
        assert len(exact) >= len([name for name in ours if name != "nova-compute-kvm"])
    assert "nova-common (= 3:27.5.1-0ubuntu1~cloud0)" in packed["python3-nova"].depends


def test_nova_is_where_ubuntu_has_it_and_its_libraries_are_where_no_other_service_looks(
    environment: Path,
) -> None:
    shape = shape_of("noble", "2026.1")
    files = next(debs(shape, environment, "amd64")).files
    assert files["/usr/bin/nova-manage"] == Link(f"{PLACE}/bin/nova-manage")
    assert "/usr/bin/privsep-helper" not in files
    assert files[shape.row.migrations.main] == Link(f"{LIBRARIES}/nova/db/main/migrations/versions")
    assert shape.row.wsgi_apps is not None
    assert isinstance(files[shape.row.wsgi_apps.api], File)


def test_privileges_are_taken_by_the_environments_own_helper() -> None:
    found = in_environment("[DEFAULT]\nexec_dirs=/sbin,/usr/bin\n")
    assert found == f"[DEFAULT]\nexec_dirs={PLACE}/bin,/sbin,/usr/bin\n"


def test_an_init_script_runs_what_etc_default_names(tmp_path: Path) -> None:
    """pyinfra_nova/nova_conf/console_proxy.py names another program there."""
    default = tmp_path / "default"
    default.write_text("DAEMON=/bin/echo\n")
    text = Service("nova-novncproxy", "proxy").init_script
    text = text.replace("/etc/default/$NAME", str(default)).replace("/usr/bin/nova-", "/bin/true #")
    script = tmp_path / "init"
    script.write_text(text)
    said = subprocess.run(
        ["sh", str(script), "systemd-start"], capture_output=True, text=True, check=True
    )
    assert said.stdout == (
        "--config-file=/etc/nova/nova.conf --log-file=/var/log/nova/nova-novncproxy.log\n"
    )


# --- what is kept ---------------------------------------------------------------------------------


def test_what_is_kept_is_named_after_all_that_it_is_made_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = shape_of("jammy", "2023.1")
    names = [build.key(shape, "amd64"), environment_of("2023.1", "amd64").name]
    assert names == [build.key(shape, "amd64"), environment_of("2023.1", "amd64").name]
    assert build.key(shape, "arm64") != names[0]
    lock = lock_of("2023.1").read_text(encoding="utf-8")
    (tmp_path / "2023.1.txt").write_text(lock.replace("greenlet==", "greenlet==9"))
    monkeypatch.setattr("lab.packages.releases.LOCKS", tmp_path)
    changed = [build.key(shape, "amd64"), environment_of("2023.1", "amd64").name]
    assert not set(changed) & set(names)


def test_a_lock_that_was_not_made_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab.packages.releases.LOCKS", tmp_path)
    with pytest.raises(LabError, match=r"zed.txt is missing: `python -m lab.packages lock --rel"):
        lock_of("zed")


# --- packages and repositories as files -----------------------------------------------------------

DEB = Deb(
    name="nova-conductor",
    version="3:27.5.1-0ubuntu1~cloud0",
    summary="OpenStack Compute - conductor service",
    depends=("python3-nova (= 3:27.5.1-0ubuntu1~cloud0)",),
    folders=("/var/lib/nova/tmp",),
    files={"/etc/nova/x.conf": File("x\n", 0o640), "/usr/bin/x": Link("/usr/lib/x")},
    scripts={"postinst": "#!/bin/sh\n"},
)


def test_a_package_says_what_it_is_and_that_it_is_a_stand_in() -> None:
    text = control(DEB, 12)
    assert "Package: nova-conductor\nSource: nova\nVersion: 3:27.5.1-0ubuntu1~cloud0\n" in text
    assert "Depends: python3-nova (= 3:27.5.1-0ubuntu1~cloud0)\n" in text
    assert "stand-in for a test" in text
    assert "Provides" not in text
    assert DEB.file_name == "nova-conductor_27.5.1-0ubuntu1~cloud0_all.deb"


def test_dpkg_reads_what_was_packed(tmp_path: Path) -> None:
    path = pack(DEB, tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == [DEB.file_name]

    def said(*words: str) -> str:
        done = subprocess.run(["dpkg-deb", *words], capture_output=True, text=True, check=True)
        return done.stdout

    assert said("--info", str(path), "conffiles") == "/etc/nova/x.conf\n"
    listed = said("--contents", str(path))
    assert "-rw-r----- root/root" in listed
    assert "drwxr-xr-x root/root" in listed
    assert "./usr/bin/x -> /usr/lib/x" in listed
    assert "./var/lib/nova/tmp/" in listed


def test_an_index_tells_apt_where_a_package_is_and_how_it_is_known() -> None:
    told = repository.entry("Package: x\nVersion: 1\n", "pool/main/n/nova/x.deb", b"deb")
    assert told.splitlines()[:4] == [
        *("Package: x", "Version: 1"),
        *("Filename: pool/main/n/nova/x.deb", "Size: 3"),
    ]
    assert f"SHA256: {hashlib.sha256(b'deb').hexdigest()}\n" in told


def test_a_release_names_its_suite_and_every_index() -> None:
    files = {"main/binary-amd64/Packages": b"text"}
    day = datetime(2026, 11, 28, 12, tzinfo=timezone.utc)
    told = repository.release_file("jammy-updates/antelope", "amd64", files, day)
    assert "\nSuite: jammy-updates/antelope\nCodename: jammy-updates/antelope\n" in told
    assert "\nDate: Sat, 28 Nov 2026 12:00:00 GMT\n" in told
    assert f"\n {hashlib.sha256(b'text').hexdigest()} 4 main/binary-amd64/Packages\n" in told


def test_the_key_of_the_archive_is_where_the_deploys_line_has_it_looked_for() -> None:
    """That line names no keyring, so apt asks trusted.gpg.d alone."""
    assert repository.keyring(b"key").files[
        "/etc/apt/trusted.gpg.d/ubuntu-cloud-keyring.gpg"
    ] == File(b"key")


def test_a_host_gets_files_by_the_archives_own_addresses_and_no_others(tmp_path: Path) -> None:
    wanted = tmp_path / "archive.ubuntu.com/ubuntu/dists/jammy/Release"
    wanted.parent.mkdir(parents=True)
    wanted.write_text("here\n")
    (tmp_path / "secret").write_text("not to be had\n")
    with serve.serving(mirror=tmp_path) as settings:
        (address,) = set(re.findall(r'"(http://[^"]+)"', settings))
        opened = build_opener(ProxyHandler({"http": address}))
        url = "http://archive.ubuntu.com/ubuntu/dists/jammy/Release"
        assert opened.open(url, timeout=10).read() == b"here\n"
        for other in ("http://archive.ubuntu.com/../secret", "http://debian.org/secret"):
            with pytest.raises(OSError, match="404"):
                opened.open(other, timeout=10)
