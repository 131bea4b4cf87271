"""What binary protocols over TCP have in common."""


def exactly(stream, size):
    """SIZE bytes of STREAM, in however many pieces they come."""
    data = b""
    while len(data) < size:
        more = stream.recv(size - len(data))
        if not more:
            raise ConnectionError("closed the connection")
        data += more
    return data
