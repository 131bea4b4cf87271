"""How long before their end certificates may be made anew."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from pydantic import ValidationError

from pyinfra_nova.certificates.issued import wanted
from pyinfra_nova.certificates.purposes import PURPOSES
from pyinfra_nova.site.tls import SHORTEST, Tls

NOW = dt.datetime(2026, 11, 28, tzinfo=dt.timezone.utc)


def taken(**values: Any) -> Tls:
    return Tls.model_validate({"mode": "internal", **values})


@pytest.mark.parametrize(("days", "most"), [(825, 550), (90, 60), (30, 20), (SHORTEST, 1)])
def test_a_third_of_its_days_a_certificate_is_left_alone(days: int, most: int) -> None:
    said = f"renew_days ({most + 1}) is more than two thirds of days ({days})"
    with pytest.raises(ValidationError) as caught:
        taken(days=days, renew_days=most + 1)
    assert said in str(caught.value) and f"leave renew_days at {most} or less" in str(caught.value)
    tls = taken(days=days, renew_days=most)
    purpose, names = PURPOSES["api"], ["controller"]

    def made(found: str | None, age: float) -> Any:
        now = NOW + dt.timedelta(days=age)
        return wanted("s" * 32, purpose, "controller", names, found, now, tls.days, tls.renew_days)

    first = made(None, 0).certificate_pem
    assert not made(first, days / 3 - 0.1).is_new
    assert made(first, days - most).is_new


def test_what_is_provided_may_be_warned_of_as_early_as_one_likes() -> None:
    assert taken(mode="provided", certificates="here", renew_days=365).renew_days == 365
