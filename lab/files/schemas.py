"""Compare services' database schemas with their packages, or bring them up to date.

Request: {"services": [{"name", "package", "commands": [[word, ...], ...], "environment": {}}],
          "apply": bool}
Answer:  {"stale": [names]}
Each service's commands run as the user of its name, the services side by side. What was done is
noted in a database of the lab's own; a service whose schema is empty counts as stale even so.
"""

import concurrent.futures
import os
import subprocess

NOTES = "pyinfra_nova_lab"


def sql(statement):
    result = subprocess.run(
        ["mysql", "--batch", "--skip-column-names"], input=statement, capture_output=True, text=True
    )
    if result.returncode:
        raise OSError(result.stderr.strip())
    return [line.split("\t") for line in result.stdout.splitlines()]


def versions(packages):
    result = subprocess.run(
        ["dpkg-query", "--show", "--showformat=${Package} ${Version}\n", *packages],
        capture_output=True,
        text=True,
    )
    return dict(line.split(" ", 1) for line in result.stdout.splitlines())


def stale(services):
    wanted = versions([service["package"] for service in services])
    try:
        tables = dict(
            sql("SELECT table_schema, COUNT(*) FROM information_schema.tables GROUP BY 1")
        )
        notes = {}
        if NOTES in tables:
            notes = dict(sql(f"SELECT service, version FROM {NOTES}.synced"))
    except OSError:
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
    sql(f"CREATE DATABASE IF NOT EXISTS {NOTES}")
    columns = "service VARCHAR(64) PRIMARY KEY, version VARCHAR(255)"
    sql(f"CREATE TABLE IF NOT EXISTS {NOTES}.synced ({columns})")
    sql(f"REPLACE INTO {NOTES}.synced VALUES {rows}")


def answer(request):
    due = stale(request["services"])
    if request["apply"] and due:
        with concurrent.futures.ThreadPoolExecutor() as pool:
            failures = [failure for failure in pool.map(bring_up, due) if failure]
        if failures:
            raise SystemExit("\n".join(failures))
        note(due)
    return {"stale": [service["name"] for service in due]}
