#!/usr/bin/python3 -I
"""nova-novncproxy, with a look at the certificates of guests' screens.

Up to Nova 33 the proxy calls ssl.wrap_socket, which Python 3.12 has no more. What eventlet has in
its place takes `cert_reqs` for options of OpenSSL and verifies nothing (eventlet/green/ssl.py,
GreenSSLSocket._wrap_socket): any certificate passes for a compute's. With an older Python the chain
is verified, and any host of the authority passes for any other.

From 34 on Nova makes a context, which verifies the chain and has `check_hostname` off
(nova/console/rfb/authvencrypt.py): there, too, any host of the authority passes for any other.

It is started isolated (-I): beside it may be modules of the timers' (pyinfra_nova/care/files.py),
of names that others could import.
"""

import sys


def context_of(module):
    """The contexts of MODULE, for clients that are to know the names of whom they ask."""

    class NamedContext(module.SSLContext):
        def wrap_socket(self, sock, **_):
            """TLS over SOCK, to whom a trusted authority says to be at its address."""
            self.check_hostname = True
            return super().wrap_socket(sock, server_hostname=sock.getpeername()[0])

    return NamedContext


class VerifyingSsl:
    """The module ssl for who calls its wrap_socket, or makes a context of it."""

    def __init__(self, module):
        self._module = module
        self.SSLContext = context_of(module)

    def __getattr__(self, name):
        return getattr(self._module, name)

    def wrap_socket(self, sock, keyfile=None, certfile=None, ca_certs=None, **_):
        """TLS over SOCK, to whom an authority of CA_CERTS says to be at its address."""
        context = self.SSLContext(self._module.PROTOCOL_TLS_CLIENT)
        context.minimum_version = self._module.TLSVersion.TLSv1_2
        if not ca_certs:
            raise self._module.SSLError("[vnc] vencrypt_ca_certs is not set: nobody is trusted")
        try:
            context.load_verify_locations(ca_certs)
            if certfile:
                context.load_cert_chain(certfile, keyfile)
        except OSError as error:
            # Nova tells the cause of an SSLError alone (nova/console/rfb/authvencrypt.py).
            raise self._module.SSLError("{} or {}: {}".format(ca_certs, certfile, error)) from error
        return context.wrap_socket(sock)


def main():
    # The first import patches ssl and sockets (nova/monkey_patch.py): nothing else may be before.
    from nova.cmd import novncproxy
    from nova.console.rfb import authvencrypt

    authvencrypt.ssl = VerifyingSsl(authvencrypt.ssl)
    sys.argv[0] = "nova-novncproxy"
    return novncproxy.main()


if __name__ == "__main__":
    sys.exit(main())
