"""Compare a Ceph of one host, one monitor and one disk that is a file, with what the lab wants.

Request: {"name", "address", "listens": the monitor's addresses as Ceph writes them, "fsid",
          "osd_uuid", "pool", "keys": {entity: key}, "apply": bool}
Answer:  {"changes": [texts]}
Sizes are in ceph.conf, which is there before. The disk is BlueStore on a plain file, so neither
LVM nor a loop device is needed. Keys reach Ceph in files that only its user can read.
"""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile

CAPABILITIES = {
    "mon.": {"mon": "allow *"},
    "client.admin": {"mon": "allow *", "osd": "allow *", "mgr": "allow *", "mds": "allow *"},
    "mgr": {"mon": "allow profile mgr", "osd": "allow *", "mds": "allow *"},
    "osd": {"mon": "allow profile osd", "mgr": "allow profile osd", "osd": "allow *"},
    "client": {"mon": "profile rbd", "osd": "profile rbd pool={pool}", "mgr": "profile rbd"},
}
DATA = pathlib.Path("/var/lib/ceph")
ANSWER_WITHIN = 60
"""Seconds a new monitor may take to answer."""


def run(*command, check=True):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if check and done.returncode:
        said = (done.stderr or done.stdout).strip()[-600:]
        raise SystemExit("{} ended with {}: {}".format(" ".join(command), done.returncode, said))
    return done


def as_ceph(*command):
    return run("runuser", "-u", "ceph", "--", *command)


def ceph(*words, check=True):
    return run("ceph", "--connect-timeout", "10", *words, check=check)


def keyring(request, *entities):
    """The keys of ENTITIES with what they may do, as Ceph reads them."""
    lines = []
    for entity in entities:
        kind = entity if entity in CAPABILITIES else entity.partition(".")[0]
        lines += [f"[{entity}]", "\tkey = " + request["keys"][entity]]
        for service, may in CAPABILITIES[kind].items():
            lines.append('\tcaps {} = "{}"'.format(service, may.format(pool=request["pool"])))
    return "\n".join(lines) + "\n"


def private(path, text):
    """Write PATH for Ceph's user alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.chown(path.parent, "ceph", "ceph")
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(text)
    shutil.chown(path, "ceph", "ceph")


def read(path):
    try:
        return path.read_text()
    except FileNotFoundError:
        return None


class Cluster:
    def __init__(self, request):
        self.request = request
        self.name = request["name"]
        self.mon = DATA / "mon" / f"ceph-{self.name}"
        self.mgr = DATA / "mgr" / f"ceph-{self.name}"
        self.osd = DATA / "osd" / "ceph-0"

    def clients(self):
        return [entity for entity in self.request["keys"] if entity.startswith("client.")]

    # --- what is missing --------------------------------------------------------------------------

    def changes(self):
        """What to do, in words, by the method that does it."""
        found = {}
        if not (self.mon / "done").exists():
            found["make_monitor"] = "make Ceph's monitor"
        if read(self.mgr / "keyring") != self.daemon_keyring("mgr." + self.name):
            found["make_manager"] = "make Ceph's manager"
        if not (self.osd / "done").exists():
            found["make_disk"] = "make Ceph's disk, a file"
        if "make_monitor" in found or not self.answers():
            return {**found, "set_users": "set Ceph's users", "make_pool": self.pool_text()}
        if self.listens() != self.request["listens"]:
            found["set_addresses"] = "have Ceph's monitor listen at " + self.request["listens"]
        stale = [entity for entity in self.clients() if not self.user_is_right(entity)]
        if stale:
            found["set_users"] = "set Ceph's users " + ", ".join(stale)
        if self.request["pool"] not in ceph("osd", "pool", "ls").stdout.split():
            found["make_pool"] = self.pool_text()
        return found

    def pool_text(self):
        return "make Ceph's pool " + self.request["pool"]

    def answers(self):
        return ceph("mon", "stat", check=False).returncode == 0

    def listens(self):
        monitors = json.loads(ceph("mon", "dump", "--format", "json").stdout)["mons"]
        mine = next(monitor for monitor in monitors if monitor["name"] == self.name)
        known = ("{type}:{addr}".format(**address) for address in mine["public_addrs"]["addrvec"])
        return "[{}]".format(",".join(known))

    def user_is_right(self, entity):
        """Whether the user has this key and may do this; the words may stand in another order."""
        found = ceph("auth", "get", entity, check=False)
        lines = [" ".join(line.split()) for line in found.stdout.splitlines() if line.strip()]
        wanted = [" ".join(line.split()) for line in keyring(self.request, entity).splitlines()]
        return sorted(lines) == sorted(wanted)

    # --- what is made -----------------------------------------------------------------------------

    def daemon_keyring(self, entity):
        return f"[{entity}]\n\tkey = {self.request['keys'][entity]}\n"

    def make_monitor(self):
        shutil.rmtree(self.mon, ignore_errors=True)
        with tempfile.TemporaryDirectory() as folder:
            shutil.chown(folder, "ceph", "ceph")
            monmap, keys = f"{folder}/monmap", pathlib.Path(folder, "keyring")
            private(keys, keyring(self.request, *self.request["keys"]))
            made = ("--create", "--clobber", "--addv", self.name, self.request["listens"])
            as_ceph("monmaptool", *made, "--fsid", self.request["fsid"], monmap)
            files = ("--monmap", monmap, "--keyring", str(keys))
            as_ceph("ceph-mon", "--mkfs", "--id", self.name, *files)
        (self.mon / "done").touch()
        self.start_monitor("restart")

    def start_monitor(self, verb):
        """Have the monitor answer: the disk, users and pool are asked for through it."""
        unit = f"ceph-mon@{self.name}.service"
        run("systemctl", "reset-failed", unit, check=False)
        run("systemctl", verb, unit, check=False)
        timeout = ("--connect-timeout", str(ANSWER_WITHIN))
        if run("ceph", *timeout, "mon", "stat", check=False).returncode:
            raise SystemExit("Ceph's monitor does not answer: see journalctl -u 'ceph-mon@*'")

    def set_addresses(self):
        """The monitor starts anew by itself; daemons and clients find it by either protocol."""
        ceph("mon", "set-addrs", self.name, self.request["listens"])
        self.start_monitor("restart")

    def make_manager(self):
        entity = "mgr." + self.name
        private(self.mgr / "keyring", self.daemon_keyring(entity))
        self.set_user(entity)

    def make_disk(self):
        uuid = self.request["osd_uuid"]
        shutil.rmtree(self.osd, ignore_errors=True)
        private(self.osd / "keyring", self.daemon_keyring("osd.0"))
        ceph("osd", "new", uuid, "0")
        self.set_user("osd.0")
        as_ceph("ceph-osd", "--mkfs", "--id", "0", "--osd-uuid", uuid)
        (self.osd / "done").touch()

    def set_users(self):
        for entity in self.clients():
            self.set_user(entity)

    def set_user(self, entity):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "keyring")
            private(path, keyring(self.request, entity))
            ceph("auth", "import", "-i", str(path))

    def make_pool(self):
        pool = self.request["pool"]
        ceph("osd", "pool", "create", pool)
        ceph("osd", "pool", "application", "enable", pool, "rbd")


def answer(request):
    cluster = Cluster(request)
    changes = cluster.changes()
    if request["apply"]:
        if "make_monitor" not in changes and not cluster.answers():
            cluster.start_monitor("start")
            changes = cluster.changes()
        for step in changes:
            getattr(cluster, step)()
    return {"changes": list(changes.values())}
