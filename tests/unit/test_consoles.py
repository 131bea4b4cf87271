"""What the console's proxy speaks to guests' screens while a site moves to TLS, or back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import guest_screens
import pytest

from pyinfra_nova.nova_conf.console_proxy import PROGRAM
from pyinfra_nova.nova_conf.consoles import CLIENT, Consoles
from pyinfra_nova.resources.host_report import Report
from pyinfra_nova.run.consoles import FoundConsoles, question
from pyinfra_nova.run.host_plan import HostPlan
from pyinfra_nova.site.run_scope import RunScope, scope_of
from pyinfra_nova.site.settings import Site

from .rendered_conf import NOVA_CONF, read
from .site_data import debian, secrets, site
from .test_preflight import report

PASSWORDS = secrets(tls_secret="t" * 32)
NOBODY: dict[str, Any] = {"count": 0, "few": []}
PLAIN = {"schemes": ["none"]}
OF_OTHERS = {"schemes": ["vencrypt"], "certificate": "/etc/pki/nova-novncproxy/client-cert.pem"}
STRICT = {"schemes": ["vencrypt"], "certificate": CLIENT, "encrypted_only": True}
BOTH = {**STRICT, "schemes": ["vencrypt", "none"]}
EVERYBODY = ("controller", "compute1", "compute2")


def where(mode: str, **more: Any) -> Site:
    return site({"tls": {"mode": mode}, **more}, passwords=PASSWORDS)


def guests(kind: str, *names: str) -> dict[str, Any]:
    found = {"plain": NOBODY, "tls": NOBODY}
    return {**found, kind: {"count": len(names), "few": list(names[:5])}}


def found(
    mode: str,
    proxy: dict[str, Any] | None,
    computes: dict[str, dict[str, Any]] | None = None,
    active: Sequence[str] = EVERYBODY,
    **more: Any,
) -> FoundConsoles:
    """What is found where the controller's nova.conf says PROXY, and COMPUTES have such guests."""
    of = where(mode, **more)
    said: dict[str, dict[str, Any]] = {"controller": {"proxy": proxy}}
    for name in active:
        if name != "controller":
            said[name] = {"screens": (computes or {}).get(name, guests("plain"))}
    reports = {name: report(name, "10.0.0.1", **answer) for name, answer in said.items()}
    return FoundConsoles.of(scope_of(of, set(active)), reports, ())


def vnc(of: FoundConsoles, tmp_path: Path) -> dict[str, str]:
    where = of.scope.site
    plan = HostPlan(where.hosts["controller"], where, debian(), "qemu", of.scope)
    files = {file.path: file for file in replace(plan, consoles=of.consoles).files}
    conf = read(tmp_path, files[NOVA_CONF])
    return {**conf["vnc"], "ssl_only": conf["DEFAULT"].get("ssl_only", "absent")}


# --- towards TLS ----------------------------------------------------------------------------------


def test_a_guest_without_tls_keeps_plain_text_and_is_named(tmp_path: Path) -> None:
    state = found("internal", PLAIN, {"compute2": guests("plain", "instance-1", "instance-2")})
    assert vnc(state, tmp_path)["auth_schemes"] == "vencrypt,none"
    assert vnc(state, tmp_path)["vencrypt_client_cert"] == CLIENT
    assert vnc(state, tmp_path)["ssl_only"] == "true"
    [verdict] = state.verdicts()
    assert verdict.ok and verdict.host == "controller"
    assert verdict.detail == (
        "the screen of 2 guests speaks no TLS (instance-1 on compute2, instance-2 on compute2): "
        "the proxy speaks vencrypt and none to them; move them live or start them anew (openstack "
        "server reboot --hard), then deploy again"
    )


def test_many_guests_are_counted() -> None:
    names = [f"instance-{number}" for number in range(1200)]
    state = found("internal", BOTH, {"compute1": guests("plain", *names)})
    [verdict] = state.verdicts()
    assert "the screen of 1,200 guests speaks no TLS (instance-0 on compute1" in verdict.detail
    assert "instance-4 on compute1 and 1,195 more)" in verdict.detail


