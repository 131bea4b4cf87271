"""The checker's command: what it prints, what it ends with, how long it takes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pyinfra_nova.knowledge.releases import load
from pyinfra_nova.nova_conf.check import NotIni, Role
from pyinfra_nova.nova_conf.check.__main__ import main
from tests.unit.checked import DATA, check, sources
from tests.unit.site_data import site

SEED_SECRETS = (
    *("RABBITPASS", "NOVAPASS", "NOVASERVICEPASS", "PLACEMENTPASS", "NEUTRONPASS"),
    "METADATASECRET",
)


@pytest.mark.parametrize("how", ["text", "json", "sarif"])
@pytest.mark.parametrize("role", ["controller", "compute"])
def test_no_output_shows_a_secret(role: str, how: str, capsys: pytest.CaptureFixture[str]) -> None:
    file = DATA / f"seed-{role}.conf"
    assert main([str(file), "--release", "zed", "--role", role, "--format", how]) == 1
    shown = capsys.readouterr()
    for secret in SEED_SECRETS:
        assert secret not in shown.out + shown.err


@pytest.mark.parametrize(
    "text",
    [
        "[neutron]\npassword = hunter2$hunter2\n",
        "[neutron]\npasword = hunter2\n",
        "[neutrn]\npassword = hunter2\n",
        "[DEFAULT]\ntransport_url = rabbit://a:hunter2@c/ # hunter2\n",
        "[DEFAULT]\nmy_ip = http://a:hunter2@c/\n",
        "[vnc]\nserver_listen = http://a:hunter2@c/\n",
        "[database]\nconnection = $hunter2\n",
        "[database]\nconnection = hunter2\n # hunter2\n",
        "[glance]\napi_servers = http://a:hunter2@c/ # x\n",
        "[oslo_messaging_rabbit]\nrabbit_password = hunter2\n",
        "[keystone_authtoken]\nauth_type = hunter2\nmemcache_secret_key = hunter2\n",
    ],
)
def test_a_secret_in_any_place_stays_hidden(text: str) -> None:
    for role in ("controller", "compute"):
        found = check(text, role)
        assert found
        assert "hunter2" not in repr(found)


@pytest.mark.parametrize(
    "secret", ["hunter2", "c2VjcmV0LXBhc3N3b3Jk", "Ex4mple-Word", "a_word", "x"]
)
@pytest.mark.parametrize(
    "lines",
    [
        "password {}=",
        "password {} = x",
        "password\t{}: x",
        "password = x\n{}=",
        "password = x\n{}@controller/nova?charset=utf8",
        "{} = password",
        "{}",
        "password {}",
    ],
)
def test_no_part_of_a_line_that_names_no_option_is_shown(lines: str, secret: str) -> None:
    """Such as after a forgotten ``=``, or in the second line of a value that is not indented."""
    secret = f"Q7{secret}7Q"
    text = "[neutron]\nauth_url = http://c:5000\n" + lines.format(secret) + "\n"
    try:
        found = check(text, "controller")
    except NotIni as error:
        assert secret not in str(error)
        return
    assert secret not in repr(found)
    (line,) = [f for f in found if f.kind == "unknown"]
    assert line.problem.startswith("not read: this line names no option, and is not shown")
    if lines.startswith("password") and "\n" not in lines:
        assert line.remedy == "write a '=' behind password"


def test_a_file_that_is_no_ini_is_refused_without_showing_it() -> None:
    with pytest.raises(NotIni) as error:
        check("[neutron]\nhunter2\n")
    assert str(error.value) == "nova.conf:2: no '=' or ':' in an assignment"


def test_exit_codes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = []
    for file in sources(site(), "compute1"):
        names.append(tmp_path / Path(file.name).name)
        names[-1].write_text(file.text, encoding="utf-8")
        names[-1].chmod(0o640)
    asked = ["--release", "zed", "--role", "compute"]
    assert main([*map(str, names), *asked]) == 0
    assert capsys.readouterr().out.startswith("no findings (Nova 26.")
    names[0].chmod(0o644)
    names[1].chmod(0o644)  # nova-compute.conf holds no secret
    assert main([*map(str, names), *asked]) == 1
    assert f"{names[0]}: error: insecure: everybody on the host" in capsys.readouterr().out
    assert main([str(tmp_path / "none"), *asked]) == 2
    (tmp_path / "binary").write_bytes(b"\xff\xfe[")
    assert main([str(tmp_path / "binary"), *asked]) == 2
    (tmp_path / "not.ini").write_text("my_ip = 1\n", encoding="utf-8")
    assert main([str(tmp_path / "not.ini"), *asked]) == 2
    assert "an option before the first [section]" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stopped:
        main([str(names[0]), "--release", "grizzly", "--role", "compute"])
    assert stopped.value.code == 2


def test_json_and_sarif_say_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    words = [str(DATA / "seed-compute.conf"), "--release", "zed", "--role", "compute", "--format"]
    main([*words, "json"])
    plain = json.loads(capsys.readouterr().out)
    main([*words, "sarif"])
    results = json.loads(capsys.readouterr().out)["runs"][0]["results"]
    assert (plain["release"], plain["role"]) == ("zed", "compute")
    assert len(plain["findings"]) == len(results) > 10
    for finding, result in zip(plain["findings"], results, strict=True):
        place = result["locations"][0]["physicalLocation"]
        assert place.get("region", {}).get("startLine", 0) == finding["line"]
        assert result["ruleId"] == finding["kind"]


def test_run_checks_a_file_from_anywhere_without_an_environment(tmp_path: Path) -> None:
    (tmp_path / "mine.conf").write_text("[DEFAULT]\nuse_neutron = true\n", encoding="utf-8")
    run = Path(__file__).resolve().parents[2] / "run"
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        [run, "check", "mine.conf", "--release", "zed", "--role", "compute"],
        cwd=tmp_path,
        env={"PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "mine.conf:2: warning: removed: [DEFAULT] use_neutron" in done.stdout


def test_it_needs_nothing_but_pythons_own_library() -> None:
    code = "import sys, pyinfra_nova.nova_conf.check.__main__; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, '.'); {code}"],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert not {"yaml", "pydantic", "pyinfra", "nova", "oslo_config"} & set(done.stdout.split())


@pytest.mark.parametrize("role", ["controller", "compute"])
def test_a_file_is_checked_in_50_ms(role: Role) -> None:
    text = (DATA / f"seed-{role}.conf").read_text(encoding="utf-8")
    times = []
    for _ in range(5):
        load.cache_clear()
        started = time.perf_counter()
        check(text, role)
        times.append(time.perf_counter() - started)
    assert min(times) < 0.05
