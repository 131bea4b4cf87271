"""What belongs to projects and users: server groups, quotas, keypairs.

A server group or a keypair that is replaced is deleted, then made of what is declared alone: a run
that is cut off between the two leaves none, and the next one creates it.
"""

import rest
from cloud_session import changed_meanwhile, with_was

# --- server groups --------------------------------------------------------------------------------


class ServerGroups:
    FIELDS = ("id", "name", "policy", "members")

    def __init__(self, cloud):
        self.cloud = cloud
        self.compute = cloud.compute

    def compare(self, declared):
        path = "/os-server-groups?limit=1000"
        listed = self.compute.listed_by_offset(path, "server_groups", *self.FIELDS)
        for name, wanted in declared.items():
            groups = [group for group in listed if group["name"] == name]
            if len(groups) > 1:
                text = "there are {} server groups {} in the administrator's project"
                self.cloud.refused.append(text.format(len(groups), name))
            elif not groups:
                if not wanted.get("absent"):
                    text = f"create server group {name}: {self.text_of(wanted)}"
                    self.cloud.do(text, self.create, name, wanted)
            else:
                self.group(groups[0], wanted)

    @staticmethod
    def text_of(group):
        limit = group.get("max_server_per_host") or group.get("rules", {}).get(
            "max_server_per_host"
        )
        return group["policy"] + (f", at most {limit} on a host" if limit else "")

    def create(self, name, wanted):
        body = {"name": name, "policy": wanted["policy"]}
        if wanted.get("max_server_per_host"):
            body["rules"] = {"max_server_per_host": wanted["max_server_per_host"]}
        self.compute.call("POST", "/os-server-groups", {"server_group": body})

    @staticmethod
    def is_as(group, wanted):
        # Without the key Nova keeps to 1 on a host, and says nothing of it.
        limit = group.get("rules", {}).get("max_server_per_host")
        same = "max_server_per_host" not in wanted or limit == wanted["max_server_per_host"]
        return group["policy"] == wanted["policy"] and same

    def group(self, group, wanted):
        text, members = "server group {}".format(group["name"]), len(group["members"])
        if wanted.get("absent"):
            if members:
                self.cloud.refused.append(f"{text} is not removed: it has {members} members")
            else:
                self.cloud.do(f"remove {text}", self.delete_empty, group, early=True)
            return
        if self.is_as(group, wanted):
            return
        difference = with_was(self.text_of(wanted), self.text_of(group))
        if not wanted.get("replace"):
            remedy = "Nova changes no server group: set `replace: true` to have it made again"
            self.cloud.refused.append(f"{text} differs: {difference}; {remedy}")
        elif members:
            self.cloud.refused.append(f"{text} is not replaced: it has {members} members")
        else:
            self.cloud.do(f"replace {text}: {difference}", self.replace, group, wanted)

    def delete_empty(self, group):
        """Delete a group, if it is still the one that was compared, and still empty."""
        path = "/os-server-groups/" + rest.quoted(group["id"])
        now = self.compute.one(path, "server_group", *self.FIELDS, allowed=(404,))
        if now is None:
            return
        if any(now.get(key) != group.get(key) for key in ("name", "policy", "rules")):
            raise changed_meanwhile("server group " + group["name"])
        if now["members"]:
            raise rest.Failed("it has {} members".format(len(now["members"])))
        self.compute.call("DELETE", path, allowed=(404,))

    def replace(self, group, wanted):
        self.delete_empty(group)
        self.create(group["name"], wanted)


# --- quotas ---------------------------------------------------------------------------------------


class Quotas:
    def __init__(self, cloud):
        self.cloud = cloud
        self.compute = cloud.compute
        self.domains = {}

    def compare(self, declared):
        for name, wanted in declared.items():
            project = self.project_of(name, wanted.get("domain", "Default"))
            if project is None:
                continue
            path = "/os-quota-sets/" + project
            now = self.compute.one(path, "quota_set")
            if wanted.get("absent"):
                if self.differs(path, now):
                    text = f"quota of project {name}: the default one"
                    self.cloud.do(text, self.reset, path)
                continue
            limits = {k: v for k, v in wanted.items() if k not in ("domain", "absent")}
            changed = {k: v for k, v in limits.items() if v is not None and now.get(k) != v}
            if changed:
                parts = [with_was(f"{key} {value}", now.get(key)) for key, value in changed.items()]
                text = "quota of project {}: {}".format(name, ", ".join(parts))
                self.cloud.do(text, self.compute.call, "PUT", path, {"quota_set": changed})

    def differs(self, path, now):
        default = self.compute.one(path + "/defaults", "quota_set")
        return any(now.get(key) != value for key, value in default.items() if key != "id")

    def reset(self, path):
        if self.differs(path, self.compute.one(path, "quota_set")):
            self.compute.call("DELETE", path, allowed=(404,))

    def project_of(self, name, domain):
        identity = self.cloud.keystone
        if not self.domains:
            rows = identity.listed("/domains", "domains", "id", "name")
            self.domains = {row["name"]: row["id"] for row in rows}
        found = []
        if domain in self.domains:
            query = (rest.quoted(name), rest.quoted(self.domains[domain]))
            path = "/projects?name={}&domain_id={}".format(*query)
            found = identity.listed(path, "projects", "id")
        if not found:
            text = f"there is no project {name} in domain {domain}, which has a quota"
            self.cloud.refused.append(text)
        return found[0]["id"] if found else None


# --- keypairs -------------------------------------------------------------------------------------


class Keypairs:
    FIELDS = ("name", "public_key")

    def __init__(self, cloud):
        self.cloud = cloud
        self.compute = cloud.compute

    def compare(self, declared):
        path = "/os-keypairs?limit=1000"
        held = [row["keypair"] for row in self.compute.listed(path, "keypairs", "keypair")]
        self.compute.require(path, held, self.FIELDS)
        found = {keypair["name"]: keypair for keypair in held}
        for name, wanted in declared.items():
            held = found.get(name)
            if wanted.get("absent"):
                if held:
                    self.cloud.do(f"remove keypair {name}", self.delete, held)
            elif held is None:
                self.cloud.do(f"create keypair {name}", self.create, name, wanted)
            elif key_of(held) != key_of(wanted):
                if wanted.get("replace"):
                    text = f"replace keypair {name}: another public key"
                    self.cloud.do(text, self.replace, held, wanted)
                else:
                    self.cloud.refused.append(
                        f"keypair {name} differs: Nova has another public key under this name, and "
                        "changes none: set `replace: true` to have it made again"
                    )

    def create(self, name, wanted):
        body = {"name": name, "public_key": wanted["public_key"], "type": "ssh"}
        self.compute.call("POST", "/os-keypairs", {"keypair": body})

    def delete(self, held):
        """Delete a keypair, if it is still the one that was compared."""
        path = "/os-keypairs/" + rest.quoted(held["name"])
        now = self.compute.one(path, "keypair", *self.FIELDS, allowed=(404,))
        if now is None:
            return
        if key_of(now) != key_of(held):
            raise changed_meanwhile("keypair " + held["name"])
        self.compute.call("DELETE", path, allowed=(404,))

    def replace(self, held, wanted):
        self.delete(held)
        self.create(held["name"], wanted)


def key_of(keypair):
    """Type and key; the comment that stands behind them is no part of it."""
    return keypair["public_key"].split()[:2]


def compare_server_groups(cloud, declared):
    ServerGroups(cloud).compare(declared)


def compare_quotas(cloud, declared):
    Quotas(cloud).compare(declared)


def compare_keypairs(cloud, declared):
    Keypairs(cloud).compare(declared)
