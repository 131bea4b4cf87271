"""Compare a secret that libvirt keeps with what it should be, or bring it in line.

Request: {"uuid", "usage", "value": base64, "apply": bool}
Answer:  {"error": text|null, "changes": [texts]}
libvirt gives the key of Ceph to QEMU under the UUID that comes with a volume; it is kept for good
(`ephemeral`) and can be read again (`private`), else nobody could tell whether it is still right.
The value goes to virsh over standard input and comes from it on standard output.
"""

import os
import subprocess
import xml.etree.ElementTree as ElementTree

FOLDER = "/etc/libvirt/secrets"
VIRSH = ["virsh", "--quiet", "--connect", "qemu:///system"]


def virsh(*words, text=""):
    """The exit code, output and errors of one command of virsh."""
    done = subprocess.run([*VIRSH, *words], input=text, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout.strip(), done.stderr.strip()


def definition(uuid, usage):
    root = ElementTree.Element("secret", ephemeral="no", private="no")
    ElementTree.SubElement(root, "uuid").text = uuid
    use = ElementTree.SubElement(root, "usage", type="ceph")
    ElementTree.SubElement(use, "name").text = usage
    return ElementTree.tostring(root, encoding="unicode")


def is_right(text):
    """Whether the definition TEXT is of a secret for Ceph that is kept and can be read."""
    root = ElementTree.fromstring(text)  # noqa: S314 - libvirt's own
    usage = root.find("usage")
    kind = None if usage is None else usage.get("type")
    return (root.get("ephemeral"), root.get("private"), kind) == ("no", "no", "ceph")


def compare(uuid, usage, value):
    """What is wrong: texts, and whether the secret is to be removed before it is defined."""
    create = [f"define libvirt secret {uuid} ({usage})", f"set the value of libvirt secret {uuid}"]
    # Where there is none yet, there may be no libvirt to ask, and one that is off is left so.
    if not os.path.exists(f"{FOLDER}/{uuid}.xml"):
        return create, False
    code, text, said = virsh("secret-dumpxml", uuid)
    if code:
        raise OSError(said.splitlines()[-1] if said else f"virsh ended with {code}")
    if not is_right(text):
        return [f"define libvirt secret {uuid} anew ({usage})", create[1]], True
    code, found, _ = virsh("secret-get-value", uuid)
    return ([create[1]] if code or found != value else []), False


def must(*words, text=""):
    code, _, said = virsh(*words, text=text)
    if code:
        raise SystemExit("virsh {} ended with {}: {}".format(words[0], code, said))


def answer(request):
    uuid, usage, value = request["uuid"], request["usage"], request["value"]
    try:
        changes, remove = compare(uuid, usage, value)
    except OSError as error:
        if request["apply"]:
            raise SystemExit(str(error)) from error
        return {"error": str(error), "changes": []}
    if request["apply"]:
        if remove:
            must("secret-undefine", uuid)
        if len(changes) > 1:
            must("secret-define", "/dev/stdin", text=definition(uuid, usage))
        if changes:
            # Without --plain virsh takes base64, and white space around it for a part of it.
            must("secret-set-value", uuid, "--file", "/dev/stdin", text=value)
    return {"error": None, "changes": changes}
