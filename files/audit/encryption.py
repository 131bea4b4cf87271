"""Certificates of the site's own that run out, or that processes have not read; plain text."""

from expiry import DAY, when
from finding import finding, needs

AGAIN = "deploy, which has it read its files again"
ANEW = "`openstack server reboot --hard`, or a live migration: QEMU begins anew with either"
PROVIDED = "a new one in the site's folder of certificates, then deploy"


def rows(evidence, problem):
    for name, host in evidence.hosts.items():
        for row in host.get("served") or ():
            if row["problem"] == problem:
                yield name, row


@needs("hosts")
def unread_files(evidence):
    """Processes that go on with a certificate that their file has no more."""
    for name, row in rows(evidence, "another"):
        what = "{} on {}: {}".format(row["who"], name, row["text"])
        yield finding("certificate-not-read", name, what, AGAIN, key=row["who"])


@needs("hosts")
def plain_text(evidence):
    """What speaks in plain text where all is to be encrypted."""
    for name, row in rows(evidence, "plain"):
        what = "{} on {}: {}".format(row["who"], name, row["text"])
        if row["pid"]:
            since = "; it was started before its host had certificates"
            yield finding("screen-in-plain-text", name, what + since, ANEW, key=row["who"])
        else:
            remedy = row.get("remedy") or "deploy"
            yield finding("port-in-plain-text", name, what, remedy, key=row["who"])


@needs("hosts")
def own_certificates(evidence):
    """Certificates that a deploy would have renewed already."""
    tls = evidence.expected.get("tls") or {}
    for name, host in evidence.hosts.items():
        for path, end in (host.get("own_certificates") or {}).items():
            if end - evidence.now <= tls.get("renew_days", 0) * DAY:
                what = f"{path} on {name} {when(end, evidence.now)}"
                remedy = PROVIDED if tls.get("mode") == "provided" else "deploy, which renews it"
                yield finding("certificate-ends", name, what, remedy, key=path)


DETECTORS = (unread_files, plain_text, own_certificates)
