"""files/databases.py: what the mysql client prints, read back."""

import databases
import pytest


@pytest.mark.parametrize(
    ("line", "columns"),
    [
        ("nova\t*AB", ["nova", "*AB"]),
        ("nova\tnova\\\\_api", ["nova", "nova\\_api"]),
        ("tab\\tnewline\\nnul\\0\t", ["tab\tnewline\nnul\0", ""]),
        ("back\\\\nslash\tx", ["back\\nslash", "x"]),
    ],
)
def test_what_the_client_escapes_is_read_as_it_is(line: str, columns: list[str]) -> None:
    assert databases.columns(line) == columns


def test_a_grant_on_an_escaped_name_counts() -> None:
    wanted = {"name": "nova", "password_hash": "*AB", "databases": ["nova_api", "nova"]}
    found = databases.user_differences(wanted, {"nova": "*AB"}, {"nova": {"nova\\_api"}})
    assert found["missing_grants"] == ["nova"]
