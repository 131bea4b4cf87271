"""Compare services' database schemas with their packages, or bring them up to date.

Request: {"services": [{"name", "package", "commands": [[word, ...], ...], "environment": {}}],
          "apply": bool}
Answer:  {"stale": [names]}
Each service's commands run as the user of its name, the services side by side. What was done is
noted in a database of the lab's own; a service whose schema is empty counts as stale even so.
Where no server is yet, all are stale in a plan; a server that gives no answer ends either.
"""

import concurrent.futures
import os
import subprocess

import sql

NOTES = "pyinfra_nova_lab"


def versions(packages):
    result = subprocess.run(
        ["dpkg-query", "--show", "--showformat=${Package} ${Version}\n", *packages],
        capture_output=True,
        text=True,
    )
    return dict(line.split(" ", 1) for line in result.stdout.splitlines())


def asked():
    """The number of tables by database, and the version noted of each service."""
    counts = "SELECT table_schema, COUNT(*) FROM information_schema.tables GROUP BY 1"
    tables = dict(sql.client_rows("information_schema", counts))
    if NOTES not in tables:
        return tables, {}
    return tables, dict(sql.client_rows(NOTES, f"SELECT service, version FROM {NOTES}.synced"))


def stale(services, apply):
    wanted = versions([service["package"] for service in services])
    try:
        tables, notes = asked()
    except (sql.NotInstalledError, sql.NoAnswerError) as error:
        if apply or not (isinstance(error, sql.NotInstalledError) or error.no_server):
            raise SystemExit(str(error)) from None
        return list(services)
    return [
        service
        for service in services
        if service["name"] not in tables
        or notes.get(service["name"]) != wanted.get(service["package"])
    ]


def bring_up(service):
    for command in service["commands"]:
        result = subprocess.run(
            ["runuser", "-u", service["name"], "--", *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd="/",
            env={**os.environ, **service["environment"]},
        )
        if result.returncode:
            tail = "\n".join(result.stdout.splitlines()[-8:])
            return "{} ended with {}:\n{}".format(" ".join(command), result.returncode, tail)
    return None


def note(services):
    known = versions([service["package"] for service in services])
    rows = ", ".join("('{}', '{}')".format(s["name"], known[s["package"]]) for s in services)
    columns = "service VARCHAR(64) PRIMARY KEY, version VARCHAR(255)"
    try:
        for statement in (
            f"CREATE DATABASE IF NOT EXISTS {NOTES}",
            f"CREATE TABLE IF NOT EXISTS {NOTES}.synced ({columns})",
            f"REPLACE INTO {NOTES}.synced VALUES {rows}",
        ):
            sql.client_rows(NOTES, statement)
    except sql.NoAnswerError as error:
        raise SystemExit(str(error)) from None


def answer(request):
    due = stale(request["services"], request["apply"])
    if request["apply"] and due:
        with concurrent.futures.ThreadPoolExecutor() as pool:
            failures = [failure for failure in pool.map(bring_up, due) if failure]
        if failures:
            raise SystemExit("\n".join(failures))
        note(due)
    return {"stale": [service["name"] for service in due]}
