"""Compare Keystone with what it should hold, or bring it in line, over its own API.

Request: {"auth_url", "admin": {"username", "password", "project", "user_domain",
          "project_domain"}, "domain", "project_domain", "projects": [names], "roles": [names],
          "users": [{"name", "password", "project", "roles"}],
          "services": [{"type", "name", "description"}],
          "endpoints": [{"type", "interface", "url", "region"}], "apply": bool}
Answer:  {"answers": bool, "refuses": bool, "error": text|null, "changes": [texts],
          "new_passwords": [users that exist with another one]}
`answers` is false for whatever kept the comparison from its end, which `error` says; `refuses` is
true only where Keystone itself refused the administrator's login.
One login and a handful of GETs where the openstack client would cost two seconds a question.
"""

import rest

TIMEOUT = 30
Refused = rest.Failed


class LoginRefused(Refused):
    """Keystone itself answered a login with 401."""


class Keystone(rest.Client):
    """Keystone's v3 API, as nobody until a token is set."""

    def __init__(self, auth_url):
        auth_url = auth_url.rstrip("/")
        super().__init__(auth_url if auth_url.endswith("/v3") else auth_url + "/v3")
        self.auth_url = self.url

    @property
    def token(self):
        return self.headers.get("X-Auth-Token")

    @token.setter
    def token(self, token):
        self.headers["X-Auth-Token"] = token

    def login(self, username, password, domain, scope=None):
        """The token's identifier and body."""
        user = {"name": username, "domain": {"name": domain}}
        return self._login(username, {**user, "password": password}, scope)

    def _login(self, name, user, scope=None):
        auth = {"identity": {"methods": ["password"], "password": {"user": user}}}
        if scope:
            auth["scope"] = scope
        # Asked without the token held so far.
        nobody, body = rest.Client(self.url), {"auth": auth}
        answer = nobody.request("POST", "/auth/tokens", body, timeout=TIMEOUT)
        said = rest.masked(answer.said(), body)
        if answer.status == 401 and is_keystones(answer):
            raise LoginRefused(f"{self.url} refuses user {name} (401): {rest.said_by(answer.text)}")
        if answer.status != 201:
            raise rest.ErrorStatus(said, answer)
        token, found = answer.headers.get("X-Subject-Token"), answer.json().get("token")
        if not token or not isinstance(found, dict):
            raise rest.BadAnswer(said + ", but with no token")
        return token, found

    def accepts(self, user, password):
        """Whether the door opens to this password of a user that is there, and enabled.

        Keystone says 401 and the same words for a wrong password, an unknown name or domain, a user
        that is disabled and, since 2021 (CVE-2021-38155), an account that is locked. Asked by the
        user's identifier, a wrong name or domain is none of the causes. Only of a password that has
        expired it says so (PasswordExpired); a new one is what mends that.
        """
        try:
            self._login(user["name"], {"id": user["id"], "password": password})
        except LoginRefused:
            return False
        return True