@pytest.mark.parametrize("proxy", [None, PLAIN, BOTH, STRICT])
def test_once_a_look_at_every_compute_finds_none_there_is_tls_alone(
    proxy: dict[str, Any] | None, tmp_path: Path
) -> None:
    state = found("internal", proxy, {"compute1": guests("tls", "instance-1")})
    assert vnc(state, tmp_path)["auth_schemes"] == "vencrypt"
    assert list(state.verdicts()) == []


@pytest.mark.parametrize(
    ("proxy", "schemes", "page"),
    [
        (PLAIN, "vencrypt,none", "false"),
        (BOTH, "vencrypt,none", "true"),
        (STRICT, "vencrypt", "true"),
        (None, "vencrypt", "true"),
    ],
)
def test_what_is_not_asked_keeps_what_there_is(
    proxy: dict[str, Any] | None, schemes: str, page: str, tmp_path: Path
) -> None:
    """And who has not moved yet tells users a URL of the proxy in plain text."""
    state = found("internal", proxy, active=("controller", "compute1"))
    assert vnc(state, tmp_path)["auth_schemes"] == schemes
    assert vnc(state, tmp_path)["ssl_only"] == page
    said = [verdict.detail for verdict in state.verdicts()]
    assert [text.startswith("those on compute2 are not known") for text in said] == (
        [True] if "none" in schemes else []
    )


# --- and back -------------------------------------------------------------------------------------


def kept(of: FoundConsoles, name: str, *, own: bool = False) -> set[str]:
    """What stays on host NAME of certificates and the like, of all that was ever written there."""
    there = HostPlan(where("internal").hosts[name], where("internal"), debian(), "qemu", of.scope)
    paths = {f.path for f in there.files if f.path.startswith(("/etc/pki/", "/etc/pyinfra-nova/"))}
    plan = HostPlan(
        *(of.scope.site.hosts[name], of.scope.site, debian(), "qemu", of.scope),
        written={"certificates": sorted(paths)},
        consoles=of.consoles,
        has_tls_screens=own,
    )
    gone = {file.path for file in (*plan.absent, *plan.absent_at_the_end)}
    assert not {file.path for file in plan.absent} & paths
    return paths - gone


def test_a_guest_with_tls_keeps_what_the_proxy_needs_for_it(tmp_path: Path) -> None:
    state = found("off", STRICT, {"compute1": guests("tls", "instance-1")})
    assert vnc(state, tmp_path)["auth_schemes"] == "vencrypt,none"
    assert vnc(state, tmp_path)["vencrypt_client_cert"] == CLIENT
    assert vnc(state, tmp_path)["ssl_only"] == "absent"
    [verdict] = state.verdicts()
    assert verdict.detail.startswith("the screen of 1 guest speaks TLS (instance-1 on compute1):")
    folder = "/etc/pyinfra-nova/tls/screens"
    assert kept(state, "controller") == {
        f"{folder}/{name}" for name in ("ca.pem", "client.crt", "client.key")
    }
    assert kept(state, "compute1", own=True) == {
        f"/etc/pki/libvirt-vnc/{name}.pem"
        for name in ("ca-cert", "ca-crl", "server-cert", "server-key")
    }
    assert kept(state, "compute2") == set()


@pytest.mark.parametrize("proxy", [PLAIN, BOTH, STRICT])
def test_without_such_guests_everything_goes(proxy: dict[str, Any], tmp_path: Path) -> None:
    state = found("off", proxy, {"compute1": guests("plain", "instance-1")})
    assert {"auth_schemes", "vencrypt_client_cert"} & {*vnc(state, tmp_path)} == set()
    assert kept(state, "controller") == kept(state, "compute1") == set()
    assert list(state.verdicts()) == []


def test_what_somebody_else_has_screens_speak_is_theirs(tmp_path: Path) -> None:
    """A site that has its own certificates there, and says so in nova_conf, never was with ours."""
    own = {"schemes": ["vencrypt"], "certificate": "/etc/pki/own.crt"}
    state = found("off", own, {"compute1": guests("tls", "instance-1")})
    assert state.consoles == Consoles()
    assert "auth_schemes" not in vnc(state, tmp_path)


