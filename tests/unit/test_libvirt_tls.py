"""What is done so that libvirt speaks TLS, in an order in which a run cut off is finished."""

from __future__ import annotations

from typing import Any

import pytest
from pyinfra.api import OperationError

from pyinfra_nova.resources import libvirt_tls
from pyinfra_nova.resources.libvirt_tls import LibvirtService, LibvirtTls
from pyinfra_nova.session import steps

from .test_unanswered import commands

MARK = "/etc/systemd/system/libvirtd-tls.socket.d/pyinfra-nova.conf"
WANTED = LibvirtTls(
    wanted=True,
    socket="libvirtd-tls.socket",
    mark=MARK,
    address="10.0.0.31",
    port=16514,
    services=(LibvirtService("libvirtd.service", ("/etc/libvirt/qemu.conf",)),),
    daemon="libvirtd",
    libvirt=(),
    screens=(),
)
NOTHING: dict[str, Any] = {
    **dict.fromkeys(("daemon_reload", "enable", "disable", "stop"), False),
    **dict.fromkeys(("restart", "reread", "plain"), ()),
}
RESTART = [{"name": "libvirtd.service", "reason": "it is new", "running": True}]


def done(answer: dict[str, Any], moving: Any = None, *, executing: bool = False) -> list[str]:
    """What is run on the host, without the lock that each takes."""
    found = commands(libvirt_tls.spoken, {**NOTHING, **answer}, WANTED, moving, executing=executing)
    return [
        line[line.index("sh -c") + 6 :].strip("'") if "sh -c" in line else line for line in found
    ]


@pytest.fixture(autouse=True)
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    texts: list[str] = []
    for module in (libvirt_tls, steps):
        monkeypatch.setattr(module, "say", texts.append)
    return texts


def test_nothing_is_run_and_said_where_nothing_differs(said: list[str]) -> None:
    assert done({}) == said == []


def test_systemd_reads_and_enables_before_the_socket_comes_with_its_service() -> None:
    found = done({"daemon_reload": True, "enable": True, "stop": True, "restart": RESTART})
    assert [line.split(" ||")[0] for line in found] == [
        "systemctl daemon-reload",
        "systemctl enable libvirtd-tls.socket",
        "systemctl stop libvirtd-tls.socket",
        "systemctl restart libvirtd.service",
    ]


def test_a_restart_that_fails_tells_the_cause() -> None:
    (line,) = done({"restart": RESTART})
    assert line.endswith("|| { journalctl -q -n 5 -o cat -u libvirtd.service >&2; exit 1; }")


def test_certificates_are_read_again_after_a_restart_by_all_in_one_command(
    said: list[str],
) -> None:
    found = done({"restart": RESTART, "reread": ["libvirtd", "guest instance-1"]})
    assert "systemctl restart" in found[0] and "libvirt_tls reread" in found[1]
    assert said[-1] == (
        "have libvirtd, guest instance-1 read its certificates again, without a restart"
    )


def test_a_guest_that_was_started_before_is_named_and_let_be(said: list[str]) -> None:
    assert done({"plain": ["instance-1", "instance-2"]}) == []
    assert said[0].startswith("the screens of instance-1, instance-2 speak no TLS")


def test_what_says_that_the_socket_is_ours_goes_when_all_else_is_done() -> None:
    found = done({"daemon_reload": True, "disable": True, "stop": True, "restart": RESTART})
    assert [line.split(" ||")[0] for line in found] == [
        "systemctl daemon-reload",
        "systemctl disable libvirtd-tls.socket",
        "systemctl stop libvirtd-tls.socket",
        "systemctl restart libvirtd.service",
        f"rm -f {MARK}",
        "rmdir --ignore-fail-on-non-empty /etc/systemd/system/libvirtd-tls.socket.d",
        "systemctl daemon-reload",
    ]


def test_libvirt_is_not_restarted_under_a_guest_on_the_way(said: list[str]) -> None:
    asked: list[str] = []

    def moving() -> dict[str, Any]:
        asked.append("asked")
        return {"error": "the database is away", "moves": []}

    answer = {"enable": True, "restart": RESTART}
    found = done(answer, moving, executing=True)
    assert found[0] == "systemctl enable libvirtd-tls.socket"
    assert "whether guests are on the way nobody can say" in found[1] and len(found) == 2
    idle = [{**RESTART[0], "running": False}]
    assert len(done({"restart": idle}, moving, executing=True)) == len(asked) == 1
    assert len(done(answer, moving, executing=False)) == 2  # a plan waits for nothing


def test_silence_is_no_answer() -> None:
    with pytest.raises(OperationError, match="nothing was answered"):
        commands(libvirt_tls.spoken, {}, WANTED, executing=False)
    (only,) = commands(libvirt_tls.spoken, {}, WANTED, executing=True)
    assert only.endswith(">&2; exit 1")
