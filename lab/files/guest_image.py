"""Build the guest image from its sources, once for each state of them, beside other work.

Request: {"folder", "name", "digest", "files": {relative path: base64}, "do": "ask|start|wait"}
Answer: {"built": bool}
The image is FOLDER/NAME-DIGEST.qcow2; images of earlier sources are removed. `start` begins a
build and does not wait for it; `wait` starts one that nobody has started.
"""

import base64
import pathlib
import shutil
import subprocess
import time

UNIT = "pyinfra-nova-lab-guest-image.service"
DEADLINE = 900


def systemctl(*words):
    result = subprocess.run(["systemctl", *words], capture_output=True, text=True)
    return result.stdout.strip()


def is_building():
    return systemctl("is-active", UNIT) in ("active", "activating")


def start(folder, image, files):
    source = folder / "source"
    shutil.rmtree(source, ignore_errors=True)
    for name, content in files.items():
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(content))
    systemctl("reset-failed", UNIT)
    build = ["/usr/bin/python3", str(source / "build_image.py"), str(image)]
    subprocess.run(["systemd-run", "--quiet", "--unit", UNIT, *build], check=True)


def wait(folder, image):
    deadline = time.monotonic() + DEADLINE
    while is_building() and time.monotonic() < deadline:
        time.sleep(0.2)
    if not image.exists():
        journal = ["journalctl", "-q", "-n", "10", "-o", "cat", "-u", UNIT]
        said = subprocess.run(journal, capture_output=True, text=True).stdout
        raise SystemExit("the guest image was not built:\n" + said)
    for old in folder.glob("*.qcow2"):
        if old != image:
            old.unlink()


def answer(request):
    folder = pathlib.Path(request["folder"])
    image = folder / "{name}-{digest}.qcow2".format(**request)
    if request["do"] != "ask" and not image.exists():
        if not is_building():
            start(folder, image, request["files"])
        if request["do"] == "wait":
            wait(folder, image)
    return {"built": image.exists()}
