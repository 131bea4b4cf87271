"""What people look at in a browser: a guest's console, with a login and a command, and the page of
the cloud's state."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import this_machine

from .conftest import HAS_TLS, on, run
from .test_resources import booted

Deployed = subprocess.CompletedProcess[str]
BROWSE = Path(__file__).with_name("browse.py")
LOOK = Path(__file__).with_name("look.py")
RELEASE = "bookworm"
PACKAGES = (
    *("chromium", "chromium-driver", "python3-selenium", "python3-pil", "tesseract-ocr"),
    *("fonts-dejavu-core", "libnss3-tools"),
)
NSS = "root/.pki/nssdb"
"""Where Chromium looks for the authorities that its user trusts (docs/linux/cert_management.md)."""
PEM = re.compile("-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n", re.DOTALL)
MAKE_FLAVOR = "openstack flavor create --vcpus 1 --ram 128 --disk 0 console"


@pytest.fixture(scope="module")
def browser(deployed: Deployed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A Debian of its own with Chromium: this machine needs none, and keeps none."""
    folder = tmp_path_factory.mktemp("browser")
    settings, sources, root = folder / "apt.conf", folder / "sources.list", folder / "root"
    settings.write_text(this_machine.apt_settings() + 'APT::Install-Recommends "false";\n')
    sources.write_text(this_machine.sources(RELEASE))
    command = ("mmdebstrap", "--quiet", "--variant=apt", f"--include={','.join(PACKAGES)}")
    made = subprocess.run(
        (*command, f"--aptopt={settings}", RELEASE, str(root), str(sources)), check=False
    )
    assert made.returncode == 0
    (root / "etc/hosts").write_text(on("controller", "cat /etc/hosts").stdout)
    if HAS_TLS:
        trust(root, on("controller", "cat /etc/pyinfra-nova/tls/ca.pem").stdout)
    yield root
    shutil.rmtree(root)


def trust(root: Path, authorities: str) -> None:
    """Have the browser's user trust AUTHORITIES, as one who imports their file."""
    (root / NSS).mkdir(parents=True)
    base = ("chroot", str(root), "certutil", "-d", f"sql:/{NSS}")
    subprocess.run((*base, "-N", "--empty-password"), check=True)
    found = PEM.findall(authorities)
    assert found
    for number, pem in enumerate(found):
        (root / "authority.pem").write_text(pem)
        words = ("-A", "-t", "C,,", "-n", f"services {number}", "-i", "/authority.pem")
        subprocess.run((*base, *words), check=True)


@pytest.fixture
def console(deployed: Deployed) -> Iterator[str]:
    """The address of the console of a guest without a network."""
    on("controller", MAKE_FLAVOR)
    try:
        assert booted("console", "console")["status"] == "ACTIVE"
        shown = on("controller", "openstack console url show --novnc console -f json").stdout
        yield json.loads(shown)["url"]
    finally:
        on("controller", "openstack server delete --wait console")
        on("controller", "openstack flavor delete console")


def browse(
    root: Path, folder: Path, program: Path, *words: str, home: str = "/root"
) -> subprocess.CompletedProcess[str]:
    """Run a program where the browser is, with FOLDER as /mnt and whom HOME trusts."""
    shutil.copy(program, folder)
    result = subprocess.run(
        (
            *("systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--pipe"),
            *("-D", str(root), f"--bind={folder}:/mnt", f"--setenv=HOME={home}"),
            *("python3", f"/mnt/{program.name}", *words),
        ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    print(result.stdout, result.stderr)
    return result


@pytest.mark.slow
def test_a_person_logs_in_on_the_console_in_a_browser(
    browser: Path, console: str, tmp_path: Path
) -> None:
    talk = (
        *("login:", "cirros"),
        *("assword", "gocubsgo"),
        *("commands", "uname -sr; echo $((6 * 7))$((6 * 7))$((6 * 7))"),
        "424242",
    )
    assert console.startswith("https://" if HAS_TLS else "http://")
    result = browse(browser, tmp_path, BROWSE, console, "/mnt/console.png", *talk)
    assert result.returncode == 0
    assert "Linux" in result.stdout
    assert (tmp_path / "console.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
@pytest.mark.skipif(not HAS_TLS, reason="the page is in plain text")
def test_a_browser_that_trusts_nobody_shows_no_console(
    browser: Path, console: str, tmp_path: Path
) -> None:
    assert console.startswith("https://")
    words = (console, "/mnt/console.png", "login:")
    result = browse(browser, tmp_path, BROWSE, *words, home="/mnt")
    assert result.returncode == 1
    assert "ERR_CERT_AUTHORITY_INVALID" in result.stdout
    assert not (tmp_path / "console.png").exists()


@pytest.mark.slow
def test_the_page_of_the_clouds_state_shows_every_host_and_its_room(
    browser: Path, tmp_path: Path
) -> None:
    assert run("./run", "status", "--html", str(tmp_path / "status.html")).returncode == 0
    result = browse(browser, tmp_path, LOOK, "file:///mnt/status.html", "/mnt/status.png")
    assert result.returncode == 0
    seen = json.loads(result.stdout.splitlines()[-1])
    assert [host["name"] for host in seen["hosts"]] == ["compute1", "compute2"]
    for host in seen["hosts"]:
        assert host["visible"] and host["state"] == "up"
        assert len(host["bars"]) == 3 and min(host["bars"]) > 50
    assert (seen["fetched"], seen["said"]) == (0, [])
    assert (tmp_path / "status.png").read_bytes().startswith(b"\x89PNG")
