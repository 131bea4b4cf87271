"""The checker reads files, values and references as oslo.config itself does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from oslo_config import cfg, iniparser, types

from pyinfra_nova.knowledge.releases import load
from pyinfra_nova.nova_conf.check import NotIni, Source
from pyinfra_nova.nova_conf.check.config import Config
from pyinfra_nova.nova_conf.check.values import problem
from pyinfra_nova.nova_conf.ini import parse

LINES = st.lists(
    st.one_of(
        st.sampled_from(
            ["[DEFAULT]", "[x]", "[", "[]", "a = b", "a: b=c", "  more", "\tmore", "# c", "; c"]
        ),
        st.sampled_from(["", " ", 'q = "x"', "q = '", "= v", "word", "  # c", "a=", "a = \\$b"]),
        st.text(st.sampled_from("ab =:[]#;\"'$ \t\r\x0b\x85"), max_size=8),
    ),
    max_size=12,
)


def oslo_reads(file: Path) -> dict[str, dict[str, list[str]]] | None:
    sections: dict[str, dict[str, list[str]]] = {}
    try:
        cfg.ConfigParser(str(file), sections).parse()
    except iniparser.ParseError:
        return None
    return {name: options for name, options in sections.items() if options}


@hypothesis_settings(max_examples=400, deadline=None)
@given(lines=LINES)
def test_a_file_is_read_as_oslo_config_reads_it(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str]
) -> None:
    file = tmp_path_factory.getbasetemp() / "any.conf"
    file.write_bytes("\n".join(lines).encode())
    ours: dict[str, dict[str, list[str]]] | None = {}
    try:
        for setting in parse("any.conf", file.read_text(encoding="utf-8")).settings:
            assert ours is not None
            values = ours.setdefault(setting.section, {}).setdefault(setting.name, [])
            values.append(setting.value)
    except NotIni:
        ours = None
    assert ours == oslo_reads(file)


VALUES = st.one_of(
    st.sampled_from(["", "true", "Off", "0", "-1", "1.5", "1e3", "65536", "1_0", "a,b", "k:v,w"]),
    st.sampled_from(["10.0.0.1", "010.0.0.1", "::1", "a.b.", "-a", "a_b", "1.2.3", "http://h/p"]),
    st.sampled_from(["ftp://h", "http:/x", "3-1", "1-4", "[a]", "{k:1}", "'q'", "'q", "x" * 64]),
    st.text(st.sampled_from("aZ09.-_:/,[]{}'\" "), max_size=10),
)
KINDS: list[tuple[dict[str, Any], Any]] = [
    ({"type": "boolean"}, types.Boolean()),
    ({"type": "integer", "min": 0, "max": 5}, types.Integer(min=0, max=5)),
    ({"type": "integer", "choices": [1, 3]}, types.Integer(choices=[1, 3])),
    ({"type": "float", "min": 0.5}, types.Float(min=0.5)),
    ({"type": "port", "min": 0, "max": 65535}, types.Port()),
    ({"type": "string", "choices": ["a", "b"]}, types.String(choices=["a", "b"])),
    (
        {"type": "string", "choices": ["Off"], "ignore_case": True},
        types.String(choices=["Off"], ignore_case=True),
    ),
    ({"type": "string", "regex": "^a"}, types.String(regex="^a")),
    ({"type": "string", "quotes": True, "max_length": 3}, types.String(quotes=True, max_length=3)),
    ({"type": "list", "item": {"type": "integer"}}, types.List(types.Integer())),
    ({"type": "list", "item": {"type": "string"}, "bounds": True}, types.List(bounds=True)),
    ({"type": "dict", "item": {"type": "integer"}}, types.Dict(types.Integer())),
    ({"type": "dict", "item": {"type": "string"}, "bounds": True}, types.Dict(bounds=True)),
    ({"type": "range"}, types.Range()),
    ({"type": "ip"}, types.IPAddress()),
    ({"type": "ip", "version": 4}, types.IPAddress(4)),
    ({"type": "hostname"}, types.Hostname()),
    ({"type": "host address"}, types.HostAddress()),
    ({"type": "host domain"}, types.HostDomain()),
    ({"type": "uri", "schemes": ["http"]}, types.URI(schemes=["http"])),
]


@pytest.mark.parametrize(("kind", "theirs"), KINDS, ids=[str(kind) for kind, _ in KINDS])
@hypothesis_settings(max_examples=150, deadline=None)
@given(value=VALUES)
def test_a_value_fits_if_oslo_config_takes_it(
    kind: dict[str, Any], theirs: Any, value: str
) -> None:
    try:
        theirs(value.strip())
        fits = True
    except (ValueError, TypeError):
        fits = False
    assert (problem(kind, value.strip()) is None) is fits


def test_substitution_is_oslo_configs(tmp_path: Path) -> None:
    values = ["$my_ip", "${my_ip}x", "\\$my_ip", "$$my_ip", "a$ b$1", "\\\\$x", "$vnc.enabled"]
    text = "[DEFAULT]\nmy_ip = 10.0.0.1\n[vnc]\nenabled = no\n[api]\n"
    text += "".join(f"o{number} = {value}\n" for number, value in enumerate(values))
    file = tmp_path / "nova.conf"
    file.write_text(text, encoding="utf-8")
    conf = cfg.ConfigOpts()
    conf.register_opt(cfg.StrOpt("my_ip"))
    conf.register_opt(cfg.StrOpt("enabled"), group="vnc")
    conf.register_opts([cfg.StrOpt(f"o{number}") for number in range(len(values))], group="api")
    conf([], project="nova", default_config_files=[str(file)])
    ours = Config([Source("nova.conf", text)], load("zed"), "controller")
    for number, value in enumerate(values):
        assert ours.expanded("api", value).text == conf.api[f"o{number}"]
