"""Compare what resources.yml declares with the cloud, or bring the cloud in line, over its APIs.

Request: {"auth_url", "region", "interface", "places", "admin": {"username", "password", "project",
          "user_domain", "project_domain"}, "left_out": [hosts], "apply": bool,
          "declared": {"flavors", "aggregates", "server_groups", "quotas", "keypairs", "images":
                       {name: {the keys that are declared}}}}
Answer:  {"answers": bool, "error": text|null, "changes": [texts], "refused": [texts],
          "unregistered": [hosts], "remarks": [texts]}
Everything is compared before anything is changed. An API is asked only for kinds that are declared,
one list for a kind; what is not declared is not touched.
"""

import hashlib
import http.client
import json
import os
import re
import tempfile
import urllib.error
import urllib.parse
import urllib.request

import compute_api
import keystone

TIMEOUT = 60
UPLOAD_TIMEOUT = 1800
CHUNK = 1 << 20
# 2.61: flavors with extra specs; 2.64: server groups with rules; 2.75 is the newest that all
# releases from Train on answer alike.
COMPUTE = {"OpenStack-API-Version": "compute 2.75"}
# 1.18: providers by trait.
PLACEMENT = {"OpenStack-API-Version": "placement 1.20"}
PATCH = "application/openstack-images-v2.1-json-patch"
# Glance hashes what it stores with one algorithm; what it was of another is remembered here.
RECORD = "pyinfra_nova_checksum"
# What Nova keeps as it was when a flavor was made, by its key here.
FIXED = {
    "vcpus": "vcpus",
    "ram": "ram",
    "disk": "disk",
    "ephemeral": "OS-FLV-EXT-DATA:ephemeral",
    "swap": "swap",
    "id": "id",
    "is_public": "os-flavor-access:is_public",
}
Refused = keystone.Refused


def quoted(text):
    return urllib.parse.quote(str(text), safe="")


def said_by(text):
    """The message in an error's body: Nova's, Placement's or Glance's."""
    try:
        body = json.loads(text)
        if "errors" in body:
            return "; ".join(
                error.get("detail", error.get("title", "")) for error in body["errors"]
            )
        return "; ".join(str(error["message"]) for error in body.values())
    except (ValueError, TypeError, KeyError, AttributeError):
        return " ".join(re.sub("<[^>]*>", " ", text).split())[:300]


class Api:
    """One service of the catalogue, as the administrator."""

    def __init__(self, url, token, headers=None):
        self.url = url.rstrip("/")
        self.headers = {"X-Auth-Token": token, "Accept": "application/json", **(headers or {})}

    def call(self, method, path, body=None, allowed=(), headers=None, timeout=TIMEOUT):
        """The JSON that is answered, {} if none; None for a status of ALLOWED."""
        stream = hasattr(body, "read")
        data = body if body is None or stream else json.dumps(body).encode()
        more = {"Content-Type": "application/json", **(headers or {})}
        url = self.url + path
        request = urllib.request.Request(url, data, {**self.headers, **more}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=timeout) as response:
                text = response.read()
                return json.loads(text) if text else {}
        except urllib.error.HTTPError as error:
            if error.code in allowed:
                return None
            text = said_by(error.read(20000).decode(errors="replace"))
            raise Refused(f"{method} {url} answers {error.code}: {text}") from error
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise Refused(f"{self.url} does not answer: {error}") from error

    def all(self, path, key):
        """Every item of a list, page by page."""
        items = []
        while path:
            body = self.call("GET", path)
            items += body[key]
            links = {link["rel"]: link["href"] for link in body.get(key + "_links", ())}
            further = links.get("next") or body.get("next")
            path = None
            if further:
                parts = urllib.parse.urlsplit(further)
                own = urllib.parse.urlsplit(self.url).path
                path = parts.path[len(own) :] if parts.path.startswith(own) else parts.path
                path += "?" + parts.query
        return items


def with_was(text, before):
    return "{} (was {})".format(text, "not set" if before in (None, "") else before)


