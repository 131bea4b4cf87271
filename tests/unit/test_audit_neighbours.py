"""Agents of Neutron, endpoints of Keystone, and what runs out."""

from __future__ import annotations

import pytest

from .audited_cloud import DAY, NOW, Cloud, Row, agent, ago, endpoint, host_answer

URL = "http://controller:8774/v2.1"


@pytest.fixture
def cloud() -> Cloud:
    return Cloud()


def agents(cloud: Cloud) -> list[Row]:
    assert cloud.network is not None
    found: list[Row] = cloud.network["agents"]
    return found


def identity(cloud: Cloud) -> Row:
    assert cloud.identity is not None
    return cloud.identity


# --- Neutron --------------------------------------------------------------------------------------


def test_a_dead_agent_of_a_host_of_the_inventory(cloud: Cloud) -> None:
    agents(cloud)[1] = agent("compute1", alive=False)
    found = cloud.only("agent-dead")
    assert found["where"] == "compute1"
    assert found["what"] == (
        "Open vSwitch agent on compute1 is dead: last heartbeat 60 minutes ago"
    )
    assert found["remedy"] == (
        "`systemctl restart neutron-openvswitch-agent` on compute1, or, if it is not to run there, "
        "`openstack network agent delete agent-compute1`"
    )
    assert found["since"] == NOW - 3600


def test_a_dead_agent_of_a_stranger(cloud: Cloud) -> None:
    agents(cloud).append(agent("gone", alive=False))
    found = cloud.only("agent-of-a-stranger")
    assert found["what"].endswith("the inventory does not name it")
    assert "if that host is gone for good, `openstack network agent delete" in found["remedy"]


def test_a_network_node_need_not_be_in_the_inventory(cloud: Cloud) -> None:
    agents(cloud).append(agent("network1", "L3 agent"))
    assert cloud.findings() == []


def test_a_dead_agent_under_the_other_name_of_a_host(cloud: Cloud) -> None:
    agents(cloud).append(agent("compute1.example.org", alive=False))
    assert cloud.only("agent-of-a-stranger")["what"].endswith("the inventory calls it compute1")


def test_an_agent_that_lives_under_a_name_that_nova_does_not_use(cloud: Cloud) -> None:
    agents(cloud)[1] = agent("compute1.example.org")
    found = cloud.only("agent-renamed")
    assert "is that of compute compute1, under a name that Nova does not use" in found["what"]
    assert "[DEFAULT] host = compute1" in found["remedy"]


# --- Keystone -------------------------------------------------------------------------------------


def test_an_endpoint_that_is_not_the_settings(cloud: Cloud) -> None:
    identity(cloud)["endpoints"][0]["url"] = "http://old:8774/v2.1"
    found = cloud.only("endpoint-elsewhere")
    assert found["what"] == (
        "the public endpoint of compute in RegionOne (e-public) is http://old:8774/v2.1; "
        f"the settings have {URL}"
    )
    assert f"`openstack endpoint set --url '{URL}' e-public`" in found["remedy"]


def test_keystone_fills_in_the_project(cloud: Cloud) -> None:
    cloud.expected["endpoints"]["admin"] = URL + "/%(project_id)s"
    identity(cloud)["endpoints"][2]["url"] = URL + "/0123456789abcdef"
    assert cloud.findings() == []


def test_two_endpoints_of_an_interface(cloud: Cloud) -> None:
    identity(cloud)["endpoints"].append(endpoint("internal", id="second"))
    found = cloud.only("endpoint-doubled")
    assert found["where"] == "internal"
    assert f"{URL} (e-internal), {URL} (second)" in found["what"]


def test_an_interface_without_an_endpoint(cloud: Cloud) -> None:
    identity(cloud)["endpoints"].pop()
    assert cloud.only("endpoint-missing")["remedy"] == (
        f"`openstack endpoint create --region RegionOne compute admin '{URL}'`"
    )


def test_other_regions_and_services_are_left_alone(cloud: Cloud) -> None:
    identity(cloud)["endpoints"] += [
        endpoint("public", "http://elsewhere:8774/v2.1", region_id="RegionTwo"),
        endpoint("public", "http://controller:9696", type="network", name="neutron"),
    ]
    assert cloud.findings() == []


