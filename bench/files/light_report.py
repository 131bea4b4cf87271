"""What a host of the benchmark answers: as little as can be, so that it is not what is measured.

Request: {}
Answer:  {"time", "hostname"}
"""

import socket
import time


def answer(request):
    return {"time": time.time(), "hostname": socket.gethostname()}
