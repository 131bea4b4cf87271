"""files/retirements.py: which of Neutron's agents go with a compute that is to be none any more."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .retired_stand_in import Cloud, stand_in_for
from .serving import ApiError, Json, running
from .test_script_retirements import ALIVE, DEAD, NOTHING, read, refused, retire


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    cloud = Cloud()
    stand_in_for(cloud, monkeypatch)
    with running(cloud):
        yield cloud


def test_an_agent_that_has_come_back_stays(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    alive = {**cloud.agents["D2"], "alive": True}
    monkeypatch.setattr(cloud, "get_agent", lambda _: {"agent": alive})
    assert "after all was deleted compute2 still has agents" in refused(cloud)
    assert "D2" in cloud.agents


def test_an_agent_that_networks_are_bound_to_stays(cloud: Cloud) -> None:
    """Dead is what was not heard of for a minute; it would come back, and serve nothing."""
    cloud.bound["D2"] = ["net1", "net2"]
    bound = {**DEAD, "bound": 2}
    assert read(cloud)["agents"] == [bound, ALIVE]
    retire(cloud)
    assert read(cloud) == {**NOTHING, "agents": [bound, ALIVE]}


def test_so_does_one_that_something_is_bound_to_by_the_end(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    def there(name: str) -> Json:
        found: Json = {"agent": cloud.agents[name]}
        cloud.bound[name] = ["net1"]
        return found

    monkeypatch.setattr(cloud, "get_agent", there)
    retire(cloud)
    assert "D2" in cloud.agents


def test_one_of_before_ovn_has_nothing_bound_to_it(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no(_: str) -> None:
        raise ApiError(404, "The resource could not be found.")

    monkeypatch.setattr(cloud, "list_networks", no)
    retire(cloud)
    assert "D2" not in cloud.agents