class CloudObjects:
    """What differs, and how it is brought in line: changes in order, each said as a text."""

    def __init__(self, request):
        self.request = request
        self.declared = request["declared"]
        self.steps = []
        self.refused = []
        self.remarks = []
        self.unregistered = []
        login = request["admin"]
        self.keystone = keystone.Keystone(request["auth_url"])
        self.keystone.token, token = self.keystone.login(
            login["username"],
            login["password"],
            login["user_domain"],
            keystone.project_scope(login),
        )
        self.project = token["project"]["id"]
        self.catalogue = token.get("catalog", [])
        self.apis = {}

    def api(self, service, headers=None):
        if service not in self.apis:
            url = compute_api.endpoint(self.catalogue, service, self.request)
            self.apis[service] = Api(url, self.keystone.token, headers)
        return self.apis[service]

    @property
    def compute(self):
        return self.api("compute", COMPUTE)

    @property
    def placement(self):
        return self.api("placement", PLACEMENT)

    @property
    def image(self):
        return self.api("image")

    def do(self, text, function, *arguments, early=False):
        """Note a change; EARLY ones make room for others."""
        self.steps.append((not early, text, function, arguments))

    def changes(self):
        return sorted(self.steps, key=lambda step: step[0])

    def compare(self):
        for kind in ("flavors", "aggregates", "server_groups", "quotas", "keypairs", "images"):
            if self.declared.get(kind):
                getattr(self, kind)(self.declared[kind])
        self.required_traits()

    def run(self):
        for done, (_, text, function, arguments) in enumerate(self.changes()):
            try:
                function(*arguments)
            except Refused as error:
                raise Refused(f"{text}: {error} ({done} changes were made before)") from error

    # --- flavors ----------------------------------------------------------------------------------

    def flavors(self, declared):
        listed = self.compute.all("/flavors/detail?is_public=None&limit=1000", "flavors")
        found = {flavor["name"]: flavor for flavor in listed}
        for name, wanted in declared.items():
            flavor = found.get(name)
            if wanted.get("absent"):
                if flavor:
                    self.remove_flavor(flavor)
            elif flavor is None:
                text = "create flavor {}: {}".format(name, self.flavor_text(wanted))
                self.do(text, self.create_flavor, name, wanted)
            else:
                self.flavor(flavor, wanted)

    def flavor_text(self, wanted):
        parts = ["{} {}".format(key, wanted[key]) for key in FIXED if key in wanted]
        specs = wanted.get("extra_specs", {})
        parts += [f"extra spec {key} {value}" for key, value in specs.items() if value is not None]
        return ", ".join(parts)

    def create_flavor(self, name, wanted, access=()):
        body = {field: wanted[key] for key, field in FIXED.items() if key in wanted}
        body["name"] = name
        if wanted.get("description") is not None:
            body["description"] = wanted["description"]
        flavor = self.compute.call("POST", "/flavors", {"flavor": body})["flavor"]
        specs = {k: v for k, v in wanted.get("extra_specs", {}).items() if v is not None}
        if specs:
            self.set_extra_specs(flavor["id"], specs)
        for project in access:
            action = {"addTenantAccess": {"tenant": project}}
            self.compute.call("POST", "/flavors/{}/action".format(quoted(flavor["id"])), action)

    def set_extra_specs(self, identifier, specs):
        path = f"/flavors/{quoted(identifier)}/os-extra_specs"
        self.compute.call("POST", path, {"extra_specs": specs})

    def remove_extra_spec(self, identifier, key):
        path = f"/flavors/{quoted(identifier)}/os-extra_specs/{quoted(key)}"
        self.compute.call("DELETE", path, allowed=(404,))

    def delete_flavor(self, identifier):
        self.compute.call("DELETE", "/flavors/" + quoted(identifier), allowed=(404,))

    def remove_flavor(self, flavor):
        path = "/servers?all_tenants=1&limit=1&flavor={}".format(quoted(flavor["id"]))
        text = "flavor {}".format(flavor["name"])
        if self.compute.call("GET", path)["servers"]:
            self.refused.append(f"{text} is not removed: there are guests of it")
        else:
            self.do(f"remove {text}", self.delete_flavor, flavor["id"], early=True)

    def flavor(self, flavor, wanted):
        name, identifier = flavor["name"], flavor["id"]
        differing = [
            (key, flavor[field], wanted[key])
            for key, field in FIXED.items()
            if key in wanted and flavor[field] != wanted[key]
        ]
        if differing:
            self.other_numbers(flavor, wanted, differing)
            return
        if "description" in wanted and flavor.get("description") != wanted["description"]:
            body = {"flavor": {"description": wanted["description"]}}
            text = "flavor {}: description {!r}".format(name, wanted["description"])
            path = "/flavors/" + quoted(identifier)
            self.do(text, self.compute.call, "PUT", path, body)
        held, changed = flavor["extra_specs"], {}
        for key, value in wanted.get("extra_specs", {}).items():
            if value is None and key in held:
                text = f"flavor {name}: no extra spec {key}"
                self.do(with_was(text, held[key]), self.remove_extra_spec, identifier, key)
            elif value is not None and held.get(key) != value:
                changed[key] = value
                text = with_was(f"flavor {name}: extra spec {key} {value}", held.get(key))
                self.do(text, self.set_extra_specs, identifier, {key: value})

    def other_numbers(self, flavor, wanted, differing):
        name = flavor["name"]
        text = ", ".join(f"{key} {now} (was {before})" for key, before, now in differing)
        if not wanted.get("replace"):
            self.refused.append(
                f"flavor {name} differs: {text}; Nova changes no number of a flavor: set "
                "`replace: true` to have it deleted and made again, guests keep what they have"
            )
            return
        whole = {key: flavor[field] for key, field in FIXED.items()}
        whole["description"] = flavor.get("description")
        whole.update({key: value for key, value in wanted.items() if key != "extra_specs"})
        whole["extra_specs"] = {**flavor["extra_specs"], **wanted.get("extra_specs", {})}
        self.do(f"replace flavor {name}: {text}", self.replace_flavor, flavor, whole)

    def replace_flavor(self, flavor, whole):
        access = []
        if not flavor["os-flavor-access:is_public"] and not whole["is_public"]:
            path = "/flavors/{}/os-flavor-access".format(quoted(flavor["id"]))
            access = [row["tenant_id"] for row in self.compute.call("GET", path)["flavor_access"]]
        self.delete_flavor(flavor["id"])
        self.create_flavor(flavor["name"], whole, access)

    # --- aggregates -------------------------------------------------------------------------------

    def aggregates(self, declared):
        listed = self.compute.call("GET", "/os-aggregates")["aggregates"]
        found = {aggregate["name"]: aggregate for aggregate in listed}
        services = self.compute.call("GET", "/os-services?binary=nova-compute")["services"]
        self.registered = {service["host"] for service in services}
        for name, wanted in declared.items():
            aggregate = found.get(name)
            if wanted.get("absent"):
                if aggregate:
                    self.remove_aggregate(aggregate, wanted)
                continue
            self.other_zone(name, wanted, listed, declared)
            if aggregate is None:
                zone = wanted.get("availability_zone")
                text = f"create aggregate {name}" + (
                    f" in availability zone {zone}" if zone else ""
                )
                aggregate = {"name": name, "hosts": [], "metadata": {}, "availability_zone": zone}
                self.do(text, self.create_aggregate, aggregate)
            self.aggregate(aggregate, wanted)
        self.aggregate_traits(declared)

    def other_zone(self, name, wanted, listed, declared):
        """Nova puts no host into two zones; what this run changes itself is left for it to say."""
        zone = wanted.get("availability_zone")
        for other in listed:
            held = other["availability_zone"]
            if other["name"] in declared or not zone or held in (None, zone):
                continue
            for host in wanted.get("hosts", ()):
                if host in other["hosts"]:
                    text = (
                        "host {} is in availability zone {} by aggregate {}, so it cannot be in {}"
                    )
                    self.refused.append(text.format(host, held, other["name"], zone))

    def create_aggregate(self, aggregate):
        body = {"name": aggregate["name"]}
        if aggregate["availability_zone"]:
            body["availability_zone"] = aggregate["availability_zone"]
        made = self.compute.call("POST", "/os-aggregates", {"aggregate": body})
        # What follows in this run is done to the one that there is now.
        aggregate["id"] = made["aggregate"]["id"]

    def aggregate(self, aggregate, wanted):
        name = aggregate["name"]
        zone = wanted.get("availability_zone")
        if zone and aggregate["availability_zone"] != zone:
            text = f"aggregate {name}: availability zone {zone}"
            body = {"aggregate": {"availability_zone": zone}}
            self.do(with_was(text, aggregate["availability_zone"]), self.update, aggregate, body)
        hosts = wanted.get("hosts", [])
        for host in hosts:
            if host not in aggregate["hosts"] and self.is_registered(host, name):
                action = {"add_host": {"host": host}}
                self.do(f"aggregate {name}: add host {host}", self.act, aggregate, action)
        for host in aggregate["hosts"] if wanted.get("only_these_hosts") else ():
            if host not in hosts:
                action = {"remove_host": {"host": host}}
                text = f"aggregate {name}: take host {host} out"
                self.do(text, self.act, aggregate, action, early=True)
        for key, value in wanted.get("metadata", {}).items():
            before = aggregate["metadata"].get(key)
            if before != value:
                action = {"set_metadata": {"metadata": {key: value}}}
                what = f"no metadata {key}" if value is None else f"metadata {key} {value}"
                text = with_was(f"aggregate {name}: {what}", before)
                self.do(text, self.act, aggregate, action)

    def is_registered(self, host, name):
        if host in self.registered:
            return True
        if host in self.request["left_out"]:
            text = (
                "host {} is not in aggregate {}: this run leaves it out, and Nova does not know it"
            )
            self.remarks.append(text.format(host, name))
            return False
        if host not in self.unregistered:
            self.unregistered.append(host)
        return True

    def update(self, aggregate, body):
        self.compute.call("PUT", "/os-aggregates/{}".format(aggregate["id"]), body)

    def act(self, aggregate, action):
        self.compute.call("POST", "/os-aggregates/{}/action".format(aggregate["id"]), action)

    def remove_aggregate(self, aggregate, wanted):
        name = aggregate["name"]
        others = [host for host in aggregate["hosts"] if host not in wanted.get("hosts", ())]
        if others:
            text = (
                "aggregate {} is not removed: {} {} in it; name under `hosts` what may be taken out"
            )
            verb = "is" if len(others) == 1 else "are"
            self.refused.append(text.format(name, ", ".join(others), verb))
            return
        for host in aggregate["hosts"]:
            action = {"remove_host": {"host": host}}
            text = f"aggregate {name}: take host {host} out"
            self.do(text, self.act, aggregate, action, early=True)
        path = "/os-aggregates/{}".format(aggregate["id"])
        self.do(f"remove aggregate {name}", self.compute.call, "DELETE", path, early=True)

    # --- traits -----------------------------------------------------------------------------------

    def aggregate_traits(self, declared):
        """The traits that make an aggregate's `trait:X: required` effective, on its hosts."""
        self.given_traits = set()
        wanted = {}
        for aggregate in declared.values():
            for key, value in aggregate.get("metadata", {}).items():
                if key.startswith("trait:") and value == "required" and not aggregate.get("absent"):
                    for host in aggregate.get("hosts", ()):
                        wanted.setdefault(host, set()).add(key.partition(":")[2])
                        self.given_traits.add(key.partition(":")[2])
        if not wanted:
            return
        hypervisors = self.compute.call("GET", "/os-hypervisors/detail")["hypervisors"]
        providers = {}
        for hypervisor in hypervisors:
            providers.setdefault(hypervisor["service"]["host"], []).append(hypervisor["id"])
        for host, traits in sorted(wanted.items()):
            for provider in providers.get(host, ()):
                self.provider_traits(host, provider, traits)

    def provider_traits(self, host, provider, traits):
        path = f"/resource_providers/{provider}/traits"
        missing = traits - set(self.placement.call("GET", path)["traits"])
        for trait in sorted(missing):
            if trait.startswith("CUSTOM_"):
                self.do(f"give host {host} the trait {trait}", self.give_trait, path, trait)
            else:
                # The driver reports the standard ones and would take it away again.
                text = (
                    f"host {host} does not have the trait {trait}, so its aggregate gets no guest"
                )
                self.remarks.append(text)

    def give_trait(self, path, trait):
        self.placement.call("PUT", f"/traits/{trait}")
        for _ in range(3):
            # nova-compute may have changed the provider in between, which its generation tells.
            body = self.placement.call("GET", path)
            body["traits"] = sorted({*body["traits"], trait})
            if self.placement.call("PUT", path, body, allowed=(409,)) is not None:
                return
        raise Refused("the resource provider keeps changing")

    def required_traits(self):
        given = getattr(self, "given_traits", set())
        wanted = {}
        for name, flavor in self.declared.get("flavors", {}).items():
            for key, value in flavor.get("extra_specs", {}).items():
                match = re.fullmatch("trait[^:]*:(.+)", key)
                if match and value == "required" and not flavor.get("absent"):
                    wanted.setdefault(match[1], []).append(name)
        for trait, names in wanted.items():
            path = f"/resource_providers?required={quoted(trait)}"
            answer = None if trait in given else self.placement.call("GET", path, allowed=(400,))
            if trait not in given and not (answer and answer["resource_providers"]):
                text = "no host has the trait {}, so no guest of flavor {} finds one"
                self.remarks.append(text.format(trait, ", ".join(names)))

    # --- server groups ----------------------------------------------------------------------------

    def server_groups(self, declared):
        listed = self.compute.all("/os-server-groups?limit=1000", "server_groups")
        for name, wanted in declared.items():
            groups = [group for group in listed if group["name"] == name]
            if len(groups) > 1:
                text = "there are {} server groups {} in the administrator's project"
                self.refused.append(text.format(len(groups), name))
            elif not groups:
                if not wanted.get("absent"):
                    text = f"create server group {name}: {self.group_text(wanted)}"
                    self.do(text, self.create_group, name, wanted)
            else:
                self.server_group(groups[0], wanted)

    @staticmethod
    def group_text(group):
        limit = group.get("max_server_per_host") or group.get("rules", {}).get(
            "max_server_per_host"
        )
        return group["policy"] + (f", at most {limit} on a host" if limit else "")

    def create_group(self, name, wanted):
        body = {"name": name, "policy": wanted["policy"]}
        if wanted.get("max_server_per_host"):
            body["rules"] = {"max_server_per_host": wanted["max_server_per_host"]}
        self.compute.call("POST", "/os-server-groups", {"server_group": body})

    def server_group(self, group, wanted):
        name, path = group["name"], "/os-server-groups/" + group["id"]
        text, members = f"server group {name}", len(group["members"])
        if wanted.get("absent"):
            if members:
                self.refused.append(f"{text} is not removed: it has {members} members")
            else:
                self.do(f"remove {text}", self.compute.call, "DELETE", path, early=True)
            return
        # Without the key Nova keeps to 1 on a host, and says nothing of it.
        limit = group.get("rules", {}).get("max_server_per_host")
        same = "max_server_per_host" not in wanted or limit == wanted["max_server_per_host"]
        if group["policy"] == wanted["policy"] and same:
            return
        difference = with_was(self.group_text(wanted), self.group_text(group))
        if not wanted.get("replace"):
            remedy = "Nova changes no server group: set `replace: true` to have it made again"
            self.refused.append(f"{text} differs: {difference}; {remedy}")
        elif members:
            self.refused.append(f"{text} is not replaced: it has {members} members")
        else:
            self.do(f"replace {text}: {difference}", self.replace_group, path, name, wanted)

    def replace_group(self, path, name, wanted):
        self.compute.call("DELETE", path)
        self.create_group(name, wanted)

    # --- quotas -----------------------------------------------------------------------------------

    def quotas(self, declared):
        for name, wanted in declared.items():
            project = self.project_of(name, wanted.get("domain", "Default"))
            if project is None:
                continue
            path = "/os-quota-sets/" + project
            now = self.compute.call("GET", path)["quota_set"]
            if wanted.get("absent"):
                default = self.compute.call("GET", path + "/defaults")["quota_set"]
                if any(now.get(key) != value for key, value in default.items() if key != "id"):
                    text = f"quota of project {name}: the default one"
                    self.do(text, self.compute.call, "DELETE", path)
                continue
            limits = {k: v for k, v in wanted.items() if k not in ("domain", "absent")}
            changed = {k: v for k, v in limits.items() if v is not None and now.get(k) != v}
            if changed:
                parts = [with_was(f"{key} {value}", now.get(key)) for key, value in changed.items()]
                text = "quota of project {}: {}".format(name, ", ".join(parts))
                self.do(text, self.compute.call, "PUT", path, {"quota_set": changed})

    def project_of(self, name, domain):
        if not hasattr(self, "domains"):
            listed = self.keystone.get("/domains")["domains"]
            self.domains = {row["name"]: row["id"] for row in listed}
        found = []
        if domain in self.domains:
            query = {"name": name, "domain_id": self.domains[domain]}
            found = self.keystone.get("/projects", **query)["projects"]
        if not found:
            self.refused.append(f"there is no project {name} in domain {domain}, which has a quota")
        return found[0]["id"] if found else None

    # --- keypairs ---------------------------------------------------------------------------------

    def keypairs(self, declared):
        listed = self.compute.all("/os-keypairs?limit=1000", "keypairs")
        found = {row["keypair"]["name"]: row["keypair"] for row in listed}
        for name, wanted in declared.items():
            held, path = found.get(name), "/os-keypairs/" + quoted(name)
            if wanted.get("absent"):
                if held:
                    self.do(f"remove keypair {name}", self.compute.call, "DELETE", path)
            elif held is None:
                self.do(f"create keypair {name}", self.create_keypair, name, wanted)
            elif held["public_key"].split()[:2] != wanted["public_key"].split()[:2]:
                # The comment that stands behind a key is no part of it.
                if wanted.get("replace"):
                    text = f"replace keypair {name}: another public key"
                    self.do(text, self.replace_keypair, path, name, wanted)
                else:
                    self.refused.append(
                        f"keypair {name} differs: Nova has another public key under this name, and "
                        "changes none: set `replace: true` to have it made again"
                    )

    def create_keypair(self, name, wanted):
        body = {"name": name, "public_key": wanted["public_key"], "type": "ssh"}
        self.compute.call("POST", "/os-keypairs", {"keypair": body})

    def replace_keypair(self, path, name, wanted):
        self.compute.call("DELETE", path)
        self.create_keypair(name, wanted)

    # --- images -----------------------------------------------------------------------------------

    ATTRIBUTES = ("visibility", "min_disk", "min_ram")
    FORMATS = ("disk_format", "container_format")

    def images(self, declared):
        path = "/v2/images?limit=1000&owner=" + self.project
        listed = self.image.all(path, "images")
        for name, wanted in declared.items():
            images = [image for image in listed if image["name"] == name]
            if wanted.get("absent"):
                for image in images:
                    self.do(f"remove image {name}", self.delete_image, image)
            elif not images:
                self.new_image(name, wanted)
            else:
                self.existing_image(name, wanted, images)

    def new_image(self, name, wanted, instead=()):
        if problem := self.source_problem(wanted):
            self.refused.append(f"image {name} {problem}")
            return
        text = ("replace" if instead else "upload") + " image {}: {}"
        source = wanted.get("file") or wanted["url"]
        self.do(text.format(name, source), self.make_image, name, wanted, instead)

    @staticmethod
    def source_problem(wanted):
        if wanted.get("url"):
            return ""
        if not wanted.get("file"):
            return "is not there, and neither file nor url says what it holds"
        if not os.path.isfile(wanted["file"]):
            return "is not there, and neither is {} on this host".format(wanted["file"])
        return ""

    def existing_image(self, name, wanted, images):
        same = [image for image in images if self.holds(image, wanted)]
        unfinished = [image for image in images if image["status"] == "queued"]
        image = same[0] if same else images[0]
        others = [other for other in images if other is not image]
        if len(images) > 1 and not (same and wanted.get("replace")):
            text = "there are {} images {} in the administrator's project"
            self.refused.append(text.format(len(images), name))
        elif image in unfinished:
            # A run that ended before its upload left it.
            self.new_image(name, wanted, instead=[image])
        elif not same:
            self.other_content(name, wanted, image)
        else:
            for other in others:
                self.do(f"remove image {name} with other content", self.delete_image, other)
            self.same_image(name, wanted, image)

    def other_content(self, name, wanted, image):
        if self.holds(image, wanted) is None:
            self.refused.append(
                f"image {name} cannot be compared: Glance does not know this checksum of it; "
                "declare sha512"
            )
        elif wanted.get("replace"):
            self.new_image(name, wanted, instead=[image])
        else:
            self.refused.append(
                f"image {name} differs: it holds something else than is declared; set "
                "`replace: true` to have it uploaded anew"
            )

    def holds(self, image, wanted):
        """Whether an image holds what is declared; None where that cannot be told."""
        if image["status"] != "active":
            return False
        formats = [key for key in self.FORMATS if key in wanted]
        if any(image.get(key) != wanted[key] for key in formats):
            return False
        if not (wanted.get("file") or wanted.get("url")):
            return True
        checksum = wanted.get("checksum")
        kind = image.get("os_hash_algo")
        if checksum:
            known = {"{}:{}".format(kind, image.get("os_hash_value")), image.get(RECORD)}
            if checksum in known:
                return True
            if any(text and text.startswith(checksum[:7]) for text in known):
                return False
        if wanted.get("file") and os.path.isfile(wanted["file"]) and kind:
            return digest_of(wanted["file"], kind) == image["os_hash_value"]
        return None

    def same_image(self, name, wanted, image):
        patch = []
        texts = []
        for key in self.ATTRIBUTES:
            if wanted.get(key) is not None and image.get(key) != wanted[key]:
                patch.append({"op": "replace", "path": "/" + key, "value": wanted[key]})
                texts.append(with_was(f"{key} {wanted[key]}", image.get(key)))
        for key, value in wanted.get("properties", {}).items():
            # JSON pointers (RFC 6901) write these two differently.
            path = "/" + key.replace("~", "~0").replace("/", "~1")
            before = image.get(key)
            if value is None and key in image:
                patch.append({"op": "remove", "path": path})
                texts.append(with_was(f"no property {key}", before))
            elif value is not None and before != value:
                op = "replace" if key in image else "add"
                patch.append({"op": op, "path": path, "value": value})
                texts.append(with_was(f"property {key} {value}", before))
        if patch:
            text = "image {}: {}".format(name, ", ".join(texts))
            self.do(text, self.patch_image, image["id"], patch)

    def patch_image(self, identifier, patch):
        self.image.call("PATCH", "/v2/images/" + identifier, patch, headers={"Content-Type": PATCH})

    def delete_image(self, image):
        self.image.call("DELETE", "/v2/images/" + image["id"], allowed=(404,))

    def make_image(self, name, wanted, instead):
        if wanted.get("file"):
            self.upload(name, wanted, wanted["file"], instead)
            return
        with tempfile.NamedTemporaryFile(dir="/var/tmp", prefix="pyinfra-nova-") as stream:
            fetch(wanted["url"], stream)
            self.upload(name, wanted, stream.name, instead)

    def upload(self, name, wanted, path, instead):
        checksum = wanted.get("checksum")
        if checksum:
            kind, _, digest = checksum.partition(":")
            found = digest_of(path, kind)
            if found != digest:
                source = wanted.get("url") or path
                raise Refused(f"{source} holds {kind}:{found}, and {checksum} is declared")
        body = {"name": name, "disk_format": wanted["disk_format"]}
        body["container_format"] = wanted.get("container_format", "bare")
        body.update({key: wanted[key] for key in self.ATTRIBUTES if wanted.get(key) is not None})
        properties = wanted.get("properties", {})
        body.update({key: value for key, value in properties.items() if value is not None})
        if checksum and checksum.startswith("sha256:"):
            body[RECORD] = checksum
        image = self.image.call("POST", "/v2/images", body)
        try:
            with open(path, "rb") as stream:
                headers = {
                    "Content-Type": "application/octet-stream",
                    "Content-Length": str(os.path.getsize(path)),
                }
                target = "/v2/images/{}/file".format(image["id"])
                more = {"headers": headers, "timeout": UPLOAD_TIMEOUT}
                self.image.call("PUT", target, stream, **more)
        except (OSError, Refused) as error:
            self.delete_image(image)
            raise Refused(str(error)) from error
        for old in instead:
            self.delete_image(old)


def digest_of(path, kind):
    try:
        digest = hashlib.new(kind)
        with open(path, "rb") as stream:
            for chunk in iter(lambda: stream.read(CHUNK), b""):
                digest.update(chunk)
    except (OSError, ValueError) as error:
        raise Refused(f"{path}: {error}") from error
    return digest.hexdigest()


def fetch(url, target):
    """What URL holds, written into the open file TARGET."""
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as response:
            for chunk in iter(lambda: response.read(CHUNK), b""):
                target.write(chunk)
        target.flush()
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise Refused(f"{url} does not answer: {error}") from error


def answer(request):
    found = {"answers": True, "error": None}
    try:
        cloud = CloudObjects(request)
        cloud.compare()
        if request["apply"]:
            if cloud.refused:
                raise Refused("; ".join(cloud.refused))
            cloud.run()
    except Refused as error:
        if request["apply"]:
            raise SystemExit(str(error)) from error
        found = {"answers": False, "error": str(error)}
        return {**found, "changes": [], "refused": [], "unregistered": [], "remarks": []}
    return {
        **found,
        "changes": [text for _, text, _, _ in cloud.changes()],
        "refused": cloud.refused,
        "unregistered": cloud.unregistered,
        "remarks": cloud.remarks,
    }
