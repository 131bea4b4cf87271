"""The guests that prove computes, one for each, and the flavors that they are made of.

Only what carries SIGN is taken for one of them, whatever else is called as they are.
"""

import hashlib
import re

import rest
import trust
import websocket
from smoke_isolation import PROVIDERS, WANTS, is_refused

NAME = "pyinfra-nova-smoke"
"""Of the usual flavor; of a guest, and its volume, with the host after it."""
SIGN = "pyinfra_nova_smoke"
"""The metadata of guests and volumes that says which host they prove."""
MADE = "pyinfra-nova makes guests of it that prove new computes"
"""The description of flavors of theirs."""
LINES = 1000
"""Of the console that are read."""
HOST, STATE = "OS-EXT-SRV-ATTR:host", "OS-EXT-STS:vm_state"
TASK = "OS-EXT-STS:task_state"
GUEST = ("id", "name", "tenant_id", "metadata", HOST, STATE, TASK, "addresses")


NOS = (400, 403, 404, 409, 413, 501)
"""With which a service says that it will not do it; 413 is Cinder's word for a quota. Any other
error says nothing of a compute, nor does one of a question."""


class NotProven(Exception):  # noqa: N818 - it is what was seen
    """What a step has shown not to work, or the words of who does not do it."""


def told(api, path, body=None, method="POST"):
    """What is answered to a change.

    Raises NotProven for a no.
    """
    try:
        return api.call(method, path, body)
    except rest.ErrorStatus as error:
        if not is_refused(error, *NOS):
            raise
        raise NotProven(str(error)) from None


def guest_name(host):
    return f"{NAME}-{host}"


def action_of(guest):
    return "/servers/{}/action".format(rest.quoted(guest["id"]))


def says(text, address):
    """Whether a console's TEXT has this address in it, and not one that only begins like it."""
    known = re.escape(str(address))
    if ":" in address:
        own = r"(?<![0-9a-f])(?<![0-9a-f]:)(?<!::)" + known + r"(?![0-9a-f]|:[0-9a-f:])"
        return bool(re.search(own, text, re.IGNORECASE))
    return bool(re.search(r"(?<!\d)(?<!\d\.)" + known + r"(?!\d|\.\d)", text))


