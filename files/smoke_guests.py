"""See how far computes are that a guest of their own proves, and do one step for one of them.

Until it is proven a compute takes no guest but this one: it is in an aggregate whose metadata
wants a trait that only the flavor of these guests asks for (nova/scheduler/request_filter.py,
isolate_aggregates; [scheduler] enable_isolated_aggregate_filtering). Closed it cannot be proven: a
compute that is disabled takes no guest at all, not even one that is sent there by name.

Request: {"auth_url", "region", "interface", "places", "admin": as for cloud_objects.py,
          "hosts": [hosts of nova-compute], "image", "network": names, "ram": MiB,
          "expects": regular expression|null for the guest's address,
          "volume": whether Cinder, where there is one, has to give it a volume}
Answer:  {"computes": {host: {"open": bool, "reason": text|null, "isolated": bool, "marked": bool,
            "guest": {"uuid", "state", "task", "fault", "host", "spoke": bool, "last": text}|null,
            "volume": {"uuid", "status", "attached": bool}|null}},
          "volumes": whether Cinder is asked for one, "error": text|null}
`isolated` is what keeps other guests away, all of it; `marked` is that something of it is left.
With "step": {"kind": a key of STEPS, "host", "reason": text} in the request that one is done, if
what is there, read again, is as it has to be for it. Answer: {"refused": text|null}
"""

import re

import cloud_aggregates
import cloud_session
import keystone
import rest
import websocket

NAME = "pyinfra-nova-smoke"
"""Of the flavor; of a guest and its volume with the host after it."""
JOINING = "pyinfra-nova-joining"
TRAIT = "CUSTOM_PYINFRA_NOVA_JOINING"
WANTS = "trait:" + TRAIT
LINES = 200
"""Of the console that are read."""
HOST, STATE = "OS-EXT-SRV-ATTR:host", "OS-EXT-STS:vm_state"
TASK = "OS-EXT-STS:task_state"
GUEST = ("id", "name", "tenant_id", HOST, STATE, TASK, "addresses")
VOLUME_TYPES = ("volumev3", "block-storage")
PLACEMENT = {"OpenStack-API-Version": "placement 1.20"}


class NotProven(Exception):  # noqa: N818 - it is what was seen
    """What a step has shown not to work."""


def guest_name(host):
    return f"{NAME}-{host}"


