"""The repositories as hosts ask for them: by the addresses of Ubuntu's own archives.

A host is told of this server as of a proxy for those two names alone; its sources.list stays what
the deploy has written, and nothing of it has to be resolved.
"""

from __future__ import annotations

import http.server
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

from lab.packages.build import MIRROR
from lab.packages.shape import ARCHIVE, CLOUD_ARCHIVE

HOST_NAMES = (ARCHIVE, CLOUD_ARCHIVE)


class _Archive(http.server.SimpleHTTPRequestHandler):
    """Files below the folder of the host name that a request is for."""

    protocol_version = "HTTP/1.1"

    def translate_path(self, path: str) -> str:
        """Where the file of a request is; a proxy's says the host name, another's Host does."""
        asked = urlsplit(path)
        name = asked.hostname or self.headers.get("Host", "").partition(":")[0]
        found = Path(super().translate_path(asked.path)).relative_to(self.directory)
        return str(Path(self.directory, name if name in HOST_NAMES else "nowhere", found))

    def log_message(self, *words: object) -> None:
        """Nothing: what apt could not find, it says."""


def server(address: str, port: int, mirror: Path = MIRROR) -> http.server.ThreadingHTTPServer:
    """A server of MIRROR at ADDRESS, which is bound and not yet at work; port 0 is any."""
    handler = partial(_Archive, directory=str(mirror))
    return http.server.ThreadingHTTPServer((address, port), handler)


@contextmanager
def serving(address: str = "127.0.0.1", port: int = 0, mirror: Path = MIRROR) -> Iterator[str]:
    """MIRROR served; gives what apt.conf says of it."""
    with server(address, port, mirror) as running:
        thread = Thread(target=running.serve_forever, daemon=True)
        thread.start()
        try:
            yield apt_settings(address, running.server_address[1])
        finally:
            running.shutdown()
            thread.join()


def apt_settings(address: str, port: int) -> str:
    """What a host's apt.conf says, so that it asks this server for Ubuntu's archives."""
    return "".join(
        f'Acquire::http::Proxy::{name} "http://{address}:{port}";\n' for name in HOST_NAMES
    )
