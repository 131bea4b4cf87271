"""What the timers of the primary controller get: their settings, files and what of them goes."""

from __future__ import annotations

import configparser
import grp
import json
import os
import pwd
import re
import subprocess
from pathlib import Path
from typing import Any

import cloud_metrics
import config_files
import jobs
import pytest

from pyinfra_nova.care import files
from pyinfra_nova.knowledge.platforms import platform_for
from pyinfra_nova.nova_conf.config_file import AbsentFile, ConfigFile
from pyinfra_nova.resources.config_files import _request, comparison
from pyinfra_nova.run.host_plan import HostPlan
from pyinfra_nova.site.run_scope import scope_of
from pyinfra_nova.site.settings import Site

from .site_data import AWKWARD, faults, secrets, site
from .tls_stand_in import SECRET

RECIPIENT = "age1w6s8lwq7strkfyxv46slu5sn4694ayrglwp2mvk56ctlcljjrc2s82t5nq"
"""Of a key that age-keygen has made, and nobody has kept."""


def written(found: Site) -> dict[str, ConfigFile]:
    host = found.primary_controller
    platform = platform_for("debian", "12", "zed")
    plan = HostPlan(host, found, platform, "qemu", scope_of(found, found.hosts))
    return {file.path: file for file in files.files_for(found, plan.databases)}


def unit(file: ConfigFile) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(file.content)
    return parser


def test_everything_is_taken_care_of_without_being_asked() -> None:
    assert [job.name for job in files.jobs_of(site())] == ["archive", "purge", "audit", "metrics"]


@pytest.mark.parametrize("name", ["archive", "purge", "audit", "metrics"])
def test_none_leaves_a_part_out_and_takes_its_files_away(name: Any) -> None:
    found = site({"care": {name: None}})
    wanted = files.jobs_of(found)
    assert name not in [job.name for job in wanted]
    assert not any(f"nova-care-{name}" in path for path in written(found))
    gone = [file.path for file in files.unwanted(found, wanted)]
    units = "/etc/systemd/system/nova-care-"
    # A backup is off unless somebody asks for it.
    assert gone[-4:] == [
        f"{units}{n}.{kind}" for n in (name, "backup") for kind in ("service", "timer")
    ]
    state = "/var/lib/pyinfra-nova/care"
    assert f"{state}/{name}.json" in gone
    assert (f"{state}/findings.json" in gone) == (name == "audit")
    page = "/var/lib/prometheus/node-exporter/nova.prom"
    assert (page in gone) == (name == "metrics")


def test_metrics_in_another_folder_are_in_no_second_one() -> None:
    found = site({"care": {"metrics": {"folder": "/srv/metrics"}}})
    gone = [file.path for file in files.unwanted(found, files.jobs_of(found))]
    assert "/var/lib/prometheus/node-exporter/nova.prom" in gone


def test_what_a_job_leaves_is_told_by_its_first_line(tmp_path: Path) -> None:
    jobs.write(str(tmp_path / "audit.json"), {"job": "audit"})
    text = (tmp_path / "audit.json").read_text()
    assert json.loads(text) == {"written by": "pyinfra-nova", "job": "audit"}
    assert re.fullmatch(files.LEFT, text.splitlines()[0])
    assert re.fullmatch(f"# {files.MARKER} .*", cloud_metrics.Page().text().splitlines()[0])


def test_a_module_of_an_earlier_version_goes_and_those_of_this_one_stay(tmp_path: Path) -> None:
    """The pattern covers all of them; those that are right are not written again, and stay."""
    ours = "# Written by pyinfra-nova (files/x.py).\n"
    for name in ("old", "right", "differs"):
        (tmp_path / f"{name}.py").write_text(ours)
        (tmp_path / f"{name}.py").chmod(0o644)
    (tmp_path / "somebodys.py").write_text("# mine\n")
    owner = (pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(os.getgid()).gr_name, "0644")
    texts = {"right": ours, "differs": f"{ours}x = 1\n", "new": ours}
    wanted = [ConfigFile(f"{tmp_path}/{name}.py", text, *owner) for name, text in texts.items()]
    absent = [AbsentFile(f"{tmp_path}/*.py", "# Written by pyinfra-nova .*", "marker")]
    planned = config_files.answer(comparison(wanted, absent))
    differing = [each["path"] for each in planned["files"]]
    assert differing == [f"{tmp_path}/{name}.py" for name in ("old", "differs", "new")]
    assert config_files.answer(_request(wanted, absent, differing, write=True)) == planned
    assert planned["left"] == [f"{tmp_path}/somebodys.py"]
    left = {path.stem: path.read_text() for path in tmp_path.iterdir()}
    assert left == {**texts, "somebodys": "# mine\n"}
    assert config_files.answer(comparison(wanted, absent))["files"] == []


def test_without_any_part_nothing_is_written_and_all_of_it_goes() -> None:
    nothing = dict.fromkeys(("archive", "purge", "audit", "metrics"))
    found = site({"care": nothing})
    assert written(found) == {}
    forms = {file.path: file for file in files.unwanted(found, [])}
    for path, file in written(site()).items():
        pattern = path if path in forms else re.sub(r"/[a-z_]+\.py$", "/*.py", path)
        line = file.content.splitlines()[0]
        assert re.fullmatch(forms[pattern].form, line), path


