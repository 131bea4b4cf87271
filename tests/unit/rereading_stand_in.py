"""A server that reads its certificate when it starts and when it is told to, as a real process.

    python rereading_stand_in.py FILE KEY HOW

It prints its port. HOW: `hup` reads anew a moment after SIGHUP; `deaf` passes it over; `mysql`
greets as MariaDB does before TLS; `slow` does nothing for a while after SIGHUP; `plain` has no TLS.
"""

import signal
import socket
import ssl
import sys
import time

file, key, how = sys.argv[1:]
PACKET = 36
"""Bytes with which a client of MariaDB asks for TLS."""
context: ssl.SSLContext


def read(*_: object) -> None:
    global context
    time.sleep({"slow": 2}.get(how, 0))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file, key)


read()
signal.signal(signal.SIGHUP, signal.SIG_IGN if how == "deaf" else read)
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
while True:
    stream, _ = listener.accept()
    with stream:
        try:
            if how == "mysql":
                stream.sendall(b"a greeting")
                stream.recv(PACKET, socket.MSG_WAITALL)
            if how == "plain":
                stream.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            else:
                context.wrap_socket(stream, server_side=True).close()
        except OSError:
            continue
