"""Build package repositories of stubs and have dnf know the first of them.

Request: {"folder": path, "repositories": {id: {"enabled": bool, "packages": [
              {"name", "version", "requires": [names], "files": {path: text}}]}},
          "remove": bool}
Answer:  {"built": number}
A repository that is not in /etc/yum.repos.d belongs to one of its packages, which brings its file.
"""

import os
import pathlib
import shutil
import subprocess

SPEC = """\
Name: {name}
Version: {version}
Release: 1.el9
Summary: a stub that carries the name of another package
License: Apache-2.0
BuildArch: noarch
{requires}
%description
A stub that carries the name of another package.
%install
cp -a {root}/. %{{buildroot}}/
%files
{files}
"""
REPO = """\
[{id}]
name={id}
baseurl=file://{folder}/{id}
enabled={enabled}
gpgcheck=0
"""


# EL9's own settings, and none of the plugin that keeps packages in a repository of its own.
SETTINGS = {
    "/etc/dnf/dnf.conf": "[main]\ngpgcheck=1\ninstallonly_limit=3\n"
    "clean_requirements_on_remove=True\nbest=True\nskip_if_unavailable=False\n",
    "/etc/dnf/plugins/local.conf": "[main]\nenabled = false\n",
    "/etc/dnf/vars/releasever": "9\n",
}


def build(package, folder, target):
    """One package, with the files it is told to hold."""
    work = os.path.join(folder, "build", "{name}-{version}".format(**package))
    shutil.rmtree(work, ignore_errors=True)
    files = {"/usr/share/stubs/" + package["name"]: "stub\n", **package["files"]}
    for path, text in files.items():
        inside = pathlib.Path(work + "/root" + path)
        inside.parent.mkdir(parents=True, exist_ok=True)
        inside.write_text(text)
    spec = pathlib.Path(work, "stub.spec")
    requires = "".join("Requires: {}\n".format(name) for name in package["requires"])
    values = {**package, "requires": requires, "files": "\n".join(files), "root": work + "/root"}
    spec.write_text(SPEC.format(**values))
    defines = ("--define", "_topdir " + work, "--define", "_rpmdir " + target)
    subprocess.run(["rpmbuild", "--quiet", "-bb", *defines, spec], check=True)


def clean(folder, names):
    """Stubs, repositories and what dnf remembers of them are gone again."""
    subprocess.run(["rpm", "--force-debian", "--erase", "--nodeps", *names])
    for name in os.listdir("/etc/yum.repos.d"):
        os.unlink("/etc/yum.repos.d/" + name)
    for path in (folder, "/var/cache/dnf", "/var/lib/dnf"):
        shutil.rmtree(path, ignore_errors=True)


def answer(request):
    folder, built = request["folder"], 0
    if request["remove"]:
        listed = subprocess.run(
            ["rpm", "--query", "--all", "--queryformat", "%{NAME}\n"],
            stdout=subprocess.PIPE,
            text=True,
        )
        clean(folder, listed.stdout.split())
        return {"built": 0}
    for path, text in SETTINGS.items():
        os.makedirs(os.path.dirname(path), exist_ok=True)
        pathlib.Path(path).write_text(text)
    for name, repository in request["repositories"].items():
        target = os.path.join(folder, name)
        os.makedirs(target, exist_ok=True)
        for package in repository["packages"]:
            build(package, folder, target)
            built += 1
        subprocess.run(["createrepo_c", "--quiet", target], check=True)
        if repository["enabled"] is not None:
            os.makedirs("/etc/yum.repos.d", exist_ok=True)
            enabled = int(repository["enabled"])
            text = REPO.format(id=name, folder=folder, enabled=enabled)
            pathlib.Path("/etc/yum.repos.d", name + ".repo").write_text(text)
    return {"built": built}
