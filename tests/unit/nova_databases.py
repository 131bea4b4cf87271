"""Nova's three databases, as a deployed site has them, and the request that asks about them."""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nova_state
import pytest
import site_proof

from .mysql_stand_in import Databases, Row, Server, serving

API_HEAD, MAIN_HEAD = "b30f573d3377", "960aac0e09ea"
DAY = datetime.datetime(2026, 11, 1)
NEW = datetime.datetime(2026, 11, 20, 12, 0, 0)
CLOCK = {"monotonic": time.monotonic, "sleep": time.sleep}
CELL0, CELL1 = "mysql+pymysql://nova/nova_cell0", "mysql+pymysql://nova/nova"


def mapping(uuid: str, name: str, url: str, database: str, **more: Any) -> Row:
    times = {"created_at": DAY, "updated_at": None}
    urls = {"transport_url": url, "database_connection": database}
    return {"uuid": uuid, "name": name, **urls, "disabled": 0, **times, **more}


def service(binary: str, host: str) -> Row:
    up = {"last_seen_up": NEW, "forced_down": 0, "disabled": 0, "disabled_reason": None}
    return {"binary": binary, "host": host, **up}


def deployed() -> Databases:
    """One compute, up and mapped. cell0 holds no row but its version, as it should."""
    node = {"host": "compute1", "hypervisor_hostname": "compute1", "host_ip": "10.0.0.31"}
    return {
        "nova_api": {
            "alembic_version": [{"version_num": API_HEAD}],
            "cell_mappings": [
                mapping(nova_state.CELL0, "cell0", "none:///", CELL0),
                mapping("c1", "cell1", "rabbit://", CELL1, updated_at=NEW),
            ],
            "host_mappings": [{"host": "compute1"}],
            "aggregates": [{"id": 7, "name": "pyinfra-nova-joining"}],
            "aggregate_hosts": [{"aggregate_id": 7, "host": "compute1"}],
        },
        "nova_cell0": {
            "alembic_version": [{"version_num": MAIN_HEAD}],
            "instances": [],
            "services": [],
        },
        "nova": {
            "alembic_version": [{"version_num": MAIN_HEAD}],
            "compute_nodes": [{**node, "mapped": 1, "written": NEW}],
            "instances": [],
            "services": [
                service("nova-conductor", "controller"),
                service("nova-scheduler", "controller"),
                service("nova-compute", "compute1"),
            ],
        },
    }


def cut_off() -> Databases:
    """What is left of a first `nova-manage api_db sync` that was killed."""
    tables: list[str] = ["alembic_version", "cell_mappings", "flavors", "host_mappings"]
    return {"nova_api": {table: [] for table in tables}, "nova_cell0": {}, "nova": {}}


def revision(folder: Path, name: str, after: str | None) -> None:
    text = f'"""x\n\nRevises: {after}\n"""\nrevision = {name!r}\ndown_revision = {after!r}\n'
    (folder / f"{name}_x.py").write_text(text)


def migrations(folder: Path) -> dict[str, str]:
    """Folders as Nova's package has them, each with two revisions."""
    for name, newest in (("api", API_HEAD), ("main", MAIN_HEAD)):
        (folder / name).mkdir(parents=True)
        revision(folder / name, "8f2f1571d55b", None)
        revision(folder / name, newest, "8f2f1571d55b")
    return {"api": str(folder / "api"), "main": str(folder / "main")}


class Site:
    """A server with DATABASES, and what nova_state.py is asked about it."""

    def __init__(self, server: Server, folders: dict[str, str]) -> None:
        self.server, self.folders = server, folders

    def request(self, **more: Any) -> dict[str, Any]:
        login = {"host": "127.0.0.1", "port": self.server.port, "user": "nova", "password": "x"}
        return {
            "database": login,
            "names": {"api": "nova_api", "cell0": "nova_cell0", "cell1": "nova"},
            "migrations": self.folders,
            "cells": {
                "cell0": {"transport_url": "none:///", "database_connection": CELL0},
                "cell1": {"transport_url": "rabbit://", "database_connection": CELL1},
            },
            **more,
        }

    def of_services(self, wait: float = 0) -> dict[str, Any]:
        """What site_proof.py is asked about them."""
        hosts: dict[str, dict[str, float | None]] = {
            "nova-conductor": {"controller": None},
            "nova-scheduler": {"controller": None},
            "nova-compute": {"compute1": None},
        }
        return self.request(
            known={binary: list(names) for binary, names in hosts.items()},
            services=hosts,
            computes={"compute1": "10.0.0.31"},
            margin=1.5,
            delay=30,
            down_time=60,
            joining=True,
            wait=wait,
            broker=None,
            queues={},
            api=None,
        )

    def read(self) -> dict[str, Any]:
        return dict(nova_state.answer(self.request()))

    def clear(self, *names: str) -> dict[str, Any]:
        return dict(nova_state.answer(self.request(clear=list(names))))

    def prove(self, wait: float = 0) -> dict[str, Any]:
        return dict(site_proof.answer(self.of_services(wait)))


@contextmanager
def site(databases: Databases, folders: dict[str, str], **more: Any) -> Iterator[Site]:
    with serving(Server(databases, **more)) as server:
        yield Site(server, folders)


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return migrations(tmp_path_factory.mktemp("nova"))


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No server of this machine is asked, and it is the noon at which the compute was seen."""
    path = tmp_path / "mysqld.sock"
    monkeypatch.setattr(nova_state, "SOCKETS", (str(path),))
    noon = NEW.replace(tzinfo=datetime.timezone.utc).timestamp()
    monkeypatch.setattr(site_proof, "time", SimpleNamespace(time=lambda: noon + 5, **CLOCK))
    return path
