"""Build the guest image from its sources, once for each state of them.

Request: {"folder", "name", "digest", "files": {relative path: base64}, "apply": bool}
Answer: {"built": bool}
The image is FOLDER/NAME-DIGEST.qcow2; images of earlier sources are removed.
"""

import base64
import pathlib
import shutil
import subprocess
import sys


def unpack(folder, files):
    shutil.rmtree(folder, ignore_errors=True)
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(content))


def answer(request):
    folder = pathlib.Path(request["folder"])
    image = folder / "{name}-{digest}.qcow2".format(**request)
    if image.exists() or not request["apply"]:
        return {"built": image.exists()}
    unpack(folder / "source", request["files"])
    result = subprocess.run(
        [sys.executable, str(folder / "source" / "build_image.py"), str(image)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if result.returncode:
        raise SystemExit("\n".join(result.stdout.splitlines()[-10:]))
    for old in folder.glob("*.qcow2"):
        if old != image:
            old.unlink()
    return {"built": True}
