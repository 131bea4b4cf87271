"""Names that mean something to a shell or SQL end up literally in commands and statements."""

from __future__ import annotations

import configparser
import os
import re
import subprocess
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import broker_users
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import SecretStr
from pyinfra.context import ctx_host

from pyinfra_nova.resources.cells import nova_manage
from pyinfra_nova.resources.databases import DatabaseUser, statements
from pyinfra_nova.session.ssh_command import ssh_arguments
from pyinfra_nova.session.steps import refused
from tests.unit.hostile_text import HOSTILE, fuzzed
from tests.unit.rabbitmqctl_stand_in import Rabbitmqctl
from tests.unit.rendered_conf import NOVA_CONF, rendered
from tests.unit.site_data import AWKWARD, secrets, site


def test_what_uwsgi_and_sh_read_holds_nothing_of_the_operators() -> None:
    hostile = site(
        {"region": "a\u00a0; [x] $(id)", "messaging": {"user": "a@b"}}, passwords=secrets()
    )
    plain = site(passwords=secrets(**dict.fromkeys(AWKWARD, "12345678")))
    ours = rendered(hostile, "controller")
    for path, file in rendered(plain, "controller").items():
        if path != NOVA_CONF:
            assert ours[path].content == file.content


def test_sh_reads_the_console_proxys_defaults() -> None:
    content = rendered(site(), "controller")["/etc/default/nova-consoleproxy"].content
    script = content + '\necho "$NOVA_CONSOLE_PROXY_TYPE $NOVA_SERIAL_PROXY_START"'
    done = subprocess.run(["sh", "-eu", "-c", script], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("novnc FALSE\n", "")


def test_uwsgis_files_have_no_option_that_configparser_cannot_read() -> None:
    for path, file in rendered(site(), "controller").items():
        if path.endswith(".ini"):
            parser = configparser.RawConfigParser(strict=True)
            parser.read_string(file.content)
            assert parser.sections() == ["uwsgi"]


LOGINS = st.text("abcXYZ019._@+-", min_size=1, max_size=80).filter(lambda name: name[0] != "-")
VIRTUAL_HOSTS = LOGINS.filter(lambda name: not {"@", "+"} & set(name))
END = "end of the call"

few = hypothesis_settings(
    max_examples=5,  # each starts programs, and draws a list
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def ran(tmp_path: Path, *commands: object) -> list[list[str]]:
    """What ``sh`` runs of COMMANDS: the arguments of each runuser, in order."""
    record = tmp_path / "record"
    record.write_text("")
    program = tmp_path / "runuser"
    program.write_text(f"""#!/bin/sh\nprintf '%s\\0' "$@" '{END}' >>'{record}'\n""")
    program.chmod(0o755)
    script = "\n".join(str(command) for command in commands)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
    subprocess.run(["sh"], input=script.encode(), env=environment, check=False)
    calls = record.read_bytes().decode().split(f"{END}\0")[:-1]
    return [call.split("\0")[:-1] for call in calls]


@few
@given(names=st.lists(st.tuples(LOGINS, VIRTUAL_HOSTS), min_size=1, max_size=4))
def test_rabbitmqctl_gets_names_as_they_are(tmp_path: Path, names: list[tuple[str, str]]) -> None:
    expected = []
    tool = Rabbitmqctl(tmp_path, vhosts=[])
    with patch.dict(os.environ, {"PATH": f"{tmp_path}:/usr/bin:/bin"}):
        for name, virtual_host in dict(names).items():
            tool.set(vhosts=[])
            broker_users.set_password(name, "x" * 8)
            broker_users.permit(name, virtual_host)
            expected += [
                ["-q", "--formatter", "json", "list_users"],
                ["add_user", name],
                ["-q", "--formatter", "json", "list_vhosts"],
                ["-q", "add_vhost", virtual_host],
                ["-q", "set_permissions", "-p", virtual_host, name, ".*", ".*", ".*"],
            ]
    assert tool.asked == expected


@few
@given(lists=st.lists(st.lists(HOSTILE, min_size=1, max_size=3), min_size=1, max_size=8))
def test_nova_manage_gets_arguments_as_they_are(tmp_path: Path, lists: list[list[str]]) -> None:
    # What no argument can hold is kept out of every setting as a forbidden character.
    sound = [[re.sub("[\0\ud800-\udfff]", "", word) for word in words] for words in lists]
    calls = ran(tmp_path, *(nova_manage(*words) for words in sound))
    assert calls == [["-u", "nova", "--", "nova-manage", *words] for words in sound]


def test_the_reason_of_a_refusal_is_printed_as_it_is() -> None:
    """dash's echo, say, would end the text at a backslash and c."""
    host = SimpleNamespace(state=SimpleNamespace(is_executing=True))
    with ctx_host.use(host):
        (command,) = refused("50% of \\config\\n; `id`")
    done = subprocess.run(["sh", "-c", str(command)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "50% of \\config\\n; `id`\n"


def test_ssh_takes_no_address_for_an_option() -> None:
    words = ssh_arguments("x", {"ssh_hostname": "-oProxyCommand=id"}, ["uptime"])
    done = subprocess.run([words[0], "-G", *words[1:]], capture_output=True, text=True, check=False)
    assert "proxycommand" not in done.stdout


def tokens(sql: str) -> list[str]:
    """SQL by the manual's lexical rules: literals as ``'value``, names as ```value``, words."""
    found, position = [], 0
    rule = re.compile(
        r"\s+|'(?P<text>(?:[^'\\]|''|\\.)*)'|`(?P<name>(?:[^`]|``)*)`|(?P<word>\w+|[^\w\s])",
        re.DOTALL,
    )
    while position < len(sql):
        match = rule.match(sql, position)
        assert match, sql[position:]
        position = match.end()
        if match["text"] is not None:
            text = re.sub(r"\\(.)|''", lambda m: m[1] or "'", match["text"], flags=re.DOTALL)
            found.append("'" + text)
        elif match["name"] is not None:
            found.append("`" + match["name"].replace("``", "`"))
        elif match["word"]:
            found.append(match["word"])
    return found


@fuzzed
@given(user=HOSTILE, database=HOSTILE)
def test_a_name_in_a_statement_is_one_token(user: str, database: str) -> None:
    lack = {
        "name": user,
        "missing": True,
        "password_differs": False,
        "missing_grants": [database],
    }
    state = {"missing_databases": [database], "users": [lack]}
    account = DatabaseUser(user, SecretStr("x" * 8), (database,))
    create, make, grant = (tokens(sql) for _, sql in statements(state, [account]))
    assert create == ["CREATE", "DATABASE", "`" + database, "CHARACTER", "SET", "utf8mb3", ";"]
    assert make[:5] == ["CREATE", "USER", "'" + user, "@", "'%"]
    pattern = database.replace("\\", "\\\\").replace("_", "\\_").replace("%", "\\%")
    assert grant[3:] == ["ON", "`" + pattern, ".", "*", "TO", "'" + user, "@", "'%", ";"]
