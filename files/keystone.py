"""Compare Keystone with what it should hold, or bring it in line, over its own API.

Request: {"auth_url", "admin": {"username", "password", "project", "user_domain",
          "project_domain"}, "domain", "project_domain", "projects": [names], "roles": [names],
          "users": [{"name", "password", "project", "roles"}],
          "services": [{"type", "name", "description"}],
          "endpoints": [{"type", "interface", "url", "region"}], "apply": bool}
Answer:  {"answers": bool, "error": text|null, "changes": [texts],
          "new_passwords": [users that exist with another one]}
One login and a handful of GETs where the openstack client would cost two seconds a question.
"""

import http.client
import json
import urllib.error
import urllib.parse
import urllib.request

TIMEOUT = 30


class Refused(Exception):  # noqa: N818 - it is what Keystone did
    """Keystone said no; the text says what was asked and what the answer was."""


class Keystone:
    """Keystone's v3 API, as nobody until a token is set."""

    def __init__(self, auth_url):
        self.token = None
        self.auth_url = auth_url.rstrip("/")
        if not self.auth_url.endswith("/v3"):
            self.auth_url += "/v3"

    def call(self, method, path, body=None):
        """The status, headers and JSON body of one request."""
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self.token:
            headers["X-Auth-Token"] = self.token
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self.auth_url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
                text = response.read()
                return response.status, response.headers, json.loads(text) if text else {}
        except urllib.error.HTTPError as error:
            return error.code, error.headers, {}
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise Refused(f"{self.auth_url} does not answer: {error}") from error

    def login(self, username, password, domain, scope=None):
        """The token's identifier and body; asked without the token held so far."""
        user = {"name": username, "password": password, "domain": {"name": domain}}
        auth = {"identity": {"methods": ["password"], "password": {"user": user}}}
        if scope:
            auth["scope"] = scope
        held, self.token = self.token, None
        try:
            status, headers, body = self.call("POST", "/auth/tokens", {"auth": auth})
        finally:
            self.token = held
        if status != 201:
            raise Refused(f"{self.auth_url} refuses user {username} ({status})")
        return headers["X-Subject-Token"], body["token"]

    def accepts(self, username, password, domain):
        """Whether this password opens the door."""
        try:
            self.login(username, password, domain)
            return True
        except Refused:
            return False

    def get(self, path, **query):
        text = "?" + urllib.parse.urlencode(query) if query else ""
        status, _, body = self.call("GET", path + text)
        if status != 200:
            raise Refused(f"GET {self.auth_url}{path} answered {status}")
        return body

    def change(self, method, path, body=None):
        status, _, answer_body = self.call(method, path, body)
        if status not in (200, 201, 204):
            raise Refused(f"{method} {self.auth_url}{path} answered {status}")
        return answer_body


