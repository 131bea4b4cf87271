"""files/common/rest.py: an answer, half of one, and none, over real sockets."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import host_report
import http_answers
import pytest
import rest
import units


@contextmanager
def saying(*answers: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """The URL of a port that says ANSWERS, one a connection, then closes; and what it was asked."""
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with suppress(OSError):  # closed before all was said
                for answer in answers:
                    stream, _ = server.accept()
                    with stream:
                        asked.append(stream.recv(65536))
                        stream.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", asked


def answer(status: str, body: str = "", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", body]
    return "\r\n".join(lines).encode()


OK = answer("200 OK", '{"a": 1}')


def test_an_answer_has_a_status_headers_and_json() -> None:
    with saying(answer("200 OK", '{"a": 1}', "X-Subject-Token: t")) as (url, _):
        found = rest.ask("GET", url)
    assert (found.status, found.headers["X-Subject-Token"], found.json()) == (200, "t", {"a": 1})


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (OK[:-3], r"only half: IncompleteRead\(5 bytes read, 3 more expected\)"),
        (
            b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n{"a"',
            "only half: Incomplete",
        ),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", "only half: Incompl"),
        (answer("401 Unauthorized", '{"error": {}}')[:-2], "answers 401, but only half"),
        (answer("200 OK", "<html>"), "answers 200, but with no JSON object: '<html>'"),
        (answer("200 OK", "[1]"), r"answers 200, but with no JSON object: '\[1\]'"),
    ],
)
def test_half_an_answer_is_none_to_act_on(data: bytes, text: str) -> None:
    with saying(data) as (url, _), pytest.raises(rest.BadAnswer, match=text) as error:
        rest.Client(url).call("DELETE", "/x", allowed=(401,))
    assert str(error.value).startswith(f"DELETE {url}/x answers")


def test_no_answer_is_named_with_its_cause() -> None:
    with pytest.raises(
        rest.NoAnswer, match=r"^GET http://127.0.0.1:1/x does not answer: .*refused"
    ):
        rest.Client("http://127.0.0.1:1").get("/x")
    with saying(b"") as (url, _), pytest.raises(rest.NoAnswer, match="closed connection"):
        rest.Client(url).get("/x")
    with saying(OK[:30]) as (url, _), pytest.raises(rest.Failed):
        rest.Client(url).get("/x")


def test_no_redirect_takes_the_token_elsewhere() -> None:
    moved = answer("302 Found", "", "Location: http://evil/")
    with (
        saying(moved) as (url, _),
        pytest.raises(rest.ErrorStatus, match=r"302: go to http://evil"),
    ):
        rest.Client(url, {"X-Auth-Token": "t"}).get("/x")


def test_no_proxy_of_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with saying(OK) as (url, _):
        assert rest.Client(url).get("/x") == {"a": 1}


@pytest.mark.parametrize("password", ["p'w\"d", "back\\slash", "s3cret"])
def test_a_password_that_a_service_repeats_is_masked(password: str) -> None:
    for spelt in (password, repr(password)[1:-1]):
        words = answer("400 Bad Request", f"{spelt} is too short")
        with saying(words) as (url, _), pytest.raises(rest.ErrorStatus) as error:
            rest.Client(url).call("PATCH", "/u", {"user": {"password": password}})
        assert str(error.value) == f"PATCH {url}/u answers 400: *** is too short"


@pytest.mark.parametrize("status", ["203 Proxy", "204 No Content", "206 Partial Content"])
def test_only_200_answers_a_question(status: str) -> None:
    with saying(answer(status, '{"a": []}')) as (url, _), pytest.raises(rest.ErrorStatus):
        rest.Client(url).listed("/x", "a")


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ('{"b": []}', "without `a`"),
        ('{"a": null}', "`a` is no list"),
        ('{"a": [{"id": 1}, {}]}', "one without `id`"),
        ('{"a": ["x"]}', "with 'x' in it"),
        ('{"a": [], "truncated": true}', "not with the whole list"),
        ('{"a": [], "next": "/y"}', "is said to follow on itself"),
        ('{"a": [], "next": 7}', "not where the list goes on"),
        ('{"a": [], "links": {"next": [1]}}', "not where the list goes on"),
        ('{"a": [], "a_links": [{"rel": "next"}]}', "not where the list goes on"),
        ('{"a": [], "a_links": [{"rel": "next", "href": null}]}', "not where the list goes on"),
        ('{"a": [], "a_links": [1]}', "not where the list goes on"),
        ('{"a": [], "a_links": "x"}', "not where the list goes on"),
    ],
)
def test_a_list_is_empty_only_where_one_was_answered(body: str, text: str) -> None:
    with (
        saying(answer("200 OK", body), answer("200 OK", body)) as (url, _),
        pytest.raises(rest.BadAnswer, match=text),
    ):
        rest.Client(url).listed("/x", "a", "id")


def test_a_list_goes_on_at_its_own_path_whatever_the_link_says() -> None:
    link = '{"rel": "next", "href": "http://inside:8774/v2.1/x?marker=1"}'
    pages = (f'{{"a": [{{"id": 1}}], "a_links": [{link}]}}', '{"a": [{"id": 2}]}')
    with saying(*(answer("200 OK", page) for page in pages)) as (url, asked):
        assert rest.Client(url + "/compute").listed("/x", "a") == [{"id": 1}, {"id": 2}]
    assert asked[1].startswith(b"GET /compute/x?marker=1 ")


# --- those who ask without an API -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("answers", "broken"),
    [
        (("500 Internal Server Error", "500 Internal Server Error"), True),
        (("500 Internal Server Error", "200 OK"), False),
        (("503 Service Unavailable",), False),
        (("502 Bad Gateway",), False),
        (("401 Unauthorized",), False),
    ],
)
def test_a_unit_is_broken_when_it_answers_500_twice(answers: tuple[str, ...], broken: bool) -> None:
    with saying(*map(answer, answers)) as (url, asked):
        assert units.is_broken(url, pause=0) is broken
    assert len(asked) == len(answers)


@pytest.mark.parametrize("data", [b"", b"SSH-2.0-OpenSSH\r\n", answer("500 Error", "text")[:-1]])
def test_a_unit_that_gives_no_whole_answer_is_not_said_to_be_broken(data: bytes) -> None:
    with saying(data) as (url, _):
        assert units.is_broken(url, pause=0) is False


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (answer("200 OK", "versions"), None),
        (answer("300 Multiple Choices", "versions"), None),
        (answer("200 OK", "nothing"), "GET {} answers 200, but without 'versions'"),
        (answer("503 X", "versions"), "GET {} answers 503: versions"),
        (answer("301 X", "versions", "Location: /y"), "GET {} answers 301: go to /y"),
        (answer("302 X", "versions", "Location: /y"), "GET {} answers 302: go to /y"),
        (answer("400 X", "versions"), "GET {} answers 400: versions"),
        (answer("404 X", ""), "GET {} answers 404"),
        (answer("404 X", "gone", "Location: /y"), "GET {} answers 404: gone"),
        (b"", "GET {} does not answer: Remote end closed connection without response"),
    ],
)
def test_a_url_answers_only_with_the_right_text(data: bytes, said: str | None) -> None:
    with saying(data) as (url, _):
        found = http_answers.problem({"url": url, "holds": "versions"})
    assert found == (said and said.format(url))


def placement(url: str) -> dict[str, str]:
    return {"name": "Placement", "url": url, "holds": "versions"}


def test_who_does_not_answer_is_named() -> None:
    with saying(answer("200 OK", "versions"), answer("503 X", "later")) as (url, _):
        nova = {**placement(url), "name": "Nova"}
        assert http_answers.answer({"urls": [nova, placement(url)]}) == {
            "failing": [
                {"name": "Placement", "url": url, "detail": f"GET {url} answers 503: later"}
            ]
        }


def test_a_url_is_waited_for_until_it_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(http_answers.time, "sleep", pauses.append)
    with saying(answer("503 X"), answer("503 X"), answer("200 OK", "versions")) as (url, asked):
        assert http_answers.answer({"urls": [placement(url)], "wait": 60}) == {"failing": []}
    assert (len(asked), len(pauses)) == (3, 2)


def test_a_url_that_does_not_answer_in_time_ends_the_run_with_its_name(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with saying(answer("503 X", "later")) as (url, _), pytest.raises(SystemExit) as end:
        http_answers.answer({"urls": [placement(url)], "wait": 0})
    assert end.value.code == 1
    assert capsys.readouterr().out == f"Placement: GET {url} answers 503: later\n"


def test_a_url_that_says_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for script in (http_answers, host_report):
        monkeypatch.setattr(script, "TIMEOUT", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        assert http_answers.problem(placement(url)) == f"GET {url} does not answer: timed out"
        with pytest.raises(rest.NoAnswer, match="timed out"):
            host_report.service_problem(url)


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ("200 OK", None),
        ("300 X", None),
        ("401 X", None),
        ("500 X", "GET {} answers 500: no"),
        ("503 X", "GET {} answers 503: no"),
    ],
)
def test_a_service_of_the_catalogue_is_there_when_it_answers_below_500(
    status: str, said: str | None
) -> None:
    with saying(answer(status, "no")) as (url, _):
        assert host_report.service_problem(url) == (said and said.format(url))
