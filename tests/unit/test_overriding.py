"""nova_conf/overriding.py: lines replaced where they are, and the file that each one belongs to."""

from __future__ import annotations

import pytest

from pyinfra_nova.nova_conf.overriding import overridden, shared_out
from pyinfra_nova.site.value_types import Overrides

TEXT = "[DEFAULT]\nhost = c1\ndebug = false\nmy_ip = 10.0.0.1\n\n[api]\nauth = keystone\n"


@pytest.mark.parametrize(
    ("overrides", "changed"),
    [
        ({}, TEXT),
        ({"DEFAULT": {"debug": True}}, TEXT.replace("false", "true")),
        ({"DEFAULT": {"debug": None}}, TEXT.replace("debug = false\n", "")),
        ({"DEFAULT": {"absent": None}}, TEXT),
        ({"DEFAULT": {"new": 1}}, TEXT.replace("10.0.0.1\n", "10.0.0.1\nnew = 1\n")),
        ({"api": {"auth": None}}, TEXT.partition("\n\n[api]")[0] + "\n"),
        ({"wsgi": {"secure": "a$b"}}, TEXT + "\n[wsgi]\nsecure = a\\$b\n"),
        # Of the same name in another section, or as the beginning of a name, it is another one.
        ({"api": {"debug": 1}}, TEXT + "debug = 1\n"),
        ({"DEFAULT": {"my": 1}}, TEXT.replace("10.0.0.1\n", "10.0.0.1\nmy = 1\n")),
    ],
)
def test_an_override_is_put_where_the_option_is_and_leaves_all_other_lines(
    overrides: Overrides, changed: str
) -> None:
    assert overridden(TEXT, overrides, "zed") == changed


def test_what_is_given_several_times_is_replaced_as_one_where_it_first_was() -> None:
    text = "# about\n\n[pci]\nalias = a\nother = 1\nalias = b\n"
    assert overridden(text, {"pci": {"alias": ["c", "d"]}}, "zed") == (
        "# about\n\n[pci]\nalias = c\nalias = d\nother = 1\n"
    )
    assert overridden(text, {"pci": {"alias": "c"}}, "zed") == (
        "# about\n\n[pci]\nalias = c\nother = 1\n"
    )


def test_a_file_without_sections_stays_as_it_is() -> None:
    assert overridden("\n\nplain\n\n", {}, "zed") == "\n\nplain\n\n"


@pytest.mark.parametrize(
    ("section", "name", "lines"),
    [
        ("filter_scheduler", "enabled_filters", "enabled_filters = a,b\n"),
        # By its former name it is the same option.
        ("devices", "enabled_vgpu_types", "enabled_vgpu_types = a,b\n"),
        ("pci", "device_spec", "device_spec = a\ndevice_spec = b\n"),
        ("vendor", "known_to_nobody", "known_to_nobody = a\nknown_to_nobody = b\n"),
    ],
)
def test_a_list_is_one_line_only_for_what_the_release_knows_as_a_list(
    section: str, name: str, lines: str
) -> None:
    assert overridden("", {section: {name: ["a", "b"]}}, "zed") == f"[{section}]\n{lines}"


SECOND = "[DEFAULT]\ncompute_driver = libvirt.LibvirtDriver\n\n[libvirt]\nvirt_type = kvm\n"


def test_an_override_belongs_to_the_second_file_where_that_holds_the_option() -> None:
    overrides: Overrides = {
        "DEFAULT": {"debug": True, "compute_driver": "fake.FakeDriver"},
        "libvirt": {"virt_type": None, "cpu_mode": "none"},
        "api": {"virt_type": "x"},
    }
    assert shared_out(overrides, SECOND) == (
        {"DEFAULT": {"debug": True}, "libvirt": {"cpu_mode": "none"}, "api": {"virt_type": "x"}},
        {"DEFAULT": {"compute_driver": "fake.FakeDriver"}, "libvirt": {"virt_type": None}},
    )
    assert shared_out(overrides, None) == (overrides, {})
