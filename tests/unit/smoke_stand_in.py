"""Keystone, Nova, Placement, Neutron, Glance and Cinder as files/smoke_guests.py asks them.

Guests come up, get their volumes and go look by look. Written after the APIs' references, and after
Nova's source where these say nothing; whether a real cloud does the same is for tests/lab.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

from typing_extensions import override

from .drain_stand_in import ADMIN, HOST, STATE, TASK
from .serving import ApiError, Headers, Json, Served

TRAIT = "CUSTOM_PYINFRA_NOVA_JOINING"
WANTS = f"trait:{TRAIT}"
NEW = "New compute service disabled due to config option."
SIGN = "pyinfra_nova_smoke"
PROJECT = "p"
ADDRESS = "198.51.100.7"
ASKS = r".* remote-consoles|.* servers \S+ action"
"""What changes nothing, or is noted otherwise."""
CONSOLE = "{name}: up, address " + ADDRESS + "\n"


def service(host: str) -> Json:
    made = {"id": f"id-{host}", "host": host, "binary": "nova-compute", "status": "disabled"}
    return {**made, "disabled_reason": NEW, "zone": "nova", "state": "up"}


class Cloud(Served):
    """The state of the cloud; compute1 and compute2 have just registered.

    Attributes:
        guests, volumes, services, aggregates, flavors: as the APIs show them.
        traits, members: of each provider: its traits; the aggregates that Placement has it in.
        classes: of each provider's inventories.
        images, networks: of Glance and Neutron.
        console: what guests print once they run.
        is_down: the cell does not answer, and the API leaves it out.
        says_no: what is refused, by method and path without the query: a status.
        acted: what was changed, in order.
        disturbed: the first moment at which anybody's guests would have been sent to a new compute.
        types: of the services in the catalogue.
    """

    def __init__(self) -> None:
        super().__init__()
        self.guests: dict[str, Json] = {}
        self.volumes: dict[str, Json] = {}
        names = ("compute1", "compute2", "compute3")
        self.services = {name: service(name) for name in names}
        self.services["compute3"].update(status="enabled", disabled_reason=None)
        self.aggregates: list[Json] = []
        self.flavors: dict[str, Json] = {}
        self.traits: dict[str, set[str]] = {f"rp-{name}": {"HW_CPU_X86_VMX"} for name in names}
        self.members: dict[str, set[str]] = {f"rp-{name}": {"other"} for name in names}
        self.classes = {f"rp-{name}": ["VCPU", "MEMORY_MB"] for name in names}
        self.images: list[Json] = [{"id": "i", "name": "tiny", "status": "active", "min_ram": 0}]
        self.networks: list[Json] = [
            {"id": "n", "name": "provider", "status": "ACTIVE", "subnets": ["s"]}
        ]
        self.console = CONSOLE
        self.is_down = False
        self.forgets = False
        self.says_no: dict[str, int] = {}
        self.acted: list[str] = []
        self.disturbed = ""
        self.types: tuple[str, ...] = ("compute", "placement", "network", "image", "volumev3")
        self.generation = 1

    def request(self, *hosts: str, **more: Any) -> Json:
        """What is asked of some computes; of compute1 where none is named."""
        login = {"auth_url": f"{self.url}/v3", "region": "R", "interface": "internal"}
        return {
            **{**login, "places": {}, "admin": ADMIN, "hosts": list(hosts or ["compute1"])},
            **{"image": "tiny", "network": "provider", "ram": 512, "expects": None},
            **{"volume": True, "volumes_at": ["volumev3", "block-storage"], "same_zone": False},
            **{"proxy": "http://127.0.0.1:1", **more},
        }

    def guest(self, host: str = "compute1", state: str = "active", **more: Any) -> Json:
        name = f"pyinfra-nova-smoke-{host}"
        made: Json = {"id": f"g{len(self.guests) + 1}", "name": name, "tenant_id": PROJECT}
        made |= {"metadata": {SIGN: host}, HOST: host, STATE: state, TASK: None, "addresses": {}}
        made["addresses"] = {"provider": [{"addr": ADDRESS, "version": 4}]}
        self.guests[made["id"]] = {**made, **more}
        return self.guests[made["id"]]

    def volume(self, host: str = "compute1", status: str = "available", **more: Any) -> Json:
        made: Json = {"id": f"v{len(self.volumes) + 1}", "name": f"pyinfra-nova-smoke-{host}"}
        made = {**made, "status": status, "attachments": [], "metadata": {SIGN: host}, **more}
        self.volumes[made["id"]] = made
        return made

    def isolate(self, host: str = "compute1") -> None:
        if not self.aggregates:
            self.aggregates.append(
                {"id": 7, "uuid": "a", "name": "pyinfra-nova-joining", "hosts": []}
                | {"metadata": {WANTS: "required"}}
            )
        self.aggregates[0]["hosts"].append(host)
        self.members[f"rp-{host}"].add("a")
        self.traits[f"rp-{host}"].add(TRAIT)

    def open(self, host: str = "compute1") -> None:
        self.services[host].update(status="enabled", disabled_reason=None)

    def left(self) -> list[str]:
        """What is there of proofs."""
        found = [*self.guests, *self.volumes]
        found += [host for aggregate in self.aggregates for host in aggregate["hosts"]]
        found += [name for name, traits in self.traits.items() if TRAIT in traits]
        return [*found, *(name for name, known in self.members.items() if "a" in known)]

    def pass_time(self) -> None:
        """What is on the way is a step further."""
        for uuid, guest in list(self.guests.items()):
            if guest[TASK] == "deleting":
                del self.guests[uuid]
                for volume in self.volumes.values():
                    if volume["attachments"] == [{"server_id": uuid}]:
                        volume.update(status="available", attachments=[])
            elif guest[STATE] == "building":
                guest.update({STATE: "active", TASK: None})
        for uuid, volume in list(self.volumes.items()):
            if volume["status"] == "deleting":
                del self.volumes[uuid]
            elif volume["status"] == "creating":
                volume["status"] = "available"

    def look_for_others(self) -> None:
        """Whether, as things are now, others' guests would go to a compute that is not proven."""
        for host in ("compute1", "compute2"):
            is_kept = any(
                host in found["hosts"]
                and found["metadata"].get(WANTS) == "required"
                and found["uuid"] in self.members[f"rp-{host}"]
                for found in self.aggregates
            )
            is_open = self.services[host]["status"] == "enabled"
            if is_open and not is_kept and not self.disturbed:
                self.disturbed = f"after {self.acted[-1:]}"

    # --- requests ---------------------------------------------------------------------------------

    @override
    def answer(self, method: str, target: str, body: Any, headers: Headers) -> Any:
        url = urlsplit(target)
        if url.path.endswith("/tokens"):
            return {"token": {"catalog": self.catalogue(), "project": {"id": PROJECT}}}
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        words = url.path.strip("/").split("/")
        place = f"{method} {' '.join(words)}"
        if status := self.says_no.get(place):
            raise ApiError(status, "that is not done")
        version = headers["OpenStack-API-Version"]
        wanted = {"compute": "compute 2.75", "placement": "placement 1.20"}
        assert version == wanted.get(words[0])
        found = self.served(place, query, body)
        if method != "GET" and not re.fullmatch(ASKS, place):
            self.acted.append(place)
        self.look_for_others()
        return found

    def catalogue(self) -> list[Json]:
        place = {"interface": "internal", "region_id": "R"}
        return [
            {"type": kind, "endpoints": [{**place, "url": f"{self.url}/{kind}"}]}
            for kind in self.types
        ]

    def served(self, place: str, query: Json, body: Any) -> Any:
        for pattern, answers in ROUTES.items():
            if match := re.fullmatch(pattern, place):
                return answers(self, query, body, *match.groups())
        raise ApiError(404, f"no stand-in for {place}")

    def list_guests(self, query: Json, _: Any) -> Json:
        assert query == {"soft_deleted": "True", "name": "pyinfra-nova-smoke-"}
        shown = [] if self.is_down else list(self.guests.values())
        return {"servers": [g for g in shown if g["tenant_id"] == PROJECT]}

    def list_services(self, query: Json, _: Any) -> Json:
        assert query == {"binary": "nova-compute"}
        cut = ("host", "binary") if self.is_down else self.services["compute1"].keys()
        return {"services": [{key: row[key] for key in cut} for row in self.services.values()]}

    def set_service(self, _: Json, body: Any, uuid: str) -> Json:
        found = next(row for row in self.services.values() if row["id"] == uuid)
        assert len(body.get("disabled_reason", "x")) <= 255
        found.update(status=body["status"], disabled_reason=body.get("disabled_reason"))
        return {"service": found}

    def make_aggregate(self, _: Json, body: Any) -> Json:
        made = {"id": 7, "uuid": "a", **body["aggregate"], "hosts": [], "metadata": {}}
        self.aggregates.append(made)
        return {"aggregate": made}

    def change_aggregate(self, _: Json, body: Any, number: str) -> Json:
        found = next(each for each in self.aggregates if str(each["id"]) == number)
        if "set_metadata" in body:
            found["metadata"].update(body["set_metadata"]["metadata"])
        elif "add_host" in body:
            found["hosts"].append(body["add_host"]["host"])
            if not self.forgets:
                self.members["rp-" + body["add_host"]["host"]].add(found["uuid"])
        else:
            self.members["rp-" + body["remove_host"]["host"]].discard(found["uuid"])
            found["hosts"].remove(body["remove_host"]["host"])
        return {"aggregate": found}

    def list_providers(self, query: Json, _: Any) -> Json:
        if trait := query.get("required"):
            if not any(trait in traits for traits in self.traits.values()):
                raise ApiError(400, f"No such trait(s): {trait}.")
            found = [name for name, traits in self.traits.items() if trait in traits]
        else:
            found = [name for name, known in self.members.items() if query["member_of"] in known]
        return {"resource_providers": [{"uuid": name} for name in found]}

    def of_provider(self, provider: str, key: str) -> set[str]:
        return {"traits": self.traits, "aggregates": self.members}[key][provider]

    def show_provider(self, _: Json, __: Any, provider: str, key: str) -> Json:
        if key == "inventories":
            return {"inventories": {name: {} for name in self.classes[provider]}}
        found = sorted(self.of_provider(provider, key))
        return {key: found, "resource_provider_generation": self.generation}

    def set_provider(self, _: Json, body: Any, provider: str, key: str) -> Json:
        if body["resource_provider_generation"] != self.generation:
            raise ApiError(409, "resource provider generation conflict")
        self.generation += 1
        known = self.of_provider(provider, key)
        known.clear()
        known.update(body[key])
        return {}

    def make_guest(self, _: Json, body: Any) -> Json:
        wanted = body["server"]
        assert (wanted["imageRef"], wanted["networks"]) == ("i", [{"uuid": "n"}])
        specs = self.flavors[wanted["flavorRef"]]["extra_specs"]
        assert specs[WANTS] == "required"
        host = wanted["host"]
        made = self.guest(host, "building", name=wanted["name"], metadata=wanted["metadata"])
        made.update({TASK: "spawning", "availability_zone": wanted["availability_zone"]})
        return {"server": {"id": made["id"]}}

    def act_on_guest(self, _: Json, body: Any, uuid: str) -> Json:
        if uuid not in self.guests:
            raise ApiError(404, "is not there")
        if "os-getConsoleOutput" in body:
            return {"output": self.console.format(**self.guests[uuid])}
        assert body == {"forceDelete": None}
        self.acted.append(f"delete {uuid}")
        self.guests[uuid][TASK] = "deleting"
        return {}

    def open_console(self, _: Json, body: Any, uuid: str) -> Json:
        assert body == {"remote_console": {"protocol": "vnc", "type": "novnc"}}
        token = f"%3Ftoken%3Dsecret-{uuid}"
        url = f"https://cloud.example/vnc_auto.html?path={token}"
        return {"remote_console": {"url": url}}

    def attach(self, _: Json, body: Any, uuid: str) -> Json:
        volume = self.volumes[body["volumeAttachment"]["volumeId"]]
        volume.update(status="in-use", attachments=[{"server_id": uuid}])
        return {"volumeAttachment": {}}

    def make_volume(self, _: Json, body: Any) -> Json:
        wanted = body["volume"]
        assert wanted["size"] == 1
        host = wanted["metadata"][SIGN]
        made = self.volume(host, "creating", **wanted)
        return {"volume": made}

    def delete_volume(self, _: Json, __: Any, uuid: str) -> Json:
        volume = self.volumes[uuid]
        if volume["attachments"]:
            raise ApiError(400, "it is attached")
        volume["status"] = "deleting"
        return {}

    def make_flavor(self, _: Json, body: Any) -> Json:
        wanted = body["flavor"]
        assert wanted["os-flavor-access:is_public"] is False
        number = f"f{len(self.flavors) + 1}"
        self.flavors[number] = {**wanted, "id": number, "extra_specs": {}}
        return {"flavor": self.flavors[number]}

    def set_specs(self, _: Json, body: Any, uuid: str) -> Json:
        self.flavors[uuid]["extra_specs"].update(body["extra_specs"])
        return {}

    def list_hypervisors(self, _: Json, __: Any) -> Json:
        names = self.services if not self.is_down else ()
        return {"hypervisors": [{"id": f"rp-{n}", "service": {"host": n}} for n in names]}


