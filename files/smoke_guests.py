"""See how far computes are that a guest of their own proves, and do one step for one of them.

Until it is proven a compute takes no guest but this one (smoke_isolation.py). Closed it cannot be
proven: a compute that is disabled takes no guest at all, not even one that is sent there by name.

Request: {"auth_url", "region", "interface", "places", "admin": as for cloud_objects.py,
          "hosts": [hosts of nova-compute], "image", "network": names, "ram": MiB,
          "expects": regular expression|null for the guest's address,
          "volume": whether Cinder, where there is one, has to give it a volume,
          "volumes_at": [how the catalogue may call Cinder],
          "same_zone": whether volumes are in its zone,
          "proxy": URL of this host's console proxy|null,
          "begins": {"unit", "reads"} of this host's scheduler, at the first look}
Answer:  {"computes": {host: {"open": bool, "reason": text|null, "isolated": bool, "marked": bool,
            "guest": {"uuid", "state", "task", "fault", "host", "spoke": bool, "last": text}|null,
            "volume": {"uuid", "status", "attached": bool}|null}},
          "volumes": whether Cinder is asked for one, "error": text|null}
`isolated` is what keeps other guests away, all of it; `marked` is that something of it is left.
At the first look image, network and scheduler have to be such that a guest can be begun.
With "step": {"kind": a key of STEPS, "host", "reason": text} in the request that one is done, if
what is there, read again, is as it has to be for it. Answer: {"refused": text|null}
"""

import cloud_session
import compute_states
import keystone
import rest
from smoke_isolation import NAME, Isolation, scheduler_fault
from smoke_servers import SIGN, NotProven, Servers, guest_name, told


class Joining:
    """What there is of computes that are being proven, read in the order that makes it true."""

    def __init__(self, request):
        self.request = request
        self.hosts = request["hosts"]
        self.cloud = cloud_session.Cloud(request)
        self.servers = Servers(self.cloud, request)
        # After the guests: Nova has answered of the cells of all of them.
        self.services = self._services()
        self.isolation = Isolation(self.cloud, self.hosts)
        self.cinder = self._cinder()
        self.volumes = self._volumes()

    def _services(self):
        mine = compute_states.read(self.cloud, self.hosts)
        self.cloud.compute.require(compute_states.PATH, mine, ["zone"])
        found = {service["host"]: service for service in mine}
        if lost := set(self.hosts) - found.keys():
            raise rest.Failed("Nova has no nova-compute on " + ", ".join(sorted(lost)))
        return found

    def _cinder(self):
        """Cinder's API; None where the catalogue has none."""
        for kind in self.request["volumes_at"]:
            try:
                return self.cloud.api(kind, {})
            except keystone.Refused:  # nothing is asked for this
                continue
        return None

    def _volumes(self):
        if self.cinder is None:
            return {}
        found, fields = {}, ("id", "name", "status", "attachments", "metadata")
        for volume in self.cinder.listed("/volumes/detail", "volumes", *fields):
            host = volume["metadata"].get(SIGN)
            if host in self.hosts and volume["name"] == guest_name(host):
                found.setdefault(host, volume)
        return found

    def read(self):
        if self.request.get("begins"):
            self.servers.image()
            self.servers.network()
            if fault := scheduler_fault(self.request["begins"]):
                text = f"a new compute would be sent others' guests: {fault}; deploy this host, too"
                raise rest.Failed(text)
        return {
            "computes": {host: self.described(host) for host in self.hosts},
            "volumes": self.cinder is not None and self.request["volume"],
            "error": None,
        }

    def described(self, host):
        service, volume = self.services[host], self.volumes.get(host)
        return {
            "open": service["status"] == "enabled",
            "reason": service["disabled_reason"],
            "isolated": self.isolation.is_whole(host),
            "marked": self.isolation.is_marked(host),
            "guest": self.servers.described(host),
            "volume": volume
            and {
                "uuid": volume["id"],
                "status": volume["status"],
                "attached": bool(volume["attachments"]),
            },
        }

    # --- steps ------------------------------------------------------------------------------------

    def isolate(self, host):
        self.isolation.keep(host)

    def enable(self, host):
        if not self.isolation.is_whole(host):
            text = f"{host} would be sent other guests: it is not whole in aggregate {NAME}"
            raise rest.Failed(text)
        self._tell(host, None)

    def close(self, host):
        self._tell(host, self.request["step"]["reason"])

    def _tell(self, host, reason):
        service = self.services[host]
        if not compute_states.is_told(service, reason):
            compute_states.tell(self.cloud, service, reason)

    def boot(self, host):
        self.servers.boot(host, self.services[host], self.isolation)

    def greet(self, host):
        self.servers.greet(host)

    def make_volume(self, host):
        if host not in self.volumes:
            body = {"name": guest_name(host), "size": 1, "metadata": {SIGN: host}}
            if self.request["same_zone"]:
                body["availability_zone"] = self.services[host]["zone"]
            told(self.cinder, "/volumes", {"volume": body})

    def attach(self, host):
        volume = self.volumes.get(host)
        if volume and volume["status"] == "available":
            self.servers.attach(host, volume)

    def delete_guest(self, host):
        self.servers.delete(host)

    def delete_volume(self, host):
        volume = self.volumes.get(host)
        if volume and not volume["attachments"]:
            told(self.cinder, "/volumes/" + rest.quoted(volume["id"]), method="DELETE")

    def release(self, host):
        if self.servers.found.get(host) or self.volumes.get(host):
            raise rest.Failed(f"the guest of {host}, or its volume, is there again")
        self.isolation.end(host)


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


def step(request):
    wanted = request["step"]
    try:
        STEPS[wanted["kind"]](Joining(request), wanted["host"])
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
