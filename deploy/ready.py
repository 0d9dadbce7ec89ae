"""The health check of a container: whether the process in it answers /ready with 200. Runs often, so imports little."""

import http.client
import sys

_TIMEOUT_S = 4

connection = http.client.HTTPConnection("127.0.0.1", 9100, timeout=_TIMEOUT_S)
try:
    connection.request("GET", "/ready")
    sys.exit(0 if connection.getresponse().status == 200 else 1)
except OSError:
    sys.exit(1)
