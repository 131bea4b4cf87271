"""Set a RabbitMQ user, its password and its permissions, with the broker's own tool on its host.

Request: {"user", "password", "virtual_host", "set_password": bool, "permit": bool, "apply": bool}
Answer:  {"users": [names], "permitted": USER may do all there, by a look, "error": text|null}
The broker's word is asked again right before each change: a password is changed only where
`rabbitmqctl` itself says that it is wrong, a user or a virtual host is added only where a whole
list is without it. Whatever else `rabbitmqctl` says, or that it says nothing, ends this with its
own words: 69 is a node that is down, 70 and 75 are failures of its own (sysexits.h).
"""

import json
import subprocess

TIMEOUT = 60
# rabbitmq_cli, authenticate_user_command.ex: EX_DATAERR.
WRONG_PASSWORD = 65


class Failed(Exception):  # noqa: N818 - it is what the tool did
    """rabbitmqctl did not do what it was asked; the text has its words."""


def run(*words, stdin="", allowed=()):
    """The exit code, 0 or one of ALLOWED, and the output of one rabbitmqctl."""
    what = "rabbitmqctl " + " ".join(words)
    try:
        result = subprocess.run(
            ["rabbitmqctl", *words], input=stdin, capture_output=True, text=True, timeout=TIMEOUT
        )
    except subprocess.TimeoutExpired as error:
        raise Failed(f"{what} has not ended after {TIMEOUT} s") from error
    except OSError as error:
        raise Failed(f"{what} cannot be run: {error}") from error
    if result.returncode not in (0, *allowed):
        text = result.stderr.strip() or result.stdout.strip()
        if stdin:  # before anything is cut off, or the beginning of it would stay
            text = text.replace(stdin, "***")
        lines = text.splitlines()[:4]
        said = " ".join(line.strip() for line in lines if line.strip())[:400]
        raise Failed(f"{what} ended with {result.returncode}: {said or 'without a word'}")
    return result.returncode, result.stdout


def listed(command, key, *words):
    """The KEY of each row that COMMAND lists; half of a JSON list cannot pass for the whole."""
    _, output = run("-q", "--formatter", "json", command, *words)
    try:
        rows = json.loads(output)
        return {row[key]: row for row in rows}
    except (ValueError, TypeError, KeyError) as error:
        raise Failed(f"rabbitmqctl {command} answers no list: {output[:100]!r}") from error


# No option with what reads the password: RabbitMQ 4 lets a command read its standard input only if
# it has exactly two words, else it waits for ever (its deps/rabbit/scripts/rabbitmqctl).
def set_password(name, password):
    if name not in listed("list_users", "user"):
        run("add_user", name, stdin=password)
        return
    code, _ = run("authenticate_user", name, stdin=password, allowed=(WRONG_PASSWORD,))
    if code == WRONG_PASSWORD:
        run("change_password", name, stdin=password)


def permit(name, virtual_host):
    if virtual_host not in listed("list_vhosts", "name"):
        run("-q", "add_vhost", virtual_host)
    run("-q", "set_permissions", "-p", virtual_host, name, ALL, ALL, ALL)


ALL = ".*"


def is_permitted(name, virtual_host):
    found = listed("list_user_permissions", "vhost", name).get(virtual_host, {})
    return all(found.get(what) == ALL for what in ("configure", "write", "read"))


def answer(request):
    try:
        if request["apply"] and request["set_password"]:
            set_password(request["user"], request["password"])
        if request["apply"] and request["permit"]:
            permit(request["user"], request["virtual_host"])
        user, users = request["user"], sorted(listed("list_users", "user"))
        looks = user in users and not request["apply"]
        permitted = looks and is_permitted(user, request["virtual_host"])
        return {"users": users, "permitted": permitted, "error": None}
    except Failed as error:
        if request["apply"]:
            raise SystemExit(str(error)) from error
        return {"users": [], "permitted": False, "error": str(error)}