def is_keystones(answer):
    """Whether an error is Keystone's own, and no proxy's.

    A user who has to show more than a password gets a receipt for the right one, with a 401, too.
    """
    try:
        error = answer.json().get("error")
    except rest.BadAnswer:
        return False
    own = isinstance(error, dict) and error.get("code") == answer.status
    return own and not answer.headers.get("Openstack-Auth-Receipt")


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
        domain = self.named("domains", name)
        if domain is None:
            raise Refused(f"{self.keystone.url} has no domain {name}")
        if not domain.get("enabled", True):
            raise Refused(f"{self.keystone.url} has domain {name} disabled: nobody of it gets in")
        return domain["id"]

    def named(self, kind, name, **query):
        """The one of that name, which some databases compare without regard to case; or None."""
        text = "&".join(f"{key}={rest.quoted(value)}" for key, value in query.items())
        path = f"/{kind}?name={rest.quoted(name)}" + (text and "&" + text)
        found = self.keystone.listed(path, kind, "id", "name")
        return next((item for item in found if item["name"] == name), None)

    def do(self, text, method, path, body=None):
        """Note a change; do it when changes are wanted; what the API answers, or {}."""
        self.changes.append(text)
        return self.keystone.call(method, path, body) if self.apply else {}

    def make(self, text, path, kind, body):
        """Note that something is created; what it is then, without an identifier in a plan."""
        made = self.do(text, "POST", path, {kind: body})
        if not self.apply:
            return {"id": None}
        if not isinstance(made.get(kind), dict) or "id" not in made[kind]:
            raise rest.BadAnswer(f"POST {self.keystone.url}{path} answers without a {kind}")
        return made[kind]

    def projects(self):
        found = {}
        wanted = (user["project"] for user in self.request["users"])
        for name in dict.fromkeys([*self.request["projects"], *wanted]):
            project = self.named("projects", name, domain_id=self.project_domain)
            if project is None and name in self.request["projects"]:
                body = {"name": name, "domain_id": self.project_domain}
                project = self.make("create project " + name, "/projects", "project", body)
            if project is not None:
                found[name] = project["id"]
        return found

    def roles(self):
        found = {}
        wanted = (role for user in self.request["users"] for role in user["roles"])
        for name in dict.fromkeys([*self.request["roles"], *wanted]):
            role = self.named("roles", name)
            if role is None and name in self.request["roles"]:
                role = self.make("create role " + name, "/roles", "role", {"name": name})
            if role is not None:
                found[name] = role["id"]
        return found

    def users(self, projects, roles):
        for wanted in self.request["users"]:
            found = self.named("users", wanted["name"], domain_id=self.domain)
            self.assignments(wanted, self.user(wanted, found), projects, roles)

    def user(self, wanted, user):
        name, password = wanted["name"], wanted["password"]
        if user is None:
            body = {"name": name, "password": password, "domain_id": self.domain}
            return self.make("create user " + name, "/users", "user", body)
        if not user.get("enabled", True):
            self.enable(user, "enable user " + name)
        # A disabled user is refused whatever the password; a plan cannot tell more.
        can_tell = user.get("enabled", True) or self.apply
        if can_tell and not self.keystone.accepts(user, password):
            self.new_passwords.append(name)
            self.changes.append("change the password of user " + name)
            if self.apply:
                self.change_password(user, password)
        return user

    def enable(self, user, text):
        self.do(text, "PATCH", "/users/" + user["id"], {"user": {"enabled": True}})

    def change_password(self, user, password):
        """Change a password that Keystone has just refused.

        Too many failures lock an account, and being enabled unlocks it (keystone's
        identity/backends/sql_model.py): only who is then still refused has another password.
        """
        path = "/users/" + user["id"]
        self.keystone.call("PATCH", path, {"user": {"enabled": True}})
        if self.keystone.accepts(user, password):
            return
        self.keystone.call("PATCH", path, {"user": {"password": password}})
        if not self.keystone.accepts(user, password):
            text = "{} refuses user {} although the password was changed to this one"
            raise Refused(text.format(self.keystone.url, user["name"]))

    def assignments(self, wanted, user, projects, roles):
        if wanted["project"] not in projects:
            names = (self.keystone.url, wanted["project"], self.request["project_domain"])
            raise Refused("{} has no project {} in domain {}".format(*names))
        project = projects[wanted["project"]]
        path = "/projects/{}/users/{}/roles".format(project, user["id"])
        held = set()
        if project and user["id"]:
            held = {role["name"] for role in self.keystone.listed(path, "roles", "name")}
        for role in wanted["roles"]:
            if role not in roles:
                raise Refused(f"{self.keystone.url} has no role {role}")
            if role not in held:
                text = "give user {} role {} in project {}".format(
                    wanted["name"],
                    role,
                    wanted["project"],
                )
                self.do(text, "PUT", f"{path}/{roles[role]}")

    def catalogue(self):
        services = {}
        fields = ("id", "type", "enabled")
        for service in self.keystone.listed("/services", "services", *fields):
            services.setdefault(service["type"], service)
        fields = ("id", "service_id", "interface", "url", "enabled")
        endpoints = self.keystone.listed("/endpoints", "endpoints", *fields)
        for wanted in self.request["services"]:
            if wanted["type"] not in services:
                text = "create service {name} ({type})".format(**wanted)
                services[wanted["type"]] = self.make(text, "/services", "service", wanted)
            elif not services[wanted["type"]]["enabled"]:
                path = "/services/" + services[wanted["type"]]["id"]
                text = "enable service {name} ({type})".format(**wanted)
                self.do(text, "PATCH", path, {"service": {"enabled": True}})
        for wanted in self.request["endpoints"]:
            self.endpoint(wanted, services.get(wanted["type"], {"id": None}), endpoints)

    def endpoint(self, wanted, service, endpoints):
        text = "{interface} endpoint of {type} in {region}".format(**wanted)
        same = [endpoint for endpoint in endpoints if is_for(endpoint, service["id"], wanted)]
        body = {
            "service_id": service["id"],
            "interface": wanted["interface"],
            "region_id": wanted["region"],
            "url": wanted["url"],
        }
        if not same:
            self.region(wanted["region"])
            said = "create the {}: {}".format(text, wanted["url"])
            self.make(said, "/endpoints", "endpoint", body)
            return
        kept = next((e for e in same if is_at(e, wanted)), same[0])
        if not is_at(kept, wanted):
            said = "move the {} from {} to {}".format(text, kept["url"], wanted["url"])
            if kept["url"] == wanted["url"]:
                said = "enable the {}: {}".format(text, kept["url"])
            body["enabled"] = True
            self.do(said, "PATCH", "/endpoints/" + kept["id"], {"endpoint": body})
        for double in same:
            if double is not kept:
                self.changes.append("remove the second {}: {}".format(text, double["url"]))
                if self.apply:
                    self.remove_second(double, kept, service, wanted)

    def remove_second(self, double, kept, service, wanted):
        """Remove an endpoint, if the one that stays still is where it has to be."""
        read = [
            self.keystone.one(
                "/endpoints/" + endpoint["id"],
                "endpoint",
                *("id", "service_id", "interface", "url", "enabled"),
                allowed=(404,),
            )
            for endpoint in (kept, double)
        ]
        if read[1] is None:
            return
        are_same = all(found and is_for(found, service["id"], wanted) for found in read)
        if not are_same or not is_at(read[0], wanted):
            text = "the endpoints of {type} in {region} have changed meanwhile: run it again"
            raise Refused(text.format(**wanted))
        self.keystone.call("DELETE", "/endpoints/" + double["id"], allowed=(404,))

    def region(self, name):
        if not hasattr(self, "known_regions"):
            found = self.keystone.listed("/regions", "regions", "id")
            self.known_regions = {region["id"] for region in found}
        if name not in self.known_regions:
            self.known_regions.add(name)
            self.do("create region " + name, "POST", "/regions", {"region": {"id": name}})