# --- what runs out --------------------------------------------------------------------------------


@pytest.mark.parametrize(("end", "found"), [("2027-01-28T08:00:00.000000Z", 1), (None, 0)])
def test_a_password_that_ends_within_two_weeks(cloud: Cloud, end: str | None, found: int) -> None:
    identity(cloud)["passwords"]["nova"] = end
    assert len(cloud.findings("password-ends")) == found


def test_when_a_password_ends_is_said(cloud: Cloud) -> None:
    identity(cloud)["passwords"]["nova"] = "2027-01-18T08:00:00.000000Z"
    assert cloud.only("password-ends")["what"] == (
        "the password of Keystone's user nova runs out in 3 days, on 2027-01-18"
    )


def test_a_password_that_is_good_for_long(cloud: Cloud) -> None:
    identity(cloud)["passwords"]["nova"] = "2027-02-01T08:00:00.000000Z"
    assert cloud.findings() == []


def test_a_certificate_that_a_server_shows(cloud: Cloud) -> None:
    identity(cloud)["certificates"] = {
        "cloud:5000": {"services": ["identity"], "inside": [], "ends": NOW + 29 * DAY},
        "cloud:8774": {"services": ["compute"], "inside": [], "ends": NOW + 31 * DAY},
    }
    found = cloud.only("certificate-ends")
    assert found["what"] == (
        "the certificate of cloud:5000 (identity) runs out in 29 days, on 2027-02-13"
    )


def test_a_server_that_shows_no_certificate_where_nova_asks_it(cloud: Cloud) -> None:
    away = {"services": ["image"], "error": "timed out"}
    identity(cloud)["certificates"] = {
        "glance:9292": {**away, "inside": ["RegionOne"]},
        "far:9292": {**away, "inside": ["RegionTwo"]},
        "public:443": {**away, "inside": []},
    }
    found = cloud.only("certificate-unread")
    assert found["what"] == "glance:9292 (image) shows no certificate: timed out"
    assert "openssl s_client -connect glance:9292" in found["remedy"]
    assert cloud.findings() == [found]


def test_a_certificate_of_a_file_that_has_ended(cloud: Cloud) -> None:
    assert cloud.hosts is not None
    path = "/etc/nova/ca.pem"
    cloud.hosts["compute1"] = host_answer("nova-compute", certificates={path: NOW - 4 * DAY})
    found = cloud.only("certificate-ends")
    assert found["what"] == (
        f"{path} on compute1, which nova.conf names, ran out 4 days ago, on 2027-01-11"
    )


@pytest.mark.parametrize(("age", "found"), [(96, 0), (98, 1)])
def test_rows_that_nobody_has_archived(cloud: Cloud, age: int, found: int) -> None:
    row = {"table": "instances", "rows": 7, "old": 2, "oldest": ago(age * DAY)}
    cloud.databases["deleted"] = [row]
    assert len(cloud.findings()) == found


@pytest.mark.parametrize(("age", "found"), [(300, 0), (373, 1)])
def test_a_site_that_keeps_its_rows_for_a_year_is_told_a_week_after_that(
    cloud: Cloud, age: int, found: int
) -> None:
    cloud.expected["archived_after"] = 365
    row = {"table": "instances", "rows": 7, "old": 2, "oldest": ago(age * DAY)}
    cloud.databases["deleted"] = [row]
    assert len(cloud.findings()) == found
    assert all("date -d '365 days ago'" in each["remedy"] for each in cloud.findings())


def test_how_many_rows_there_are_is_said(cloud: Cloud) -> None:
    row = {"table": "instances", "rows": 7, "old": 2, "oldest": ago(100 * DAY)}
    empty = {"table": "migrations", "rows": 0, "old": None, "oldest": None}
    cloud.databases["deleted"] = [row, empty]
    found = cloud.only("rows-not-archived")
    assert found["what"] == (
        "instances has 2 rows that were deleted more than 90 days ago, of 7 deleted rows"
    )
    assert "archive_deleted_rows --all-cells --until-complete --before" in found["remedy"]
    assert found["since"] == NOW - 10 * DAY