def test_computes_that_are_not_asked_may_have_such_guests() -> None:
    assert found("off", STRICT, active=("controller", "compute1")).consoles.tls
    assert not found("off", PLAIN, active=("controller", "compute1")).consoles.tls


def test_the_start_file_of_the_proxy_stays_as_long_as_it_has_to_verify() -> None:
    for tls in (True, False):
        of = found("off", STRICT, {"compute1": guests("tls", *(["i"] if tls else []))})
        plan = HostPlan(
            *(of.scope.site.hosts["controller"], of.scope.site, debian(), "qemu", of.scope),
            consoles=of.consoles,
        )
        assert (PROGRAM in {file.path for file in plan.files}) is tls
        assert (PROGRAM in {file.path for file in plan.absent}) is not tls


# --- the order of a run on some of the hosts ------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "proxy", "is_refused"),
    [
        ("internal", PLAIN, True),
        ("internal", BOTH, False),
        ("internal", STRICT, False),
        ("internal", None, False),
        ("off", STRICT, True),
        ("off", BOTH, False),
        ("off", PLAIN, False),
        ("off", OF_OTHERS, False),
    ],
)
def test_computes_move_after_the_proxy(
    mode: str, proxy: dict[str, Any] | None, is_refused: bool
) -> None:
    refusals = list(found(mode, proxy, active=("compute1",)).refusals())
    assert bool(refusals) is is_refused
    assert all(not verdict.ok and "compute1" in verdict.detail for verdict in refusals)
    assert list(found(mode, proxy).refusals()) == []


def test_where_there_are_no_consoles_nobody_is_asked() -> None:
    of = where("internal", vnc={"enabled": False})
    scope = scope_of(of, set(of.hosts))
    assert [question(scope, host) for host in of.hosts.values()] == [{}] * 3
    state = found("internal", PLAIN, active=("compute1",), vnc={"enabled": False})
    assert state.consoles == Consoles() and list(state.refusals()) == []


def test_each_host_is_asked_for_what_it_has() -> None:
    of = where("off")
    scope: RunScope = scope_of(of, set(of.hosts))
    assert question(scope, of.hosts["controller"])["screens"] == {
        "guests": False,
        "proxy": NOVA_CONF,
    }
    assert question(scope, of.hosts["compute1"])["screens"] == {"guests": True, "proxy": None}


# --- what hosts say -------------------------------------------------------------------------------


@pytest.mark.parametrize("consoles", [Consoles(), Consoles(plain=True, page_in_plain=True)])
@pytest.mark.parametrize("mode", ["internal", "off"])
def test_a_controller_tells_what_its_nova_conf_says(
    mode: str, consoles: Consoles, tmp_path: Path
) -> None:
    of = where(mode)
    plan = HostPlan(
        *(of.hosts["controller"], of, debian(), "qemu", scope_of(of, set(of.hosts))),
        consoles=consoles,
    )
    path = tmp_path / "nova.conf"
    path.write_text({file.path: file.content for file in plan.files}[NOVA_CONF])
    answer = guest_screens.answer({"proxy": str(path)})
    is_on = mode == "internal"
    strict = ["vencrypt", "none"] if consoles.plain else ["vencrypt"]
    assert answer == {
        "screens": None,
        "proxy": {
            "schemes": strict if is_on else ["none"],
            "certificate": CLIENT if is_on else None,
            "encrypted_only": is_on and not consoles.page_in_plain,
        },
    }
    assert Report.model_validate({**report("c", "10.0.0.1").model_dump(), **answer}).proxy
    assert guest_screens.answer({"proxy": str(tmp_path / "none")})["proxy"] is None


def test_of_several_values_the_last_counts_and_other_sections_are_others(tmp_path: Path) -> None:
    path = tmp_path / "nova.conf"
    path.write_text(
        "[vnc]\nauth_schemes = none\n# auth_schemes = x\n[spice]\nauth_schemes = y\n"
        "[vnc]\nauth_schemes: vencrypt , none\n[DEFAULT]\nssl_only=True\n"
    )
    assert guest_screens.proxy(str(path)) == {
        "schemes": ["vencrypt", "none"],
        "certificate": None,
        "encrypted_only": True,
    }
