"""Passwords that mean something to a URL, INI or a program: read back as they are, or refused."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import config_files
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError

from pyinfra_nova.nova_conf.values import option
from pyinfra_nova.session.redaction import Redactor
from pyinfra_nova.site.secrets import Secrets
from tests.unit.hostile_text import HOSTILE, assert_same_urls, fuzzed, options
from tests.unit.rendered_conf import NOVA_CONF, rendered
from tests.unit.site_data import AWKWARD, secrets, site

PASSWORDS = st.fixed_dictionaries(
    dict.fromkeys(
        AWKWARD, HOSTILE | st.text(min_size=8, max_size=12) | st.text("*0 $@:", min_size=8)
    )
)


def usable(values: Mapping[str, str]) -> dict[str, str]:
    """VALUES, with those that are refused by name replaced."""
    try:
        Secrets.model_validate(values)
    except ValidationError as error:
        refused = {str(details["loc"][0]) for details in error.errors()}
        return {**values, **{name: AWKWARD[name] for name in refused}}
    return dict(values)


@fuzzed
@given(values=PASSWORDS)
def test_a_password_is_read_back_as_it_is_and_shown_nowhere(
    tmp_path: Path, values: dict[str, str]
) -> None:
    values = usable(values)
    assume(not any(set(value) == {"*"} for value in values.values()))
    where = site({"messaging": {"hosts": ["mq1", "mq2"]}}, passwords=secrets(**values))
    found = options(tmp_path, where, "controller")
    for place, name in (
        ("keystone_authtoken/password", "nova_password"),
        ("service_user/password", "nova_password"),
        ("placement/password", "placement_password"),
        ("neutron/password", "neutron_password"),
        ("neutron/metadata_proxy_shared_secret", "metadata_secret"),
    ):
        assert found[place] == values[name]
    assert_same_urls(where, found)

    content = rendered(where, "controller")[NOVA_CONF].content
    before = rendered(site(), "controller")[NOVA_CONF].content
    # Ones that are part of what is there anyway, as `password` is, cannot be told from it.
    other = rendered(site(passwords=secrets(**dict.fromkeys(AWKWARD, "q" * 9))), "controller")
    public = config_files.diff(NOVA_CONF, "", other[NOVA_CONF].content)
    public += config_files.diff(NOVA_CONF, before, other[NOVA_CONF].content)
    told = [value for value in values.values() if value not in public]
    for shown in (
        config_files.diff(NOVA_CONF, "", content),
        config_files.diff(NOVA_CONF, before, content),
        config_files.diff(NOVA_CONF, content, before),
    ):
        for value in told:
            for form in {value, option(value), quote(value, safe="")}:
                assert form not in shown
    mask = Redactor(where.secrets).mask
    for text in (content, json.dumps(content), repr(content), json.dumps(json.dumps(content))):
        shown = mask(text)
        for value in told:
            assert value.replace("*", "") == "" or value not in shown


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("database_password", "zwölf Boxkämpfer", "not ASCII, which PyMySQL sends wrongly"),
        ("messaging_password", "zwölf Boxkämpfer", "not ASCII, which rabbitmqctl may misread"),
        ("messaging_password", " outside", "begins or ends with a space, which rabbitmqctl cuts"),
        ("messaging_password", "with/slash", "contains /, which oslo.messaging cannot use"),
        ("nova_password", "x" * 256, "is longer than 255 characters"),
    ],
)
def test_a_password_that_a_program_on_the_way_would_change_is_refused(
    name: str, value: str, said: str
) -> None:
    with pytest.raises(ValidationError, match=re.escape(said)) as caught:
        secrets(**{name: value})
    assert value not in str(caught.value)