def is_for(endpoint, service, wanted):
    """Whether an endpoint is one of that service, for that interface of that region."""
    region = endpoint.get("region_id", endpoint.get("region"))
    found = (endpoint["service_id"], endpoint["interface"], region)
    return found == (service, wanted["interface"], wanted["region"])


def is_at(endpoint, wanted):
    return endpoint["url"] == wanted["url"] and endpoint["enabled"]


def project_scope(login):
    """The scope of a token for the project that a login names."""
    return {"project": {"name": login["project"], "domain": {"name": login["project_domain"]}}}


def logged_in(auth_url, login):
    """Keystone, with the token of a login that names user, project and domains; its body, too."""
    keystone = Keystone(auth_url)
    names = (login["username"], login["password"], login["user_domain"])
    keystone.token, body = keystone.login(*names, project_scope(login))
    return keystone, body


def published(catalogue, service, region):
    """The URLs of a service in the region, by interface: several where endpoints are doubled."""
    urls = {}
    for entry in catalogue:
        if entry.get("type") != service:
            continue
        for found in entry.get("endpoints", ()):
            if found.get("region_id") == region:
                urls.setdefault(found.get("interface"), []).append(found.get("url"))
    return urls


def endpoint(catalogue, service, region, interfaces):
    """The URL of a service: the first of the interfaces that it has in the region."""
    urls = published(catalogue, service, region)
    for interface in interfaces:
        if interface in urls:
            return urls[interface][0]
    text = "the catalogue has no %s endpoint of type %s in %s"
    raise Refused(text % (" or ".join(interfaces), service, region))


def answer(request):
    try:
        keystone, _ = logged_in(request["auth_url"], request["admin"])
        convergence = Convergence(keystone, request)
        projects = convergence.projects()
        convergence.users(projects, convergence.roles())
        convergence.catalogue()
    except Refused as error:
        if request["apply"]:
            raise SystemExit(str(error)) from error
        refuses = isinstance(error, LoginRefused)
        found = {"answers": False, "refuses": refuses, "error": str(error)}
        return {**found, "changes": [], "new_passwords": []}
    return {
        "answers": True,
        "refuses": False,
        "error": None,
        "changes": convergence.changes,
        "new_passwords": convergence.new_passwords,
    }
