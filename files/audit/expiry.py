"""What runs out, and what has had its time: passwords, certificates, deleted rows."""

import time

import nova_state
from finding import finding, needs
from names import age, counted
from neighbours import moment
from nova_tables import kept_days

DAY = 86400
PASSWORD_DAYS, CERTIFICATE_DAYS = 14, 30
SLACK_DAYS = 7
"""Days by which a row may be older than those that are archived: an archive runs now and then."""


def when(seconds, now):
    """`runs out in 3 days, on 2026-11-25`, or has done so."""
    day = time.strftime("%Y-%m-%d", time.gmtime(seconds))
    if seconds <= now:
        return f"ran out {age(now - seconds)} ago, on {day}"
    return f"runs out in {age(seconds - now)}, on {day}"


@needs("identity")
def passwords(evidence):
    """The password of the user that Nova's services log in as."""
    for user, text in evidence.identity["passwords"].items():
        end = moment(text)
        if end is not None and end - evidence.now < PASSWORD_DAYS * DAY:
            yield finding(
                "password-ends",
                user,
                f"the password of Keystone's user {user} {when(end, evidence.now)}",
                "a new `nova_password` in the secrets file, then deploy",
                key="password",
            )


@needs("identity")
def certificates_of_endpoints(evidence):
    """Certificates that the servers of the catalogue show."""
    for server, found in evidence.identity.get("certificates", {}).items():
        end = found.get("ends")
        if end is not None and end - evidence.now < CERTIFICATE_DAYS * DAY:
            yield finding(
                "certificate-ends",
                server,
                f"the certificate of {server} ({', '.join(found['services'])}) "
                f"{when(end, evidence.now)}",
                "a new certificate on that server, and its service told to read it",
                key="certificate",
            )


@needs("identity")
def unread_certificates(evidence):
    """Servers that Nova itself asks, and that show no certificate, or one that is refused. What is
    for the public only may be out of a controller's reach, and of another authority."""
    for server, found in evidence.identity.get("certificates", {}).items():
        if evidence.expected["region"] not in found["inside"]:
            continue
        services = ", ".join(found["services"])
        what = None
        if "error" in found:
            what = f"{server} ({services}) shows no certificate: {found['error']}"
        elif "refused" in found:
            what = f"of {services}, {found['refused']}"
        if what:
            yield finding(
                "certificate-unread",
                server,
                what,
                f"`openssl s_client -connect {server}` on a controller shows why",
                key="certificate",
            )


@needs("hosts")
def certificate_files(evidence):
    """Certificates that nova.conf names on a host."""
    for name, host in evidence.hosts.items():
        own = host.get("own_certificates") or {}  # encryption.py says it of these
        for path, end in (host.get("certificates") or {}).items():
            if path not in own and end - evidence.now < CERTIFICATE_DAYS * DAY:
                yield finding(
                    "certificate-ends",
                    name,
                    f"{path} on {name}, which nova.conf names, {when(end, evidence.now)}",
                    f"a new certificate in {path}, then restart Nova's services on {name}",
                    key=path,
                )


def old_rows(number):
    return f"{counted(number, 'row')} that {'was' if number == 1 else 'were'}"


@needs("databases")
def deleted_rows(evidence):
    """Rows that were deleted long ago, and that nobody has archived."""
    days = kept_days(evidence.expected)
    limit = evidence.now - (days + SLACK_DAYS) * DAY
    for row in evidence.databases["deleted"]:
        oldest = nova_state.epoch(row["oldest"])
        if oldest and oldest < limit:
            yield finding(
                "rows-not-archived",
                row["table"],
                f"{row['table']} has {old_rows(int(row['old'] or 0))} deleted more "
                f"than {days} days ago, of {counted(row['rows'], 'deleted row')}",
                "`nova-manage db archive_deleted_rows --all-cells --until-complete --before "
                f"$(date -d '{days} days ago' +%F)` on the primary controller",
                since=oldest + days * DAY,
                key="rows",
            )


DETECTORS = (
    passwords,
    certificates_of_endpoints,
    unread_certificates,
    certificate_files,
    deleted_rows,
)