class Joining:
    """What there is of computes that are being proven; each thing asked for once."""

    def __init__(self, request):
        self.request = request
        self.cloud = cloud_session.Cloud(request)
        self.compute, self.placement = self.cloud.compute, self.cloud.placement

    # --- what there is ----------------------------------------------------------------------------

    def services(self):
        path = "/os-services?binary=nova-compute"
        listed = self.compute.listed(path, "services", "host")
        mine = [service for service in listed if service["host"] in self.request["hosts"]]
        self.compute.require(path, mine, ("id", "status", "disabled_reason"))
        lost = set(self.request["hosts"]) - {service["host"] for service in mine}
        if lost:
            raise rest.Failed("Nova has no nova-compute on " + ", ".join(sorted(lost)))
        return {service["host"]: service for service in mine}

    def aggregate(self):
        fields = ("id", "uuid", "name", "hosts", "metadata")
        listed = self.compute.listed("/os-aggregates", "aggregates", *fields)
        return next((found for found in listed if found["name"] == JOINING), None)

    def providers(self):
        """The resource providers of the hosts, which have the identifiers of their nodes."""
        path, found = "/os-hypervisors/detail", {}
        listed = self.compute.listed(path, "hypervisors", "id", "service")
        self.compute.require(path, [each["service"] for each in listed], ["host"])
        for hypervisor in listed:
            found.setdefault(hypervisor["service"]["host"], []).append(hypervisor["id"])
        return {host: found.get(host, []) for host in self.request["hosts"]}

    def traits(self, provider):
        return set(self.placement.get(f"/resource_providers/{provider}/traits", "traits")["traits"])

    def is_in(self, provider, aggregate):
        """Whether Placement, too, has it in the aggregate: Nova only tries to tell it."""
        path = f"/resource_providers/{provider}/aggregates"
        return aggregate["uuid"] in self.placement.get(path, "aggregates")["aggregates"]

    def guest(self, host):
        """This project's guest of that name: nobody else's is taken for it."""
        name = guest_name(host)
        path = f"/servers/detail?project_id={self.cloud.project}&name=^{re.escape(name)}$"
        found = [
            guest
            for guest in self.compute.listed(path, "servers", *GUEST)
            if guest["name"] == name and guest["tenant_id"] == self.cloud.project
        ]
        if len(found) > 1:
            raise rest.Failed(f"there are {len(found)} guests {name}: delete all but one")
        return found[0] if found else None

    def console(self, guest):
        """The last lines of its console; none where the compute does not give it."""
        path = "/servers/{}/action".format(rest.quoted(guest["id"]))
        body = {"os-getConsoleOutput": {"length": LINES}}
        # 404, 409: it is not there any more, or not there yet (compute/console_output.py).
        said = self.compute.call("POST", path, body, allowed=(404, 409))
        return str((said or {}).get("output") or "")

    def spoke(self, guest, text):
        """Whether its console says what is expected: where nothing is said, its address."""
        if self.request["expects"]:
            return bool(re.search(self.request["expects"], text))
        fixed = [a.get("addr") for each in guest["addresses"].values() for a in each]
        return any(re.search(rf"(?<![\d.]){re.escape(str(one))}(?![\d.])", text) for one in fixed)

    def described_guest(self, host):
        guest = self.guest(host)
        if guest is None:
            return None
        is_active = guest[STATE] == "active"
        text = self.console(guest) if is_active else ""
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return {
            "uuid": guest["id"],
            "state": guest[STATE],
            "task": guest[TASK],
            "fault": (guest.get("fault") or {}).get("message"),
            "host": guest[HOST],
            "spoke": is_active and self.spoke(guest, text),
            "last": lines[-1][-200:] if lines else "",
        }

    def volumes(self):
        """Cinder's API; None where the catalogue has none, or no volume is wanted."""
        if not self.request["volume"]:
            return None
        for kind in VOLUME_TYPES:
            try:
                return self.cloud.api(kind, {})
            except keystone.Refused:
                continue
        return None

    def volume(self, host):
        api = self.volumes()
        if api is None:
            return None
        name = guest_name(host)
        path = f"/volumes/detail?name={rest.quoted(name)}"
        listed = api.listed(path, "volumes", "id", "name", "status", "attachments")
        found = [volume for volume in listed if volume["name"] == name]
        return found[0] if found else None

    def described(self, host, service, aggregate, providers):
        traits = [self.traits(provider) for provider in providers]
        known = bool(aggregate) and host in aggregate["hosts"]
        isolated = (
            known
            and bool(providers)
            and aggregate["metadata"].get(WANTS) == "required"
            and all(TRAIT in each for each in traits)
            and all(self.is_in(provider, aggregate) for provider in providers)
        )
        volume = self.volume(host)
        return {
            "open": service["status"] == "enabled",
            "reason": service["disabled_reason"],
            "isolated": isolated,
            "marked": known or any(TRAIT in each for each in traits),
            "guest": self.described_guest(host),
            "volume": volume
            and {
                "uuid": volume["id"],
                "status": volume["status"],
                "attached": bool(volume["attachments"]),
            },
        }

    def read(self):
        services, aggregate, providers = self.services(), self.aggregate(), self.providers()
        return {
            "computes": {
                host: self.described(host, services[host], aggregate, providers[host])
                for host in self.request["hosts"]
            },
            "volumes": self.volumes() is not None,
            "error": None,
        }

    # --- steps ------------------------------------------------------------------------------------

    def isolate(self, host):
        """All of it before the compute is enabled, so that there is no moment in between."""
        aggregate = self.aggregate()
        if aggregate is None:
            body = {"aggregate": {"name": JOINING}}
            self.compute.call("POST", "/os-aggregates", body)
            aggregate = self.aggregate()
            if aggregate is None:
                raise rest.Failed(f"Nova has made no aggregate {JOINING}")
        if aggregate["metadata"].get(WANTS) != "required":
            self._act(aggregate, {"set_metadata": {"metadata": {WANTS: "required"}}})
        if host not in aggregate["hosts"]:
            self._act(aggregate, {"add_host": {"host": host}})
        traits = cloud_aggregates.Traits(self.cloud)
        for provider in self._providers_of(host):
            if TRAIT not in self.traits(provider):
                traits.give_trait(f"/resource_providers/{provider}/traits", TRAIT)

    def enable(self, host):
        service, aggregate = self.services()[host], self.aggregate()
        described = self.described(host, service, aggregate, self._providers_of(host))
        if not described["isolated"]:
            raise rest.Failed(f"{host} would be sent other guests: it is in no aggregate {JOINING}")
        self._tell(service, {"status": "enabled"})

    def close(self, host):
        service = self.services()[host]
        reason = self.request["step"]["reason"]
        self._tell(service, {"status": "disabled", "disabled_reason": reason})

    def boot(self, host):
        if self.guest(host):
            return
        image = self._named("image", "/v2/images", "images", self.request["image"])
        network = self._named("network", "/v2.0/networks", "networks", self.request["network"])
        server = {
            "name": guest_name(host),
            "imageRef": image,
            "flavorRef": self._flavor(),
            "networks": [{"uuid": network}],
            "host": host,
        }
        self.compute.call("POST", "/servers", {"server": server})

    def greet(self, host):
        """Open its screen as a browser would: the proxy has to get as far as the compute."""
        guest = self._own(host)
        path = "/servers/{}/remote-consoles".format(rest.quoted(guest["id"]))
        body = {"remote_console": {"protocol": "vnc", "type": "novnc"}}
        made = self.compute.call("POST", path, body).get("remote_console") or {}
        if "url" not in made:
            raise rest.BadAnswer(f"POST {path} answers without a console")
        url = made["url"]
        place = url.partition("?")[0]  # what follows lets whoever has it look at the screen
        try:
            status, words = websocket.handshake(url, websocket.console_path(url), listens=True)
        except OSError as error:
            raise NotProven(f"its console at {place} does not answer: {error}") from None
        if not words.startswith("RFB"):
            raise NotProven(f"its console at {place} shows no screen: {status or 'no answer'}")

    def make_volume(self, host):
        if self.volume(host) is None:
            body = {"volume": {"name": guest_name(host), "size": 1}}
            self.volumes().call("POST", "/volumes", body)

    def attach(self, host):
        guest, volume = self._own(host), self.volume(host)
        if volume and volume["status"] == "available":
            path = "/servers/{}/os-volume_attachments".format(rest.quoted(guest["id"]))
            self.compute.call("POST", path, {"volumeAttachment": {"volumeId": volume["id"]}})

    def delete_guest(self, host):
        guest = self.guest(host)
        if guest and guest[TASK] != "deleting":
            path = "/servers/" + rest.quoted(guest["id"])
            self.compute.call("DELETE", path, allowed=(404,))

    def delete_volume(self, host):
        volume = self.volume(host)
        if volume and not volume["attachments"]:
            path = "/volumes/" + rest.quoted(volume["id"])
            self.volumes().call("DELETE", path, allowed=(404,))

    def release(self, host):
        """First the aggregate: with the trait alone a compute takes any guest."""
        aggregate = self.aggregate()
        if aggregate and host in aggregate["hosts"]:
            self._act(aggregate, {"remove_host": {"host": host}})
        for provider in self._providers_of(host):
            self._take_trait(f"/resource_providers/{provider}/traits")

    def _providers_of(self, host):
        return self.providers()[host]

    def _take_trait(self, path):
        for _ in range(3):
            # nova-compute may have changed the provider in between, which its generation tells.
            body = self.placement.get(path, "traits", "resource_provider_generation")
            if TRAIT not in body["traits"]:
                return
            body["traits"] = sorted(set(body["traits"]) - {TRAIT})
            if self.placement.call("PUT", path, body, allowed=(409,)) is not None:
                return
        raise rest.Failed("the resource provider keeps changing")

    def _act(self, aggregate, action):
        self.compute.call("POST", "/os-aggregates/{}/action".format(aggregate["id"]), action)

    def _tell(self, service, body):
        self.compute.call("PUT", "/os-services/" + rest.quoted(service["id"]), body)

    def _own(self, host):
        guest = self.guest(host)
        if guest is None:
            raise rest.Failed(f"there is no guest {guest_name(host)} any more")
        return guest

    def _named(self, service, path, key, name):
        """The identifier of the one thing of that name."""
        api = self.cloud.api(service, {})
        listed = api.listed(f"{path}?name={rest.quoted(name)}", key, "id", "name")
        found = [each["id"] for each in listed if each["name"] == name]
        if len(found) != 1:
            count = f"{len(found)} {key} are" if found else f"no {service} is"
            raise rest.Failed(f"{count} called {name!r} (smoke_guest in group_data/all.py)")
        return found[0]

    def _flavor(self):
        """That of these guests: private, and as big as its image, which Nova permits admins."""
        fields = ("id", "name", "ram", "disk", "extra_specs")
        path = "/flavors/detail?is_public=None&limit=1000"
        listed = self.compute.listed(path, "flavors", *fields)
        ram = self.request["ram"]
        found = next((flavor for flavor in listed if flavor["name"] == NAME), None)
        if found and (found["ram"], found["disk"]) != (ram, 0):
            self.compute.call("DELETE", "/flavors/" + rest.quoted(found["id"]), allowed=(404,))
            found = None
        if found is None:
            body = {"name": NAME, "vcpus": 1, "ram": ram, "disk": 0}
            body["os-flavor-access:is_public"] = False
            found = self.compute.call("POST", "/flavors", {"flavor": body}).get("flavor")
            if not isinstance(found, dict) or "id" not in found:
                raise rest.BadAnswer("POST /flavors answers without a flavor")
        if found.get("extra_specs", {}).get(WANTS) != "required":
            path = "/flavors/{}/os-extra_specs".format(rest.quoted(found["id"]))
            self.compute.call("POST", path, {"extra_specs": {WANTS: "required"}})
        return found["id"]


STEPS = {
    "isolate": Joining.isolate,
    "enable": Joining.enable,
    "boot": Joining.boot,
    "greet": Joining.greet,
    "make_volume": Joining.make_volume,
    "attach": Joining.attach,
    "delete_guest": Joining.delete_guest,
    "delete_volume": Joining.delete_volume,
    "release": Joining.release,
    "close": Joining.close,
}
NOS = (400, 403, 404, 409)
"""With which a service says that it will not do it; any other error says nothing of the compute."""


def step(request):
    wanted = request["step"]
    try:
        STEPS[wanted["kind"]](Joining(request), wanted["host"])
    except rest.ErrorStatus as error:
        if error.status not in NOS:
            raise
        return {"refused": str(error)}
    except NotProven as found:
        return {"refused": str(found)}
    return {"refused": None}


def answer(request):
    """An error of reading is told, not raised: in a plan there may be nothing to ask yet."""
    try:
        return step(request) if "step" in request else Joining(request).read()
    except rest.Failed as error:
        if "step" in request:
            raise SystemExit(str(error)) from None
        return {"computes": {}, "volumes": False, "error": str(error)}
