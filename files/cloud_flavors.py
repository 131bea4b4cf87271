"""Flavors: Nova changes no number of one, so that one with others is deleted and made again.

What that needs is stored before the delete, in the description of a private flavor of its own, the
note: everything of the new one, its identifier, extra specs and projects included. A run that is
cut off leaves the note, and the next one finds by it what there is left to do:
  the old flavor is there     nothing was deleted: the note goes, and all begins anew
  none is there, or the new   made, given its extra specs and projects; then the note goes
"""

import json

import rest
from cloud_session import changed_meanwhile, with_was

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
FIELDS = ("name", "extra_specs", *FIXED.values())
NOTE = ".pyinfra-nova-replaces"
LONGEST = 255 - len(NOTE)


def path_of(identifier):
    return "/flavors/" + rest.quoted(identifier)


def numbers(flavor):
    """What cannot be changed of a flavor of Nova's, by its key here."""
    return {key: flavor[field] for key, field in FIXED.items()}


def noted(flavor):
    """The whole new flavor that a note is about, or None for any other flavor."""
    name = flavor["name"]
    if not name.endswith(NOTE) or flavor["os-flavor-access:is_public"]:
        return None
    try:
        whole = json.loads(flavor.get("description") or "")
        complete = {*FIXED, "name", "description", "extra_specs", "access"} <= set(whole)
    except (ValueError, TypeError):
        return None
    return whole if complete and whole["name"] + NOTE == name else None


