"""The cloud as the administrator reaches it, and what is to be done in it.

Each kind of thing has a module of its own, which notes its changes here while it compares.
"""

import compute_api
import keystone
import rest

# 2.61: flavors with extra specs; 2.64: server groups with rules; 2.69: hosts of cells that do not
# answer; 2.75 is the newest that all releases from Train on answer alike.
COMPUTE = {"OpenStack-API-Version": "compute 2.75"}
# 1.18: providers by trait.
PLACEMENT = {"OpenStack-API-Version": "placement 1.20"}


class Cloud:
    """The APIs, and what differs: changes in order, each said as a text."""

    def __init__(self, request):
        self.request = request
        self.declared = request.get("declared", {})
        self.steps = []
        self.refused = []
        self.remarks = []
        self.unregistered = []
        self.keystone, token = keystone.logged_in(request["auth_url"], request["admin"])
        self.project = (token.get("project") or {}).get("id")
        if not self.project:
            raise rest.BadAnswer(f"{self.keystone.url} gives a token of no project")
        self.catalogue = token.get("catalog", [])
        self.apis = {}

    def api(self, service, headers):
        if service not in self.apis:
            url = compute_api.endpoint(self.catalogue, service, self.request)
            token = {"X-Auth-Token": self.keystone.token}
            self.apis[service] = rest.Client(url, {**token, **headers})
        return self.apis[service]

    def as_nova(self, service):
        """The API of SERVICE, asked with Nova's own login for it, which is in the request."""
        login = self.request["nova"][service]
        whoever, _ = keystone.logged_in(login["auth_url"], login)
        url = compute_api.endpoint(self.catalogue, service, self.request)
        return rest.Client(url, {"X-Auth-Token": whoever.token})

    @property
    def compute(self):
        return self.api("compute", COMPUTE)

    @property
    def placement(self):
        return self.api("placement", PLACEMENT)

    @property
    def image(self):
        return self.api("image", {})

    def do(self, text, function, *arguments, early=False):
        """Note a change; EARLY ones make room for others.

        What a function takes away it first reads again: the comparison was a while ago.
        """
        self.steps.append((not early, text, function, arguments))

    def changes(self):
        return sorted(self.steps, key=lambda step: step[0])

    def run(self):
        for done, (_, text, function, arguments) in enumerate(self.changes()):
            try:
                function(*arguments)
            except rest.Failed as error:
                raise rest.Failed(f"{text}: {error} ({done} changes were made before)") from error


def with_was(text, before):
    return "{} (was {})".format(text, "not set" if before in (None, "") else before)


def changed_meanwhile(what):
    return rest.Failed(f"{what} has changed meanwhile: run it again")
