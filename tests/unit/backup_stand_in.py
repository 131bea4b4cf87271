"""What a backup is made with: `ssh` that stays here, a database server's programs, a real `age`."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

DATABASE = """\
CREATE DATABASE /*!32312 IF NOT EXISTS*/ `{name}` /*!40100 DEFAULT CHARACTER SET utf8mb3 */;

USE `{name}`;
"""
TABLE = """\
/*!40101 SET @saved_cs_client     = @@character_set_client */;
CREATE TABLE `{name}` (
  `id` int(11) NOT NULL,
  `text` mediumtext DEFAULT NULL,
  PRIMARY KEY (`id`)
) ENGINE=InnoDB;
/*!40101 SET character_set_client = @saved_cs_client */;

set autocommit=0;
"""
SANDBOX = "/*M!999999\\- enable the sandbox mode */ \n"
MYSQL = """\
import pathlib, sys
folder = pathlib.Path({folder!r})
text = sys.stdin.read()
with (folder / "asked").open("a") as stream:
    stream.write(text)
for word, file in (("SHOW DATABASES", "databases"), ("instances", "guests"), ("engine", "odd")):
    if word in text:
        print((folder / file).read_text(), end="")
        break
print("pyinfra-nova: the end")
"""
VERSION = "mariadb-dump from 11.8.3-MariaDB, client 10.19 for debian-linux-gnu"
SSH = """\
#!/bin/sh
echo "$@" >>{folder}/ssh-words
while [ "$1" != -- ]; do shift; done
shift 2
exec sh -c "$*"
"""


def dump(databases: Mapping[str, Mapping[str, Sequence[str]]]) -> str:
    """What mariadb-dump prints of databases with tables of rows."""
    text = SANDBOX
    for name, tables in databases.items():
        text += DATABASE.format(name=name)
        for table, rows in tables.items():
            text += TABLE.format(name=table)
            if rows:
                text += f"INSERT INTO `{table}` VALUES\n" + ",\n".join(rows) + ";\n"
            text += "commit;\n"
    return text + "/*!40111 SET SQL_NOTES=@OLD_SQL_NOTES */;\n"


CLOUD = {
    "nova_api": {"alembic_version": ["('b30f573d3377')"], "cell_mappings": ["(1)", "(2)"]},
    "nova_cell0": {"alembic_version": ["('ccb0fa1a2252')"], "instances": []},
    "nova": {
        "alembic_version": ["('ccb0fa1a2252')"],
        # What a user may have written.
        "instances": ["(1,'USE `mysql`;\\n(2')", "(2,'-- pyinfra-nova end {}')", "(3,NULL)"],
    },
    "placement": {"allocations": ["(1)"]},
}


class Server:
    """A database server's programs in the search path."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        if not shutil.which("age"):
            pytest.fail("the program `age` is not here: apt-get install age", pytrace=False)
        self.folder = folder / "server"
        self.folder.mkdir()
        self.programs = folder / "programs"
        self.programs.mkdir()
        self.put("mysql", f"#!{sys.executable}\n" + MYSQL.format(folder=str(self.folder)))
        self.put("ssh", SSH.format(folder=self.folder))
        self.dumps(dump(CLOUD))
        self.has("databases", *CLOUD, "mysql")
        self.has("guests", "compute1\t2", "compute2\t1")
        self.has("odd")
        monkeypatch.setenv("PATH", f"{self.programs}:{os.environ['PATH']}")

    def put(self, name: str, text: str) -> None:
        path = self.programs / name
        path.write_text(text)
        path.chmod(0o755)

    def has(self, file: str, *lines: str) -> None:
        (self.folder / file).write_text("".join(f"{line}\n" for line in lines))

    def dumps(self, text: str, code: int = 0, said: str = "") -> None:
        """Have mariadb-dump print TEXT, and end with CODE after it has SAID something."""
        (self.folder / "dump.sql").write_text(text)
        self.put(
            "mariadb-dump",
            f'#!/bin/sh\n[ "$1" != --version ] || {{ echo {VERSION}; exit; }}\n'
            f'echo "$@" >>{self.folder}/dump-words\ncat {self.folder}/dump.sql\n'
            f"echo {json.dumps(said)} >&2\nexit {code}\n",
        )

    def words(self, program: str) -> str:
        return (self.folder / f"{program}-words").read_text()
