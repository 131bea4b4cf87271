"""HTTP as the host scripts speak it. Three things are told apart: an answer, half an answer or one
that is no JSON, and none. Only an answer says something; each of the others is a `Failed`.

Errors carry the method, the URL, the status and the service's own words. No request goes through a
proxy of the environment: Nova's services, which systemd starts, have none. No redirect is followed,
so no token goes where the catalogue does not say. Where the request says whom to trust, https is
verified against that alone (trust.py).
"""

import functools
import http.client
import json
import re
import urllib.error
import urllib.parse
import urllib.request

import trust

# Seconds that a service may be silent, not those that it may take.
TIMEOUT = 60


class Failed(Exception):  # noqa: N818 - it is what the request did
    """A request that did not get what it was made for; the text says which, and what came."""


class NoAnswer(Failed):
    """Refused, reset, silent for too long, or no HTTP: what was asked for may have been done."""


class BadAnswer(Failed):
    """Half an answer, or one in another form than the API's."""


class ErrorStatus(Failed):
    """The service answered, whole, with a status that is an error."""

    def __init__(self, text, answer):
        super().__init__(text)
        self.answer = answer
        self.status = answer.status


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


class _Encrypted(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, request, response, code, message, headers, url):
        if request.type == "https" and not url.startswith("https://"):
            return None  # the redirect is the answer
        return super().redirect_request(request, response, code, message, headers, url)


@functools.lru_cache(maxsize=2)
def opener(context):
    """What opens URLs, those with https as CONTEXT says; without one as everybody on this host."""
    https = [urllib.request.HTTPSHandler(context=context)] if context else []
    return urllib.request.build_opener(_Stay, urllib.request.ProxyHandler({}), *https)


def unanswered(what, url, error):
    """The NoAnswer that ERROR is: TLS was refused, or nobody answered."""
    # urllib wraps what happens before the answer, and nothing of what happens within it.
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    parts = urllib.parse.urlsplit(url)
    where = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    refused = trust.refusal(cause, where)
    cut_off = (http.client.RemoteDisconnected, ConnectionResetError)
    if parts.scheme == "http" and isinstance(cause, cut_off) and trust.TRUSTED is not None:
        refused = trust.speaks_tls(where) and trust.in_tls(where)
    if refused:
        return NoAnswer(f"{what} was not asked: {refused}")
    reason = str(getattr(error, "reason", None) or error) or type(error).__name__
    return NoAnswer(f"{what} does not answer: {reason}")


class Answer:
    """A whole answer. `what` is the method and the URL that it answers."""

    def __init__(self, what, status, headers, data):
        self.what = what
        self.status = status
        self.headers = headers
        self.data = data

    @property
    def text(self):
        return self.data.decode(errors="replace")

    def json(self):
        """The object that the body is."""
        try:
            found = json.loads(self.data)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            said = (
                f"{self.what} answers {self.status}, but with no JSON object: {self.text[:100]!r}"
            )
            raise BadAnswer(said)
        return found

    def said(self):
        """The status and the service's words."""
        words = said_by(self.text)
        if 300 <= self.status < 400 and self.headers.get("Location"):
            words = "go to " + self.headers["Location"]
        return f"{self.what} answers {self.status}" + (f": {words}" if words else "")


def said_by(text):
    """The message in an error's body: Keystone's, Nova's, Neutron's, Placement's or Glance's."""
    try:
        body = json.loads(text)
        if "errors" in body:
            return "; ".join(
                error.get("detail", error.get("title", "")) for error in body["errors"]
            )
        return "; ".join(str(error["message"]) for error in body.values())
    except (ValueError, TypeError, KeyError, AttributeError):
        return " ".join(re.sub("<[^>]*>", " ", text).split())[:300]


def ask(method, url, data=None, headers=None, timeout=None):
    """The answer to one request, whatever its status.

    Raises NoAnswer, or BadAnswer for an answer that was cut off.
    """
    what = f"{method} {url}"
    status = None
    try:
        request = urllib.request.Request(url, data, headers or {}, method=method)
        try:
            response = opener(trust.context()).open(request, timeout=timeout or TIMEOUT)
        except urllib.error.HTTPError as error:
            response = error
        with response:
            status = response.code
            return Answer(what, status, response.headers, response.read())
    except http.client.IncompleteRead as error:
        raise BadAnswer(f"{what} answers {status}, but only half: {error}") from error
    except (OSError, ValueError, http.client.HTTPException) as error:
        if status is not None:
            reason = str(getattr(error, "reason", None) or error) or type(error).__name__
            raise BadAnswer(f"{what} answers {status}, but only half: {reason}") from error
        raise unanswered(what, url, error) from error


def anywhere():
    """What opens URLs of the world: for those, this host's own authorities are good, too."""
    if trust.TRUSTED is None:
        return urllib.request.build_opener()
    https = urllib.request.HTTPSHandler(context=trust.beside_others())
    return urllib.request.build_opener(_Encrypted, https)


