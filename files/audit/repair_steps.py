"""What every repair stands on: the records as they are, the services, and nova-manage."""

import subprocess

import cloud_services
import compute_api
import evidence
import placement_records
import provider_allocations
import rest

PATIENCE = 600
"""Seconds that a nova-manage may take; it asks for something on each host."""


class Refused(Exception):  # noqa: N818 - it is what came of it
    """The reason for a repair does not hold; nothing was done. The text says why."""


class NovaManageFailed(OSError):  # noqa: N818
    """nova-manage has not come to an end."""


class Session:
    """The evidence of the last look, and one login for all that follows.

    Attributes:
        managed: what has come of each nova-manage.
        trouble: why nothing more is to be done after what has been done just now.
    """

    def __init__(self, request):
        self.request = request
        self.seen = None
        self._compute = self._placement = None
        self.managed, self.trouble = {}, None

    def look(self, sources):
        if self.seen is None:
            self.seen = evidence.gathered(self.request)
        else:
            self.seen = evidence.again(self.request, self.seen, sources)

    @property
    def compute(self):
        if self._compute is None:
            identity, body = cloud_services.logged_in(self.request)
            url = compute_api.endpoint(body.get("catalog", []), "compute", self.request["api"])
            headers = {"X-Auth-Token": identity.token, **compute_api.COMPUTE}
            self._compute = rest.Client(url, headers)
        return self._compute

    @property
    def placement(self):
        if self._placement is None:
            found = placement_records.client(self.request)
            self._placement = provider_allocations.client(found)
        return self._placement


def nova_manage(session, *words):
    """Run nova-manage as its own user, once for all findings that want the same.

    One that ends with an error may have done a part of it: sync_aggregates does what it can.
    """
    what = "nova-manage " + " ".join(words)
    if words not in session.managed:
        try:
            done = subprocess.run(
                ["runuser", "-u", "nova", "--", "nova-manage", *words],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=PATIENCE,
            )
        except subprocess.TimeoutExpired:
            raise NovaManageFailed(f"`{what}` has not ended after {PATIENCE} s") from None
        except OSError as error:
            raise NovaManageFailed(f"`{what}` cannot be run: {error}") from None
        session.managed[words] = f"`{what}` was run"
        if done.returncode:
            # What it has to say it prints; its libraries warn on the other channel.
            said = " ".join((done.stdout.strip() or done.stderr).split())[-300:]
            session.trouble = f"`{what}` ended with {done.returncode}: {said}"
            session.managed[words] = session.trouble
    return session.managed[words]