class Convergence:
    """What differs, said as texts, and done on the way where `apply` is set."""

    def __init__(self, keystone, request):
        self.keystone = keystone
        self.request = request
        self.apply = request["apply"]
        self.changes = []
        self.new_passwords = []
        self.domain = self.domain_named(request["domain"])
        self.project_domain = self.domain
        if request["project_domain"] != request["domain"]:
            self.project_domain = self.domain_named(request["project_domain"])

    def domain_named(self, name):
        domains = self.keystone.get("/domains", name=name)["domains"]
        if not domains:
            raise Refused(f"{self.keystone.auth_url} has no domain {name}")
        return domains[0]["id"]

    def named(self, kind, **query):
        return {item["name"]: item for item in self.keystone.get("/" + kind, **query)[kind]}

    def do(self, text, method, path, body=None):
        """Note a change; do it when changes are wanted; what the API answers, or {}."""
        self.changes.append(text)
        return self.keystone.change(method, path, body) if self.apply else {}

    def projects(self):
        found = self.named("projects", domain_id=self.project_domain)
        for name in self.request["projects"]:
            if name not in found:
                body = {"project": {"name": name, "domain_id": self.project_domain}}
                made = self.do("create project " + name, "POST", "/projects", body)
                found[name] = made.get("project", {"id": None})
        return {name: item["id"] for name, item in found.items()}

    def roles(self):
        found = self.named("roles")
        for name in self.request["roles"]:
            if name not in found:
                made = self.do("create role " + name, "POST", "/roles", {"role": {"name": name}})
                found[name] = made.get("role", {"id": None})
        return {name: item["id"] for name, item in found.items()}

    def users(self, projects, roles):
        found = self.named("users", domain_id=self.domain)
        for wanted in self.request["users"]:
            user = self.user(wanted, found.get(wanted["name"]))
            self.assignments(wanted, user, projects, roles)

    def user(self, wanted, user):
        name, password = wanted["name"], wanted["password"]
        if user is None:
            body = {"user": {"name": name, "password": password, "domain_id": self.domain}}
            return self.do("create user " + name, "POST", "/users", body).get("user", {"id": None})
        if not user.get("enabled", True):
            body = {"user": {"enabled": True}}
            self.do("enable user " + name, "PATCH", "/users/" + user["id"], body)
        # A disabled user is refused whatever the password; a plan cannot tell more.
        can_tell = user.get("enabled", True) or self.apply
        if can_tell and not self.keystone.accepts(name, password, self.request["domain"]):
            body = {"user": {"password": password}}
            self.new_passwords.append(name)
            self.do("change the password of user " + name, "PATCH", "/users/" + user["id"], body)
        return user

    def assignments(self, wanted, user, projects, roles):
        if wanted["project"] not in projects:
            names = (self.keystone.auth_url, wanted["project"], self.request["project_domain"])
            raise Refused("{} has no project {} in domain {}".format(*names))
        project = projects[wanted["project"]]
        path = "/projects/{}/users/{}/roles".format(project, user["id"])
        held = set()
        if project and user["id"]:
            held = {role["name"] for role in self.keystone.get(path)["roles"]}
        for role in wanted["roles"]:
            if role not in held:
                text = "give user {} role {} in project {}".format(
                    wanted["name"],
                    role,
                    wanted["project"],
                )
                self.do(text, "PUT", f"{path}/{roles.get(role)}")

    def catalogue(self):
        services = {}
        for service in self.keystone.get("/services")["services"]:
            services.setdefault(service["type"], service)
        endpoints = self.keystone.get("/endpoints")["endpoints"]
        for wanted in self.request["services"]:
            if wanted["type"] not in services:
                text = "create service {name} ({type})".format(**wanted)
                made = self.do(text, "POST", "/services", {"service": wanted})
                services[wanted["type"]] = made.get("service", {"id": None})
            elif not services[wanted["type"]]["enabled"]:
                path = "/services/" + services[wanted["type"]]["id"]
                text = "enable service {name} ({type})".format(**wanted)
                self.do(text, "PATCH", path, {"service": {"enabled": True}})
        for wanted in self.request["endpoints"]:
            self.endpoint(wanted, services.get(wanted["type"], {"id": None}), endpoints)

    def endpoint(self, wanted, service, endpoints):
        text = "{interface} endpoint of {type} in {region}".format(**wanted)
        same = [
            endpoint
            for endpoint in endpoints
            if endpoint["service_id"] == service["id"]
            and endpoint["interface"] == wanted["interface"]
            and endpoint.get("region_id", endpoint.get("region")) == wanted["region"]
        ]
        body = {
            "endpoint": {
                "service_id": service["id"],
                "interface": wanted["interface"],
                "region_id": wanted["region"],
                "url": wanted["url"],
            }
        }
        if not same:
            self.region(wanted["region"])
            self.do("create the {}: {}".format(text, wanted["url"]), "POST", "/endpoints", body)
            return
        kept = next((e for e in same if e["url"] == wanted["url"] and e["enabled"]), same[0])
        if kept["url"] != wanted["url"] or not kept["enabled"]:
            said = "move the {} from {} to {}".format(text, kept["url"], wanted["url"])
            body["endpoint"]["enabled"] = True
            self.do(said, "PATCH", "/endpoints/" + kept["id"], body)
        for double in same:
            if double is not kept:
                said = "remove the second {}: {}".format(text, double["url"])
                self.do(said, "DELETE", "/endpoints/" + double["id"])

    def region(self, name):
        if not hasattr(self, "known_regions"):
            self.known_regions = {r["id"] for r in self.keystone.get("/regions")["regions"]}
        if name not in self.known_regions:
            self.known_regions.add(name)
            self.do("create region " + name, "POST", "/regions", {"region": {"id": name}})


def project_scope(login):
    """The scope of a token for the project that a login names."""
    return {"project": {"name": login["project"], "domain": {"name": login["project_domain"]}}}


def answer(request):
    keystone, admin = Keystone(request["auth_url"]), request["admin"]
    try:
        keystone.token, _ = keystone.login(
            admin["username"], admin["password"], admin["user_domain"], project_scope(admin)
        )
        convergence = Convergence(keystone, request)
        projects = convergence.projects()
        convergence.users(projects, convergence.roles())
        convergence.catalogue()
    except Refused as error:
        if request["apply"]:
            raise SystemExit(str(error)) from error
        return {"answers": False, "error": str(error), "changes": []}
    return {
        "answers": True,
        "error": None,
        "changes": convergence.changes,
        "new_passwords": convergence.new_passwords,
    }
