"""Say whether a service is in Keystone under a former type of its, or give it the new one.

Request: {"login": {"auth_url", "username", "password", "project", "user_domain",
          "project_domain"}, "type", "name", "formerly": [types], "apply": bool}
Answer: {"error": text|null, "changes": [texts]}
Its endpoints stay the same ones. A service that is there under its type is left as it is, and so is
every other: clients know the types as names of one service and take either.
"""

import keystone


def former(services, request):
    """The one to be changed; None where the type is there already or none of the former ones."""
    if any(service["type"] == request["type"] for service in services):
        return None
    return next((one for one in services if one["type"] in request["formerly"]), None)


def converge(api, request):
    service = former(api.get("/services")["services"], request)
    if service is None:
        return []
    if request["apply"]:
        body = {"service": {"type": request["type"], "name": request["name"]}}
        api.change("PATCH", "/services/" + service["id"], body)
    return ["service {} becomes {} ({})".format(service["type"], request["type"], request["name"])]


def answer(request):
    login = request["login"]
    api = keystone.Keystone(login["auth_url"])
    try:
        api.token, _ = api.login(
            login["username"],
            login["password"],
            login["user_domain"],
            keystone.project_scope(login),
        )
        return {"error": None, "changes": converge(api, request)}
    except keystone.Refused as error:
        if request["apply"]:
            raise SystemExit(str(error)) from error
        return {"error": str(error), "changes": []}
