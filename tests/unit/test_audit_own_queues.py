"""files/audit/own_queues.py: a broker that is none of the site's hosts is asked over AMQP."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import evidence
import own_queues
import pytest
from broker_queues import NoQueuesError

from pyinfra_nova.audit import question

from .nova_databases import Site, deployed, migrations, site
from .site_data import site as site_of
from .test_audit_question import GROUPS, HOSTS
from .test_script_messaging import Broker


class Shared(Broker):
    """Of all its queues, another cloud's among them, three are asked for."""

    queues = {"conductor": 2, "compute.compute1": 0, "compute.old": 0, "cinder-volume": 1}  # noqa: RUF012
    messages = {"compute.old": 7}  # noqa: RUF012


@pytest.fixture
def nova(tmp_path: Path) -> Iterator[Site]:
    databases = deployed()
    databases["nova"]["services"] = [
        {"binary": "nova-compute", "host": "compute1", "deleted": 0},
        {"binary": "nova-compute", "host": "old", "deleted": 0},
        {"binary": "nova-osapi_compute", "host": "controller", "deleted": 0},
    ]
    with site(databases, migrations(tmp_path / "migrations")) as found:
        yield found


@pytest.fixture
def broker() -> Iterator[dict[str, Any]]:
    server = socketserver.TCPServer(("127.0.0.1", 0), Shared)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    login = {"user": "openstack", "password": "x", "virtual_host": "/"}
    yield {"hosts": ["127.0.0.1"], "port": server.server_address[1], "here": False, **login}
    server.shutdown()
    server.server_close()


def request(nova: Site, broker: dict[str, Any]) -> dict[str, Any]:
    services = {"nova-conductor": ["controller"], "nova-compute": ["compute1"]}
    return {**nova.request(), "broker": broker, "expected": {"services": services}}


def test_the_queues_of_all_services_are_told_the_strangers_too(
    nova: Site, broker: dict[str, Any]
) -> None:
    assert evidence.queues_of(request(nova, broker)) == {
        "conductor": {"messages": 0, "consumers": 2},
        "compute.compute1": {"messages": 0, "consumers": 0},
        "compute.old": {"messages": 7, "consumers": 0},
    }


def test_a_controller_without_rabbitmqctl_asks_that_way_too(
    nova: Site, broker: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "conductor" in evidence.queues_of(request(nova, {**broker, "here": True}))


def test_what_was_brought_along_is_not_asked_for_again(broker: dict[str, Any]) -> None:
    brought = {"broker": broker, "queues": {"conductor": {"messages": 0, "consumers": 1}}}
    assert evidence.queues_of(brought) == brought["queues"]
    with pytest.raises(NoQueuesError, match="rmq1 is gone"):
        evidence.queues_of({"broker": broker, "queues_error": "rmq1 is gone"})


def test_no_answer_is_no_empty_list(nova: Site, broker: dict[str, Any]) -> None:
    away = {**broker, "port": 1}
    with pytest.raises(NoQueuesError, match=r"RabbitMQ at 127\.0\.0\.1:1: "):
        own_queues.read(request(nova, away))
    asked = request(nova, broker)
    asked["database"]["port"] = 1
    with pytest.raises(NoQueuesError, match="nobody knows which queues to ask for"):
        own_queues.read(asked)


def test_a_site_says_whether_its_controller_is_a_node_of_the_broker() -> None:
    for broker, here in (("rmq", False), ("ctl", True)):
        found = site_of(groups={**GROUPS, "messaging": [broker]}, hosts=HOSTS)
        assert question.of_cloud(found, {})["broker"]["here"] is here