class Flavors:
    def __init__(self, cloud):
        self.cloud = cloud
        self.compute = cloud.compute

    def compare(self, declared):
        path = "/flavors/detail?is_public=None&limit=1000"
        listed = self.compute.listed(path, "flavors", *FIELDS)
        notes = [flavor for flavor in listed if noted(flavor)]
        found = {flavor["name"]: flavor for flavor in listed if flavor not in notes}
        for note in notes:
            self.unfinished(note, noted(note), found, declared)
        for name, wanted in declared.items():
            flavor = found.get(name)
            if wanted.get("absent"):
                if flavor:
                    self.remove_flavor(flavor)
            elif self.is_taken(name, wanted, found):
                text = "flavor {} cannot have id {}: another flavor has it"
                self.cloud.refused.append(text.format(name, wanted["id"]))
            elif flavor is None:
                text = "create flavor {}: {}".format(name, self.text_of(wanted))
                self.cloud.do(text, self.create, name, wanted)
            else:
                self.flavor(flavor, wanted)

    @staticmethod
    def is_taken(name, wanted, found):
        ids = {flavor["id"] for flavor in found.values() if flavor["name"] != name}
        return "id" in wanted and wanted["id"] in ids

    def text_of(self, wanted):
        parts = ["{} {}".format(key, wanted[key]) for key in FIXED if key in wanted]
        specs = wanted.get("extra_specs", {})
        parts += [f"extra spec {key} {value}" for key, value in specs.items() if value is not None]
        return ", ".join(parts)

    # --- what a run that was cut off has left -----------------------------------------------------

    def unfinished(self, note, whole, found, declared):
        """Note what a note asks for; FOUND then has the flavor as it will be."""
        name = whole["name"]
        flavor = found.get(name)
        if declared.get(name, {}).get("absent"):
            self.drop(note, "no flavor of this name is wanted", early=False)
        elif flavor and numbers(flavor) != {key: whole[key] for key in FIXED}:
            self.drop(note, f"the replacement of flavor {name} was cut off before it began")
        else:
            text = f"finish replacing flavor {name}, which was cut off: {self.text_of(whole)}"
            self.cloud.do(text, self.finish, note, whole)
            future = {FIXED[key]: whole[key] for key in FIXED}
            future.update(name=name, description=whole["description"])
            specs = {**(flavor or future).get("extra_specs", {}), **whole["extra_specs"]}
            found[name] = {**future, **(flavor or {}), "extra_specs": specs}

    def drop(self, note, why, early=True):
        text = "remove flavor {}: {}".format(note["name"], why)
        self.cloud.do(text, self.drop_note, note, early=early)

    def drop_note(self, note):
        """Remove a note, if it still is that one."""
        now = self.read(note["id"])
        if now is None:
            return
        if noted(now) != noted(note):
            raise changed_meanwhile("flavor " + note["name"])
        self.compute.call("DELETE", path_of(note["id"]), allowed=(404,))

    def finish(self, note, whole):
        """Make a flavor what its note says, then remove the note."""
        self.complete(whole)
        now = self.read(whole["id"])
        if not now or not is_complete(now, whole):
            raise changed_meanwhile("flavor " + whole["name"])
        self.drop_note(note)

    def complete(self, whole):
        identifier = whole["id"]
        now = self.read(identifier)
        if now is None:
            now = self.make(whole["name"], whole)
        elif now["name"] != whole["name"] or numbers(now) != {key: whole[key] for key in FIXED}:
            raise changed_meanwhile("flavor " + whole["name"])
        held = now.get("extra_specs", {})
        specs = {k: v for k, v in whole["extra_specs"].items() if held.get(k) != v}
        if specs:
            self.set_extra_specs(identifier, specs)
        seen_by = self.projects(identifier) if whole["access"] else []
        for project in (p for p in whole["access"] if p not in seen_by):
            action = {"addTenantAccess": {"tenant": project}}
            self.compute.call("POST", path_of(identifier) + "/action", action)

    def read(self, identifier):
        """A flavor as it is now; None where Nova says that there is none."""
        return self.compute.one(path_of(identifier), "flavor", *FIELDS, allowed=(404,))

    def projects(self, identifier):
        """The projects that see a private flavor."""
        path = path_of(identifier) + "/os-flavor-access"
        rows = self.compute.listed(path, "flavor_access", "tenant_id")
        return [row["tenant_id"] for row in rows]

    # --- one flavor -------------------------------------------------------------------------------

    def make(self, name, wanted):
        body = {field: wanted[key] for key, field in FIXED.items() if key in wanted}
        body["name"] = name
        if wanted.get("description") is not None:
            body["description"] = wanted["description"]
        answer = self.compute.call("POST", "/flavors", {"flavor": body})
        made = answer.get("flavor")
        if not isinstance(made, dict) or "id" not in made:
            raise rest.BadAnswer(f"POST {self.compute.url}/flavors answers without a flavor")
        return made

    def create(self, name, wanted):
        flavor = self.make(name, wanted)
        specs = {k: v for k, v in wanted.get("extra_specs", {}).items() if v is not None}
        if specs:
            self.set_extra_specs(flavor["id"], specs)

    def set_extra_specs(self, identifier, specs):
        path = path_of(identifier) + "/os-extra_specs"
        self.compute.call("POST", path, {"extra_specs": specs})

    def remove_extra_spec(self, identifier, key):
        path = path_of(identifier) + "/os-extra_specs"
        held = self.compute.get(path, "extra_specs", allowed=(404,))
        if held and key in held["extra_specs"]:
            self.compute.call("DELETE", path + "/" + rest.quoted(key), allowed=(404,))

    def remove_flavor(self, flavor):
        text = "flavor {}".format(flavor["name"])
        if use := self.use_of(flavor):
            self.cloud.refused.append(f"{text} is not removed: {use}")
        else:
            self.cloud.do(f"remove {text}", self.delete_unused, flavor, early=True)

    def use_of(self, flavor):
        """Why a flavor has to stay, or ""."""
        path = "/os-services?binary=nova-compute"
        services = self.compute.listed(path, "services", "host", "status")
        away = [service["host"] for service in services if service["status"] == "UNKNOWN"]
        if away:
            # Nova leaves guests of a cell that does not answer out of a list that is filtered
            # (its API guide, Handling Down Cells).
            return f"the cell of {away[0]} does not answer, which may have guests of it"
        path = "/servers?all_tenants=1&limit=1&flavor={}".format(rest.quoted(flavor["id"]))
        return (
            "there are guests of it" if self.compute.get(path, "servers")["servers"] != [] else ""
        )

    def delete_unused(self, flavor):
        now = self.read(flavor["id"])
        if now is None:
            return
        if now["name"] != flavor["name"]:
            raise changed_meanwhile("flavor " + flavor["name"])
        if use := self.use_of(flavor):
            raise rest.Failed(use)
        self.compute.call("DELETE", path_of(flavor["id"]), allowed=(404,))

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
            self.cloud.do(text, self.compute.call, "PUT", path_of(identifier), body)
        held = flavor["extra_specs"]
        for key, value in wanted.get("extra_specs", {}).items():
            if value is None and key in held:
                text = f"flavor {name}: no extra spec {key}"
                self.cloud.do(with_was(text, held[key]), self.remove_extra_spec, identifier, key)
            elif value is not None and held.get(key) != value:
                text = with_was(f"flavor {name}: extra spec {key} {value}", held.get(key))
                self.cloud.do(text, self.set_extra_specs, identifier, {key: value})

    def other_numbers(self, flavor, wanted, differing):
        name = flavor["name"]
        text = ", ".join(f"{key} {now} (was {before})" for key, before, now in differing)
        if not wanted.get("replace"):
            self.cloud.refused.append(
                f"flavor {name} differs: {text}; Nova changes no number of a flavor: set "
                "`replace: true` to have it deleted and made again, guests keep what they have"
            )
        elif len(name) > LONGEST:
            self.cloud.refused.append(
                f"flavor {name} is not replaced: its name has more than {LONGEST} characters"
            )
        else:
            whole = {**numbers(flavor), "name": name, "description": flavor.get("description")}
            whole.update({key: wanted[key] for key in (*FIXED, "description") if key in wanted})
            specs = {**flavor["extra_specs"], **wanted.get("extra_specs", {})}
            whole["extra_specs"] = {k: v for k, v in specs.items() if v is not None}
            self.cloud.do(f"replace flavor {name}: {text}", self.replace, flavor, whole)

    def replace(self, flavor, whole):
        is_private = not flavor["os-flavor-access:is_public"] and not whole["is_public"]
        whole["access"] = self.projects(flavor["id"]) if is_private else []
        text = json.dumps(whole, sort_keys=True)
        size = {"vcpus": 1, "ram": 1, "disk": 0, "is_public": False}
        note = self.make(whole["name"] + NOTE, {**size, "description": text})
        note = {"name": whole["name"] + NOTE, "id": note["id"], "description": text}
        note["os-flavor-access:is_public"] = False
        now = self.read(flavor["id"])
        if now is not None:
            if any(now.get(key) != flavor.get(key) for key in (*FIELDS, "description")):
                raise changed_meanwhile("flavor " + flavor["name"])
            self.compute.call("DELETE", path_of(flavor["id"]), allowed=(404,))
        self.finish(note, whole)


def is_complete(flavor, whole):
    """Whether a flavor has the numbers and the extra specs that it is to have."""
    same = numbers(flavor) == {key: whole[key] for key in FIXED}
    held = flavor["extra_specs"]
    return same and all(held.get(key) == value for key, value in whole["extra_specs"].items())


def compare(cloud, declared):
    Flavors(cloud).compare(declared)
