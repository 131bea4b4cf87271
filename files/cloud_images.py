"""Images of the administrator's project.

The new image is there, whole, before an old one goes. What a run that is cut off leaves is an image
without content, which the next one fills another for, or an old one beside the new.
"""

import hashlib
import os
import tempfile

import rest
from cloud_session import changed_meanwhile, with_was

UPLOAD_TIMEOUT = 1800
CHUNK = 1 << 20
PATCH = "application/openstack-images-v2.1-json-patch"
# Glance hashes what it stores with one algorithm; what it was of another is remembered here.
RECORD = "pyinfra_nova_checksum"
OURS = "pyinfra_nova_upload"
"""A property of the images made here: a queued one without it may be somebody's who is about to
upload."""
ATTRIBUTES = ("visibility", "min_disk", "min_ram")
FORMATS = ("disk_format", "container_format")
# What an image is known by, and what it holds.
IDENTITY = ("id", "name", "owner", "status", "os_hash_value", "size")
BUSY = ("saving", "importing", "uploading")


class Images:
    def __init__(self, cloud):
        self.cloud = cloud
        self.image = cloud.image

    def compare(self, declared):
        path = "/v2/images?limit=1000&owner=" + rest.quoted(self.cloud.project)
        listed = self.image.listed(path, "images", "id", "name", "status")
        for name, wanted in declared.items():
            images = [image for image in listed if image["name"] == name]
            busy = [image for image in images if image["status"] in BUSY]
            if busy:
                text = "image {} ({}) is being uploaded: wait until it is there, or delete it"
                self.cloud.refused.append(text.format(name, busy[0]["id"]))
            elif wanted.get("absent"):
                for image in images:
                    self.cloud.do(f"remove image {name}", self.delete, image)
            elif not images:
                self.new(name, wanted)
            else:
                self.existing(name, wanted, images)

    def new(self, name, wanted, instead=()):
        if problem := self.source_problem(wanted):
            self.cloud.refused.append(f"image {name} {problem}")
            return
        text = ("replace" if instead else "upload") + " image {}: {}"
        source = wanted.get("file") or wanted["url"]
        self.cloud.do(text.format(name, source), self.make, name, wanted, instead)

    @staticmethod
    def source_problem(wanted):
        if wanted.get("url"):
            return ""
        if not wanted.get("file"):
            return "is not there, and neither file nor url says what it holds"
        if not os.path.isfile(wanted["file"]):
            return "is not there, and neither is {} on this host".format(wanted["file"])
        return ""

    def existing(self, name, wanted, images):
        same = [image for image in images if self.holds(image, wanted)]
        # A run that ended before its upload left these.
        empty = [i for i in images if i["status"] == "queued" and i.get(OURS)]
        others = [image for image in images if image not in empty and image not in same[:1]]
        if len(others) + len(same[:1]) > 1 and not (same and wanted.get("replace")):
            text = "there are {} images {} in the administrator's project"
            self.cloud.refused.append(text.format(len(images), name))
        elif same:
            for image in empty:
                self.cloud.do(f"remove image {name} without content", self.delete, image)
            for image in others:
                self.cloud.do(f"remove image {name} with other content", self.delete, image)
            self.same(name, wanted, same[0])
        elif others:
            self.other_content(name, wanted, others[0], empty)
        else:
            self.new(name, wanted, instead=empty)

    def other_content(self, name, wanted, image, empty):
        if self.holds(image, wanted) is None:
            self.cloud.refused.append(
                f"image {name} cannot be compared: Glance does not know this checksum of it; "
                "declare sha512"
            )
        elif wanted.get("replace"):
            self.new(name, wanted, instead=[image, *empty])
        else:
            self.cloud.refused.append(
                f"image {name} differs: it holds something else than is declared; set "
                "`replace: true` to have it uploaded anew"
            )

    def holds(self, image, wanted):
        """Whether an image holds what is declared; None where that cannot be told."""
        if image["status"] != "active":
            return False
        formats = [key for key in FORMATS if key in wanted]
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
            return digest_of(wanted["file"], kind) == image.get("os_hash_value")
        return None

    def same(self, name, wanted, image):
        patch = []
        texts = []
        for key in ATTRIBUTES:
            if wanted.get(key) is not None and image.get(key) != wanted[key]:
                patch.append({"op": "replace", "path": "/" + key, "value": wanted[key]})
                texts.append(with_was(f"{key} {wanted[key]}", image.get(key)))
        for key, value in wanted.get("properties", {}).items():
            path = pointer(key)
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
            self.cloud.do(text, self.patch, image["id"], patch)

    def patch(self, identifier, patch):
        """Change an image; of what is to go, that which has not gone by itself."""
        if any(step["op"] == "remove" for step in patch):
            there = {pointer(key) for key in self.read(identifier) or ()}
            patch = [step for step in patch if step["op"] != "remove" or step["path"] in there]
        if patch:
            self.change(identifier, patch)

    def change(self, identifier, patch):
        self.image.call("PATCH", path_of(identifier), patch, headers={"Content-Type": PATCH})

    # --- what comes and goes ----------------------------------------------------------------------

    def read(self, identifier):
        """An image as it is now; None where Glance says that there is none."""
        return self.image.get(path_of(identifier), "id", "name", "status", allowed=(404,))

    def delete(self, image):
        """Delete an image, if it is still what it was when it was compared."""
        now = self.read(image["id"])
        if now is None:
            return
        if any(now.get(key) != image.get(key) for key in IDENTITY):
            raise changed_meanwhile("image {name} ({id})".format(**image))
        self.image.call("DELETE", path_of(image["id"]), allowed=(404,))

    def make(self, name, wanted, instead):
        if wanted.get("file"):
            self.upload(name, wanted, wanted["file"], instead)
            return
        with tempfile.NamedTemporaryFile(dir="/var/tmp", prefix="pyinfra-nova-") as stream:
            rest.fetch(wanted["url"], stream)
            self.upload(name, wanted, stream.name, instead)

    def upload(self, name, wanted, path, instead):
        checksum = wanted.get("checksum")
        if checksum:
            kind, _, digest = checksum.partition(":")
            found = digest_of(path, kind)
            if found != digest:
                source = wanted.get("url") or path
                raise rest.Failed(f"{source} holds {kind}:{found}, and {checksum} is declared")
        image = self.image.call("POST", "/v2/images", body_of(name, wanted))
        if "id" not in image:
            raise rest.BadAnswer(f"POST {self.image.url}/v2/images answers without an image")
        try:
            self.send(image["id"], path)
        except (OSError, rest.ErrorStatus) as error:
            # Without an answer it may hold everything, which the next run will see.
            self.delete_empty(image["id"])
            raise rest.Failed(str(error)) from error
        self.require_whole(image["id"], path)
        for old in instead:
            self.delete(old)

    def send(self, identifier, path):
        with open(path, "rb") as stream:
            headers = {
                "Content-Type": "application/octet-stream",
                "Content-Length": str(os.path.getsize(path)),
            }
            target = path_of(identifier) + "/file"
            self.image.call("PUT", target, stream, headers=headers, timeout=UPLOAD_TIMEOUT)

    def delete_empty(self, identifier):
        now = self.read(identifier)
        if now and now["status"] == "queued":
            self.image.call("DELETE", path_of(identifier), allowed=(404,))

    def require_whole(self, identifier, path):
        """Nothing is deleted for an image that does not hold what was sent."""
        now = self.read(identifier)
        kind = now and now.get("os_hash_algo")
        if not now or now["status"] != "active":
            status = now["status"] if now else "gone"
            raise rest.Failed(f"the new image {identifier} is {status} after its upload")
        if kind and digest_of(path, kind) != now.get("os_hash_value"):
            raise rest.Failed(f"the new image {identifier} does not hold what was sent")


def path_of(identifier):
    return "/v2/images/" + rest.quoted(identifier)


def pointer(key):
    """A property's place in an image: JSON pointers write two characters differently (RFC 6901)."""
    return "/" + key.replace("~", "~0").replace("/", "~1")


def body_of(name, wanted):
    body = {"name": name, "disk_format": wanted["disk_format"]}
    body["container_format"] = wanted.get("container_format", "bare")
    body.update({key: wanted[key] for key in ATTRIBUTES if wanted.get(key) is not None})
    properties = wanted.get("properties", {})
    body.update({key: value for key, value in properties.items() if value is not None})
    body[OURS] = "true"
    checksum = wanted.get("checksum")
    if checksum and checksum.startswith("sha256:"):
        body[RECORD] = checksum
    return body


def digest_of(path, kind):
    try:
        digest = hashlib.new(kind)
        with open(path, "rb") as stream:
            for chunk in iter(lambda: stream.read(CHUNK), b""):
                digest.update(chunk)
    except (OSError, ValueError) as error:
        raise rest.Failed(f"{path}: {error}") from error
    return digest.hexdigest()


def compare(cloud, declared):
    Images(cloud).compare(declared)
