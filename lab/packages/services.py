"""Services as Ubuntu's packages have them: a unit that starts an init script, and who starts it.

Read in the packaging of Ubuntu's nova 3:25.2.1-0ubuntu1 and in openstack-pkg-tools, by which all
units but nova-compute's are made (pkgos-gen-systemd-unit).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lab.packages.deb import File

AFTER = ("postgresql", "mysql", "keystone", "rabbitmq-server", "ntp")


@dataclass(frozen=True)
class Service:
    """A service.

    Attributes:
        after: the units that it is started after, beside those of all.
        second: a file that it reads after nova.conf, if it is there.
    """

    name: str
    title: str
    after: tuple[str, ...] = ()
    second: str | None = None

    @property
    def unit(self) -> str:
        """systemd.service(5)."""
        after = " ".join(f"{name}.service" for name in (*self.after, *AFTER))
        return (
            f"[Unit]\nDescription={self.title}\nAfter={after}\n\n"
            "[Service]\nUser=nova\nGroup=nova\nType=simple\nWorkingDirectory=~\n"
            "RuntimeDirectory=nova lock/nova\nCacheDirectory=nova\n"
            f"ExecStart=/etc/init.d/{self.name} systemd-start\n"
            "Restart=on-failure\nLimitNOFILE=65535\nTimeoutStopSec=15\n\n"
            "[Install]\nWantedBy=multi-user.target\n"
        )

    @property
    def init_script(self) -> str:
        """What the unit starts; /etc/default is read before the program is run, as there."""
        second = self.second and (
            f"if [ -f {self.second} ]; then\n"
            f'    DAEMON_ARGS="$DAEMON_ARGS --config-file={self.second}"\nfi\n'
        )
        return (
            "#!/bin/sh\n### BEGIN INIT INFO\n"
            f"# Provides:          {self.name}\n"
            "# Required-Start:    $network $local_fs $remote_fs $syslog\n"
            "# Required-Stop:     $remote_fs\n"
            "# Default-Start:     2 3 4 5\n# Default-Stop:      0 1 6\n"
            f"# Short-Description: {self.title}\n"
            "### END INIT INFO\n"
            "PATH=/sbin:/usr/sbin:/bin:/usr/bin\n"
            f"NAME={self.name}\n"
            f"DAEMON=/usr/bin/{self.name}\n"
            'DAEMON_ARGS="--config-file=/etc/nova/nova.conf"\n'
            f"{second or ''}"
            "LOGFILE=/var/log/nova/$NAME.log\n"
            "[ -x $DAEMON ] || exit 0\n"
            "if [ -r /etc/default/openstack ]; then . /etc/default/openstack; fi\n"
            "if [ -r /etc/default/$NAME ]; then . /etc/default/$NAME; fi\n"
            'if [ "$USE_SYSLOG" = yes ]; then DAEMON_ARGS="$DAEMON_ARGS --use-syslog"; fi\n'
            'if [ "$USE_LOGFILE" != no ]; then DAEMON_ARGS="$DAEMON_ARGS --log-file=$LOGFILE"; fi\n'
            'case "$1" in\n'
            "systemd-start) exec $DAEMON $DAEMON_ARGS ;;\n"
            'show-args) echo "$DAEMON $DAEMON_ARGS" ;;\n'
            'start | stop | restart | force-reload | status) exec systemctl "$1" "$NAME" ;;\n'
            '*) echo "usage: $0 {start|stop|restart|force-reload|status|systemd-start}" >&2; '
            "exit 2 ;;\nesac\n"
        )

    @property
    def files(self) -> Mapping[str, File]:
        """Both, where they belong."""
        return {
            f"/lib/systemd/system/{self.name}.service": File(self.unit),
            f"/etc/init.d/{self.name}": File(self.init_script, 0o755),
        }

    @property
    def scripts(self) -> Mapping[str, str]:
        """What debhelper writes for it, with the same helpers: policy-rc.d is asked."""
        unit = f"{self.name}.service"
        return {
            "postinst": script(
                f"""\
case "$1" in configure | abort-upgrade | abort-deconfigure | abort-remove)
    deb-systemd-helper unmask {unit} >/dev/null || true
    if deb-systemd-helper --quiet was-enabled {unit}; then
        deb-systemd-helper enable {unit} >/dev/null || true
    else
        deb-systemd-helper update-state {unit} >/dev/null || true
    fi
    if [ -d /run/systemd/system ]; then
        systemctl --system daemon-reload >/dev/null || true
        if [ -n "$2" ]; then action=restart; else action=start; fi
        deb-systemd-invoke $action {unit} >/dev/null || true
    fi
    ;;
esac
"""
            ),
            "prerm": script(
                f"""\
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
    deb-systemd-invoke stop {unit} >/dev/null || true
fi
"""
            ),
            "postrm": script(
                f"""\
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
    systemctl --system daemon-reload >/dev/null || true
fi
if [ "$1" = purge ] && [ -x /usr/bin/deb-systemd-helper ]; then
    deb-systemd-helper purge {unit} >/dev/null || true
fi
"""
            ),
        }


def script(*parts: str) -> str:
    """A maintainer script that ends at the first failure."""
    return "#!/bin/sh\nset -e\n" + "".join(parts)


def site(name: str, port: int, program: str) -> str:
    """A site of Apache as a package brings it; the deploy writes its own in its place."""
    return (
        f"Listen {port}\n\n<VirtualHost *:{port}>\n"
        f"    WSGIScriptAlias / {program}\n"
        f"    WSGIDaemonProcess {name} processes=5 threads=1 user=nova group=nova "
        "display-name=%{GROUP}\n"
        f"    WSGIProcessGroup {name}\n    WSGIApplicationGroup %{{GLOBAL}}\n"
        "    WSGIPassAuthorization On\n    LimitRequestBody 114688\n"
        f"    ErrorLog /var/log/apache2/{name.replace('-', '_')}_error.log\n"
        f"    CustomLog /var/log/apache2/{name.replace('-', '_')}_access.log combined\n"
        f"    <Directory {program.rpartition('/')[0]}>\n        Require all granted\n"
        "    </Directory>\n</VirtualHost>\n"
    )


def site_scripts(name: str) -> Mapping[str, str]:
    """What dh_apache2 writes for a site: Apache's own helper switches it on and off.

    A release before had a service of this name, which would keep the port. That it is stopped like
    this by Ubuntu's own package could not be read anywhere.
    """
    helper = "/usr/share/apache2/apache2-maintscript-helper"
    unit = f"{name}.service"
    return {
        "preinst": script(
            f"""\
if [ "$1" = upgrade ] && [ -e /etc/init.d/{name} ]; then
    if [ -d /run/systemd/system ]; then
        deb-systemd-invoke stop {unit} >/dev/null || true
    fi
    deb-systemd-helper purge {unit} >/dev/null || true
    rm -f /etc/init.d/{name}
fi
"""
        ),
        "postinst": script(
            f"""\
if [ "$1" = configure ] && [ -e {helper} ]; then
    . {helper}
    apache2_invoke ensite {name} || exit $?
fi
"""
        ),
        "prerm": script(
            f"""\
if [ "$1" = remove ] && [ -e {helper} ]; then
    . {helper}
    apache2_invoke dissite {name} || exit $?
fi
"""
        ),
    }
