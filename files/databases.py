"""Read which databases, users and grants a MariaDB server on this host has, or change them.

Request: {"databases": [names], "users": [{"name", "password_hash", "databases": [names]}]}
         or {"statements": [texts]}, which the server is to do, one after the other until one fails
Answer:  {"server": text|null, "error": text|null, "early": bool, "missing_databases": [...]|null,
          "users": [{"name", "missing", "password_differs", "requires_tls": text,
          "missing_grants": [...]}]|null}
`requires_tls` is of who is let in over TLS alone: ANY, or more that is asked of the certificate.
`error` says why there is no answer. It is `early` where no server is there, so that everything is
missing until one is; with any other nothing is known.
Asked over the local socket as root, so no credentials are needed. `password_hash` is
mysql_native_password's: "*" and the hexadecimal SHA-1 of the SHA-1 of the password.
"""

import sql


def every_privilege():
    """The condition that a row of mysql.db holds what GRANT ALL gives: all columns but one."""
    columns = sql.client_rows(
        "the privileges",
        "SELECT column_name FROM information_schema.columns WHERE table_schema = 'mysql'"
        " AND table_name = 'db' AND column_name LIKE '%_priv' AND column_name <> 'Grant_priv'",
    )
    return " AND ".join(f"`{name}` = 'Y'" for (name,) in columns)


def user_differences(wanted, users, grants):
    found, kind = users.get(wanted["name"], (None, ""))
    granted = {schema.replace("\\_", "_") for schema in grants.get(wanted["name"], ())}
    return {
        "name": wanted["name"],
        "missing": found is None,
        "password_differs": found is not None and found != wanted["password_hash"],
        "requires_tls": kind or "",
        "missing_grants": [name for name in wanted["databases"] if name not in granted],
    }


def unanswered(request, error, early):
    return {
        "server": None,
        "error": str(error),
        "early": early,
        "missing_databases": request["databases"] if early else None,
        "users": [user_differences(user, {}, {}) for user in request["users"]] if early else None,
    }


def read():
    """The databases; each user's hash and kind of TLS; in which each may do everything."""
    schemas = {name for (name,) in sql.client_rows("the databases", "SHOW DATABASES")}
    users = {
        user: (hashed, kind)
        for user, hashed, kind in sql.client_rows(
            "mysql.user",
            "SELECT user, authentication_string, ssl_type FROM mysql.user WHERE host = '%'",
        )
    }
    grants = {}
    for user, schema in sql.client_rows(
        "mysql.db", f"SELECT user, db FROM mysql.db WHERE host = '%' AND {every_privilege()}"
    ):
        grants.setdefault(user, set()).add(schema)
    return schemas, users, grants


def written(statements):
    text = "\n".join(statements).rstrip(";")
    try:
        sql.client_rows("the changes", text)
    except (sql.NotInstalledError, sql.NoAnswerError) as error:
        raise SystemExit(f"the database server did not do it: {error}") from None
    return {}


def answer(request):
    if "statements" in request:
        return written(request["statements"])
    try:
        schemas, users, grants = read()
    except sql.NotInstalledError as error:
        return unanswered(request, error, early=True)
    except sql.NoAnswerError as error:
        return unanswered(request, error, early=error.no_server)
    except ValueError as error:
        return unanswered(request, f"rows with other columns than asked for: {error}", early=False)
    return {
        "server": "answers",
        "error": None,
        "early": False,
        "missing_databases": [name for name in request["databases"] if name not in schemas],
        "users": [user_differences(user, users, grants) for user in request["users"]],
    }