def fetch(url, target):
    """Write what URL holds into the open file TARGET, by way of redirects and proxies."""
    what = f"GET {url}"
    try:
        with anywhere().open(url, timeout=TIMEOUT) as response:
            expected, written = response.headers.get("Content-Length"), 0
            for chunk in iter(lambda: response.read(1 << 20), b""):
                written += target.write(chunk)
        target.flush()
    except urllib.error.HTTPError as error:
        raise Failed(f"{what} answers {error.code}") from error
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise unanswered(what, url, error) from error
    if expected and written != int(expected):
        raise BadAnswer(f"{what} answers with {written} of {expected} bytes")


def masked(text, body):
    """TEXT without the passwords that BODY holds: a schema's complaint repeats what it is about."""
    for key, value in body.items() if isinstance(body, dict) else ():
        if isinstance(value, dict):
            text = masked(text, value)
        elif key == "password" and isinstance(value, str) and value:
            for spelling in (value, repr(value)[1:-1], json.dumps(value)[1:-1]):
                text = text.replace(spelling, "***")
    return text


class Client:
    """One service, with the headers that each request to it has."""

    def __init__(self, url, headers=None):
        self.url = url.rstrip("/")
        self.headers = {"Accept": "application/json", **(headers or {})}

    def request(self, method, path, body=None, headers=None, timeout=None):
        """The answer, whatever its status; BODY is what becomes JSON, or an open file."""
        data = body if body is None or hasattr(body, "read") else json.dumps(body).encode()
        more = {"Content-Type": "application/json", **(headers or {})}
        return ask(method, self.url + path, data, {**self.headers, **more}, timeout)

    def call(self, method, path, body=None, allowed=(), headers=None, timeout=None):
        """The JSON that is answered; None for an error status of ALLOWED."""
        answer = self.request(method, path, body, headers, timeout)
        # What a GET is answered with 203 or 204 is no list that could be empty.
        good = answer.status == 200 if method == "GET" else 200 <= answer.status < 300
        if good:
            # Cut off in its headers, an answer looks like one without a body.
            return answer.json() if answer.data or method == "GET" else {}
        if answer.status in allowed:
            return None
        raise ErrorStatus(masked(answer.said(), body), answer)

    def get(self, path, *keys, allowed=()):
        """What is at PATH; each of KEYS is in it. None for an error status of ALLOWED."""
        found = self.call("GET", path, allowed=allowed)
        for key in keys if found is not None else ():
            if key not in found:
                raise BadAnswer(f"GET {self.url}{path} answers 200, but without `{key}`")
        return found

    def one(self, path, key, *fields, allowed=()):
        """The object KEY of what is at PATH; each of FIELDS is in it."""
        found = self.get(path, key, allowed=allowed)
        if found is None:
            return None
        self.require(path, [found[key]], fields)
        return found[key]

    def listed(self, path, key, *fields):
        """Every item of a list, page by page; each of FIELDS is in each of them."""
        items, seen, page = [], set(), path
        while page:
            seen.add(page)
            body = self.get(page, key)
            found = body[key]
            if not isinstance(found, list):
                raise BadAnswer(f"GET {self.url}{page} answers 200, but `{key}` is no list")
            self.require(page, found, fields)
            items += found
            if body.get("truncated"):
                raise BadAnswer(f"GET {self.url}{page} answers 200, but not with the whole list")
            page = self._next(path, key, body)
            if page in seen:
                raise BadAnswer(f"GET {self.url}{page} is said to follow on itself")
        return items

    def listed_by_offset(self, path, key, *fields):
        """Every item of a list that does not say whether it goes on; PATH has a query."""
        items = []
        while page := self.listed(f"{path}&offset={len(items)}", key, *fields):
            if page[0] in items:
                raise BadAnswer(f"GET {self.url}{path} answers the same at each offset")
            items += page
        return items

    def _next(self, path, key, body):
        """Where the list goes on: Nova, Glance and Keystone say it in ways of their own."""
        links, own = body.get(key + "_links") or [], body.get("links")
        found = [body.get("next"), own.get("next") if isinstance(own, dict) else None]
        if isinstance(links, list) and all(isinstance(link, dict) for link in links):
            found += [link.get("href") or False for link in links if link.get("rel") == "next"]
        else:
            found.append(False)
        found = [href for href in found if href is not None]
        # Half a link is not the end of a list.
        if not all(isinstance(href, str) and href for href in found):
            raise BadAnswer(f"GET {self.url}{path} answers 200, but not where the list goes on")
        # A service behind a proxy gets the path in its links wrong, but not the marker.
        href = next(iter(found), None)
        return href and path.partition("?")[0] + "?" + urllib.parse.urlsplit(href).query

    def require(self, path, items, fields):
        """Raise BadAnswer unless each of ITEMS of what is at PATH is an object with FIELDS."""
        for item in items:
            if not isinstance(item, dict):
                raise BadAnswer(f"GET {self.url}{path} answers 200, but with {item!r:.40} in it")
            for field in fields:
                if field not in item:
                    raise BadAnswer(f"GET {self.url}{path} answers 200, but one without `{field}`")


def quoted(text):
    """TEXT as one segment of a path."""
    return urllib.parse.quote(str(text), safe="")
