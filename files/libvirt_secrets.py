"""Compare the secrets that libvirt keeps with what they should be, or bring them in line.

Request: {"wanted": {"uuid", "usage", "value": base64}|null, "unwanted": [uuids], "apply": bool}
Answer:  {"error": text|null, "changes": [texts], "remarks": [texts]}
Of the unwanted ones only those go that this project gave to libvirt, which their usage says, and
that no guest names.
libvirt gives the key of Ceph to QEMU under the UUID that comes with a volume; it is kept for good
(`ephemeral`) and can be read again (`private`), else nobody could tell whether it is still right.
The value goes to virsh over standard input and comes from it on standard output.
"""

import os
import subprocess
import xml.etree.ElementTree as ElementTree

FOLDER = "/etc/libvirt/secrets"
VIRSH = ["virsh", "--quiet", "--connect", "qemu:///system"]
TIMEOUT = 60
NO_VALUE = "does not have a value"
"""libvirt's word for a secret of which it knows but the definition (conf/virsecretobj.c)."""


def virsh(*words, text=""):
    """The exit code, output and errors of one command of virsh, in libvirt's own language."""
    try:
        done = subprocess.run(
            [*VIRSH, *words],
            input=text,
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT,
            env={**os.environ, "LC_ALL": "C"},
        )
    except subprocess.TimeoutExpired:
        raise OSError(f"virsh {words[0]} has not ended after {TIMEOUT} s") from None
    return done.returncode, done.stdout.strip(), done.stderr.strip()


def no_answer(code, said):
    return OSError(said.splitlines()[-1] if said else f"virsh ended with {code}")


def defined(uuid):
    """The definition of a secret that libvirt has."""
    code, text, said = virsh("secret-dumpxml", uuid)
    if code:
        raise no_answer(code, said)
    try:
        return ElementTree.fromstring(text)  # noqa: S314 - libvirt's own
    except ElementTree.ParseError as error:
        raise OSError(f"virsh secret-dumpxml answers no definition: {error}") from error


def definition(uuid, usage):
    root = ElementTree.Element("secret", ephemeral="no", private="no")
    ElementTree.SubElement(root, "uuid").text = uuid
    use = ElementTree.SubElement(root, "usage", type="ceph")
    ElementTree.SubElement(use, "name").text = usage
    return ElementTree.tostring(root, encoding="unicode")


def is_right(root):
    """Whether a definition is of a secret for Ceph that is kept and can be read."""
    usage = root.find("usage")
    kind = None if usage is None else usage.get("type")
    return (root.get("ephemeral"), root.get("private"), kind) == ("no", "no", "ceph")


def compare(uuid, usage, value):
    """What is wrong: texts, and whether the secret is to be removed before it is defined."""
    create = [f"define libvirt secret {uuid} ({usage})", f"set the value of libvirt secret {uuid}"]
    # Where there is none yet, there may be no libvirt to ask, and one that is off is left so.
    if not os.path.exists(f"{FOLDER}/{uuid}.xml"):
        return create, False
    if not is_right(defined(uuid)):
        return [f"define libvirt secret {uuid} anew ({usage})", create[1]], True
    code, found, said = virsh("secret-get-value", uuid)
    if code and NO_VALUE not in said:
        raise no_answer(code, said)
    return ([create[1]] if code or found != value else []), False


def is_ours(uuid):
    """Whether this project defined the secret: asked again whenever it matters."""
    return defined(uuid).findtext("usage/name") == f"pyinfra-nova {uuid}"


def guests():
    """The names of all guests; a name may have a space in it."""
    code, names, said = virsh("list", "--all", "--name")
    if code:
        raise no_answer(code, said)
    return [name for name in names.splitlines() if name]


def guests_with(uuid):
    """The names of the guests that have a disk which is opened with the secret."""
    found = []
    for name in guests():
        # What it has now, and what it will have when it is started again.
        for words in (("dumpxml",), ("dumpxml", "--inactive")):
            code, text, said = virsh(*words, "--domain", name)
            # Only one that is no longer listed has no disk any more.
            if code and name in guests():
                raise no_answer(code, said)
            if not code and uuid in text and name not in found:
                found.append(name)
    return found


def superfluous(uuids):
    """The UUIDS that are to go, and remarks on those that have to stay."""
    gone, remarks = [], []
    for uuid in uuids:
        if not os.path.exists(f"{FOLDER}/{uuid}.xml") or not is_ours(uuid):
            continue
        guests = guests_with(uuid)
        if guests:
            text = "libvirt secret {} is no longer wanted, but stays: {} has volumes with it"
            remarks.append(text.format(uuid, ", ".join(guests)))
        else:
            gone.append(uuid)
    return gone, remarks


def must(*words, text=""):
    try:
        code, _, said = virsh(*words, text=text)
    except OSError as error:
        raise SystemExit(str(error)) from error
    if code:
        raise SystemExit("virsh {} ended with {}: {}".format(words[0], code, said))


def put_right(wanted, changes, remove):
    uuid = wanted["uuid"]
    if remove:
        must("secret-undefine", uuid)
    if len(changes) > 1:
        must("secret-define", "/dev/stdin", text=definition(uuid, wanted["usage"]))
    if changes:
        # Without --plain virsh takes base64, and white space around it for a part of it.
        must("secret-set-value", uuid, "--file", "/dev/stdin", text=wanted["value"])


def answer(request):
    wanted, changes, remove = request["wanted"], [], False
    try:
        if wanted:
            changes, remove = compare(wanted["uuid"], wanted["usage"], wanted["value"])
        gone, remarks = superfluous(request["unwanted"])
    except OSError as error:
        if request["apply"]:
            raise SystemExit(str(error)) from error
        return {"error": str(error), "changes": [], "remarks": []}
    if request["apply"]:
        if wanted:
            put_right(wanted, changes, remove)
        for uuid in gone:
            must("secret-undefine", uuid)
    removals = [f"remove libvirt secret {uuid}, which this project made" for uuid in gone]
    return {"error": None, "changes": [*changes, *removals], "remarks": remarks}