def test_a_timer_says_when_and_its_service_what() -> None:
    found = written(site({"care": {"archive": {"at": "02:30"}, "audit": {"every": 15}}}))
    units = "/etc/systemd/system/nova-care-"
    assert unit(found[f"{units}archive.timer"])["Timer"]["OnCalendar"] == "*-*-* 02:30"
    assert unit(found[f"{units}audit.timer"])["Timer"]["OnUnitActiveSec"] == "15min"
    # Later than a deploy keeps it from its work (QUIET of jobs.py).
    assert unit(found[f"{units}audit.timer"])["Timer"]["OnActiveSec"] == "15min"
    command = unit(found[f"{units}audit.service"])["Service"]["ExecStart"]
    assert command == "/usr/bin/python3 -B /usr/local/lib/pyinfra-nova/jobs.py audit"


def test_the_passwords_are_in_one_file_that_root_alone_reads() -> None:
    found = written(site())
    config = found["/etc/pyinfra-nova/care.json"]
    assert (config.owner, config.mode, config.hidden) == ("root", "0600", True)
    value = json.loads(config.content)
    assert value["databases"]["database"]["password"] == AWKWARD["database_password"]
    assert value["archive"] == {"days": 30, "at": "03:10", "batch": 1000, "pause": 1}
    for path, file in found.items():
        if file is not config:
            assert not any(secret in file.content for secret in AWKWARD.values()), path


def test_jobs_read_whom_to_trust_from_a_file_where_anything_is_encrypted() -> None:
    """They run when no deploy is there to tell them."""
    encrypted = site({"tls": {"mode": "internal"}}, passwords=secrets(tls_secret=SECRET))
    found = json.loads(written(encrypted)["/etc/pyinfra-nova/care.json"].content)
    assert found["trusted"] == "/etc/pyinfra-nova/tls/ca.pem"
    assert "/usr/local/lib/pyinfra-nova/trust.py" in written(encrypted)
    plain = json.loads(written(site())["/etc/pyinfra-nova/care.json"].content)
    assert "trusted" not in plain and "tls" not in plain["audit"]["expected"]


def test_the_program_is_what_an_audit_from_here_runs() -> None:
    names = {path.rpartition("/")[2] for path in written(site()) if path.endswith(".py")}
    assert {"jobs.py", "cloud_metrics.py", "cloud_audit.py", "sql.py", "nova_state.py"} <= names


@pytest.mark.parametrize(
    ("care", "said"),
    [
        ({"archive": {"days": 0}}, "archive.days: input should be greater than or equal to 1"),
        ({"archive": {"at": "25:00"}}, "archive.at: '25:00' is not a time of day such as 03:10"),
        ({"purge": {"at": "23:60"}}, "purge.at: '23:60' is not a time of day such as 03:10"),
        ({"audit": {"every": 0}}, "audit.every: input should be greater than or equal to 1"),
        (
            {"metrics": {"folder": "var/lib"}},
            "metrics.folder: is not the absolute path of a folder",
        ),
        (
            {"metrics": {"folder": "/v/../e"}},
            "metrics.folder: is not the absolute path of a folder",
        ),
        (
            {"backup": {"recipient": f"AGE-SECRET-KEY-1{'Q' * 58}"}},
            "backup.recipient: is a secret key of age; the recipient is what `age-keygen -y` makes "
            "of it",
        ),
        (
            {"backup": {"recipient": "operator@example.org"}},
            "backup.recipient: 'operator@example.org' is no recipient of age: `age1` with 58 small "
            "letters and digits (`age-keygen -y KEY` prints it), or a public key of SSH",
        ),
        (
            {"backup": {"recipient": RECIPIENT.replace("4694ay", "46q4ay")}},
            "backup.recipient: 'age1w6s8lwq7strkfyxv' has a wrong letter in it: copy it anew",
        ),
        (
            {"backup": {"recipient": f"{RECIPIENT[:-1]}b"}},  # which Bech32 has no letter for
            "backup.recipient: 'age1w6s8lwq7strkfyxv' has a wrong letter in it: copy it anew",
        ),
        ({"backup": {}}, "backup.recipient: is missing"),
        ({"tidy": {}}, "tidy: unknown key"),
    ],
)
def test_a_wrong_value_is_named(care: dict[str, Any], said: str) -> None:
    assert faults({"care": care}) == [f"group_data/all.py: care.{said}"]


def test_what_age_keygen_makes_is_a_recipient() -> None:
    made = subprocess.run(["age-keygen"], capture_output=True, text=True, check=True)
    recipient = re.findall(r"age1[0-9a-z]+", made.stderr + made.stdout)[0]
    for one in (recipient, RECIPIENT):
        backup = site({"care": {"backup": {"recipient": one}}}).settings.care.backup
        assert backup and backup.recipient == one