ROUTES: dict[str, Any] = {
    "GET compute servers detail": Cloud.list_guests,
    "GET compute os-services": Cloud.list_services,
    r"PUT compute os-services (\S+)": Cloud.set_service,
    "GET compute os-aggregates": lambda cloud, *_: {"aggregates": cloud.aggregates},
    "POST compute os-aggregates": Cloud.make_aggregate,
    r"POST compute os-aggregates (\S+) action": Cloud.change_aggregate,
    "GET compute os-hypervisors detail": Cloud.list_hypervisors,
    "POST compute servers": Cloud.make_guest,
    r"POST compute servers (\S+) action": Cloud.act_on_guest,
    r"POST compute servers (\S+) remote-consoles": Cloud.open_console,
    r"POST compute servers (\S+) os-volume_attachments": Cloud.attach,
    "GET compute flavors detail": lambda cloud, *_: {"flavors": list(cloud.flavors.values())},
    "POST compute flavors": Cloud.make_flavor,
    r"POST compute flavors (\S+) os-extra_specs": Cloud.set_specs,
    r"DELETE compute flavors (\S+)": lambda cloud, _, __, uuid: cloud.flavors.pop(uuid) and {},
    "GET placement resource_providers": Cloud.list_providers,
    r"GET placement resource_providers (\S+) (\w+)": Cloud.show_provider,
    r"PUT placement resource_providers (\S+) (\w+)": Cloud.set_provider,
    f"PUT placement traits {TRAIT}": lambda *_: {},
    "GET image v2 images": lambda cloud, *_: {"images": cloud.images},
    r"GET network v2.0 networks": lambda cloud, *_: {"networks": cloud.networks},
    "GET (?:volumev3|block-storage) volumes detail": lambda cloud, *_: {
        "volumes": list(cloud.volumes.values())
    },
    "POST (?:volumev3|block-storage) volumes": Cloud.make_volume,
    r"DELETE (?:volumev3|block-storage) volumes (\S+)": Cloud.delete_volume,
}