class Servers:
    """The guests of HOSTS, as they were when this was made.

    A list of guests leaves out those of a cell that does not answer, without a word (api-guide,
    down_cells); so who believes it asks for the services after it.
    """

    def __init__(self, cloud, request):
        self.cloud, self.request = cloud, request
        try:
            self.expects = re.compile(request["expects"] or "", re.MULTILINE)
        except re.error as error:
            raise rest.Failed(f"expects of smoke_guest is none for Python here: {error}") from None
        # Soft-deleted ones, too: they still have their disks.
        path = f"/servers/detail?soft_deleted=True&name={NAME}-"
        self.found = {}
        for guest in cloud.compute.listed(path, "servers", *GUEST):
            host = guest["metadata"].get(SIGN)
            is_ours = guest["tenant_id"] == cloud.project and host in request["hosts"]
            if is_ours and guest["name"] == guest_name(host):
                self.found.setdefault(host, guest)

    def described(self, host):
        guest = self.found.get(host)
        if guest is None:
            return None
        is_active = guest[STATE] == "active"
        text = self._console(guest) if is_active else ""
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return {
            "uuid": guest["id"],
            "state": guest[STATE],
            "task": guest[TASK],
            "fault": (guest.get("fault") or {}).get("message"),
            "host": guest[HOST],
            "spoke": is_active and self._spoke(guest, text),
            "last": lines[-1][-200:] if lines else "",
        }

    def _console(self, guest):
        """The last lines of its console; none where the compute has none yet."""
        body = {"os-getConsoleOutput": {"length": LINES}}
        try:
            said = self.cloud.compute.call("POST", action_of(guest), body)
        except rest.ErrorStatus as error:
            # It is not there any more, or not there yet (api/openstack/compute/console_output.py).
            if not is_refused(error, 404, 409):
                raise
            return ""
        if "output" not in said:
            raise rest.BadAnswer("os-getConsoleOutput answers without an output")
        return str(said["output"])

    def _spoke(self, guest, text):
        """Whether its console says what is expected: where nothing is, one of its addresses."""
        if self.request["expects"]:
            return bool(self.expects.search(text))
        every = [each for found in guest["addresses"].values() for each in found]
        return any(says(text, each["addr"]) for each in every if each.get("addr"))

    def existing(self, host):
        if host not in self.found:
            raise rest.Failed(f"there is no guest {guest_name(host)} any more")
        return self.found[host]

    # --- changes ----------------------------------------------------------------------------------

    def boot(self, host, service, isolation):
        if host in self.found:
            return
        server = {
            "name": guest_name(host),
            "metadata": {SIGN: host},
            "imageRef": self.image(),
            "flavorRef": self._flavor(self._specs(host, isolation)),
            "networks": [{"uuid": self.network()}],
            "host": host,
            # Where default_schedule_zone says another one, no host is in both.
            "availability_zone": service["zone"],
        }
        told(self.cloud.compute, "/servers", {"server": server})

    def greet(self, host):
        """Open its screen as a browser would: the proxy has to get as far as the compute.

        It is asked at PROXY, this host's own, which is shown to answer: where browsers find it may
        be no place that a controller reaches.
        """
        guest, proxy = self.existing(host), self.request["proxy"]
        path = "/servers/{}/remote-consoles".format(rest.quoted(guest["id"]))
        body = {"remote_console": {"protocol": "vnc", "type": "novnc"}}
        made = told(self.cloud.compute, path, body).get("remote_console")
        if not isinstance(made, dict) or "url" not in made:
            raise rest.BadAnswer(f"POST {path} answers without a console")
        url = made["url"]
        # What a URL has after its `?` lets whoever sees it look at the screen.
        try:
            status, words, fault = websocket.screen(url, websocket.console_path(url), at=proxy)
        except trust.RefusedError as error:
            raise rest.NoAnswer(f"the console proxy: {error}") from None
        except OSError as error:
            raise rest.NoAnswer(f"the console proxy at {proxy} does not answer: {error}") from None
        if " 101 " not in status + " ":
            raise rest.BadAnswer(f"the console proxy at {proxy} answers {status or 'nothing'}")
        if not words.startswith("RFB"):
            raise NotProven("its console shows no screen: see the log of the console proxy")
        if fault:
            raise NotProven(f"its console shows no screen: {fault}: see the log of the proxy")

    def attach(self, host, volume):
        path = "/servers/{}/os-volume_attachments".format(rest.quoted(self.existing(host)["id"]))
        told(self.cloud.compute, path, {"volumeAttachment": {"volumeId": volume["id"]}})

    def delete(self, host):
        guest = self.found.get(host)
        if guest and guest[TASK] != "deleting":
            # Also where deleted guests are kept for a while (reclaim_instance_interval).
            told(self.cloud.compute, action_of(guest), {"forceDelete": None})

    # --- what a guest is made of ------------------------------------------------------------------

    def image(self):
        fields = ("id", "name", "status", "min_ram")
        usable = self._named("image", "/v2/images", "images", self.request["image"], fields)
        if usable["min_ram"] > self.request["ram"]:
            text = "image {!r} wants {} MiB of memory: say so as ram of smoke_guest"
            raise rest.Failed(text.format(self.request["image"], usable["min_ram"]))
        return usable["id"]

    def network(self):
        fields = ("id", "name", "status", "subnets")
        name = self.request["network"]
        usable = self._named("network", "/v2.0/networks", "networks", name, fields)
        if not usable["subnets"]:
            raise rest.Failed(f"network {name!r} of smoke_guest has no subnet")
        return usable["id"]

    def _named(self, service, path, key, name, fields):
        """The one thing of that name that can be used."""
        api = self.cloud.api(service, {})
        listed = api.listed(f"{path}?name={rest.quoted(name)}", key, *fields)
        found = [each for each in listed if each["name"] == name]
        found = [each for each in found if each["status"].lower() == "active"] or found[:1]
        if len(found) != 1:
            count = f"{len(found)} {key} are" if found else f"no {service} is"
            raise rest.Failed(f"{count} called {name!r}: smoke_guest in group_data/all.py")
        if found[0]["status"].lower() != "active":
            raise rest.Failed("{} {!r} is {}".format(service, name, found[0]["status"]))
        return found[0]

    def _specs(self, host, isolation):
        """The extra specs of a flavor whose guests find a place on the host."""
        specs = isolation.wanted(host)
        for provider in isolation.providers[host]:
            path = f"{PROVIDERS}/{provider}/inventories"
            classes = self.cloud.placement.get(path, "inventories")["inventories"]
            # One that has CPUs for pinned guests alone (cpu_dedicated_set).
            if "VCPU" not in classes and "PCPU" in classes:
                specs["hw:cpu_policy"] = "dedicated"
        return specs

    def _flavor(self, specs):
        """Private, and with as much disk as the image is large, which Nova permits admins."""
        text = " ".join(sorted(specs))
        name = NAME if text == WANTS else NAME + "-" + hashlib.sha256(text.encode()).hexdigest()[:8]
        body = {"name": name, "description": MADE, "disk": 0}
        body.update({"vcpus": 1, "ram": self.request["ram"]})
        found = self._existing_flavor(body)
        if found is None:
            wanted = {**body, "os-flavor-access:is_public": False}
            found = self.cloud.compute.call("POST", "/flavors", {"flavor": wanted}).get("flavor")
            if not isinstance(found, dict) or "id" not in found:
                raise rest.BadAnswer("POST /flavors answers without a flavor")
        if found.get("extra_specs") != specs:
            path = "/flavors/{}/os-extra_specs".format(rest.quoted(found["id"]))
            self.cloud.compute.call("POST", path, {"extra_specs": specs})
        return found["id"]

    def _existing_flavor(self, body):
        fields = ("id", "name", "description", "ram", "disk", "vcpus", "extra_specs")
        path = "/flavors/detail?is_public=None&limit=1000"
        listed = self.cloud.compute.listed(path, "flavors", *fields)
        found = next((each for each in listed if each["name"] == body["name"]), None)
        if found is None or all(found[key] == value for key, value in body.items()):
            return found
        if found["description"] != MADE:
            raise rest.Failed("flavor {} is somebody else's: rename it".format(body["name"]))
        # Guests keep what they were made of.
        self.cloud.compute.call("DELETE", "/flavors/" + rest.quoted(found["id"]), allowed=(404,))
        return None
