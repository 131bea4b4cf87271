"""Which of the lab's servers read a new certificate where they run, and which are restarted."""

from __future__ import annotations

import pytest

from lab.cloud import certificates, daemons, rereading
from pyinfra_nova.resources.renewed_certificates import shown_of

from .test_lab_cloud import cloud
from .test_lab_tls import ALL_KINDS, certificate_files, encrypted

USERS = (*rereading.BASE, *rereading.SERVICES, *rereading.STORAGE)
RESTARTED = {"bookworm": {"neutron"}, "trixie": {"neutron"}, "sid": {"memcache"}}
"""Neutron's own server, no uwsgi, and memcached where it speaks TLS."""
FLUSH_SSL = ("mariadb", "--skip-ssl", "-e", "FLUSH SSL")
CLEARED = ("rabbitmqctl", "eval", "ssl:clear_pem_cache().")
TOLD = {
    ("mariadb.service", 3306, FLUSH_SSL, "mysql"),
    ("rabbitmq-server.service", 5671, CLEARED, None),
    ("keystone.service", 5000, "hup", None),
    ("placement-api.service", 8778, "hup", None),
    ("cinder-api.service", 8776, "hup", None),
}
PROXY, UWSGI = certificates.GLANCE_TLS, ("glance-api.service", "neutron-api.service")
TOLD_TOO = {
    "bookworm": {(PROXY, 9292, "hup", None)},
    "trixie": {(PROXY, 9292, "hup", None)},
    "sid": {(UWSGI[0], 9292, "hup", None), (UWSGI[1], 9696, "hup", None)},
}


@pytest.mark.parametrize("debian", ALL_KINDS)
def test_whoever_shows_a_certificate_is_restarted_for_a_new_one_or_told_of_it(debian: str) -> None:
    where = encrypted(debian)
    units = [
        *daemons.base_units(where),
        *daemons.service_units(where),
        *daemons.cinder_units(where),
    ]
    read = {path for unit in units for path in unit.reads}
    made = certificate_files(where)
    for user, server in certificates.SERVERS.items():
        if server not in certificates.servers(where):
            continue
        assert set(server.reads).isdisjoint(read) is (user not in RESTARTED[debian]), user
        told = rereading.servers(where, list(made.values()), [user])
        assert len(told) == (user not in RESTARTED[debian]), user
        shown = {shown_of(made[server.path].content)}
        assert {each.wanted for each in told} <= shown


@pytest.mark.parametrize("debian", ALL_KINDS)
def test_each_is_told_in_its_own_way_and_asked_at_its_own_port(debian: str) -> None:
    where = encrypted(debian)
    told = rereading.servers(where, list(certificate_files(where).values()), USERS)
    found = {(each.unit, each.port, each.means, each.greeting) for each in told}
    assert found == TOLD | TOLD_TOO[debian]
    assert {each.address for each in told} == {"10.0.0.11"}
    names = {
        unit.name
        for units in (daemons.base_units, daemons.service_units, daemons.cinder_units)
        for unit in units(where)
    }
    assert {each.unit for each in told} <= names


def test_in_plain_text_nobody_is() -> None:
    assert rereading.servers(cloud("bookworm"), [], USERS) == []
