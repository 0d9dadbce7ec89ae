"""Programs that stand between clients and a server of a play, for who wants to see all that passes.

`VIADUCT_TEST_PROXY` names the command, such as `relay --listen {port} --to {upstream}`; it is started once for each
address that clients use, and told by SIGINT to end. Without it clients go straight to the server.
"""

import os
import shlex
import signal
import socket
import subprocess
import time
from typing import Final

VARIABLE: Final = "VIADUCT_TEST_PROXY"
START_LIMIT_S: Final = 60.0
STOP_LIMIT_S: Final = 120.0  # it may have much to say at its end


class Relays:
    """What stands before one server."""

    def __init__(self) -> None:
        self._command = os.environ.get(VARIABLE, "")
        self._running: dict[str, tuple[str, subprocess.Popen[bytes]]] = {}

    def before(self, url: str) -> str:
        """The URL that clients use to reach that one."""
        if not self._command:
            return url
        if url not in self._running:
            self._running[url] = self._start(url)
        return self._running[url][0]

    def stop(self) -> None:
        """End them all."""
        for _, process in self._running.values():
            process.send_signal(signal.SIGINT)
        for _, process in self._running.values():
            process.wait(STOP_LIMIT_S)
        self._running.clear()

    def _start(self, url: str) -> tuple[str, subprocess.Popen[bytes]]:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        process = subprocess.Popen(shlex.split(self._command.format(port=port, upstream=url)), start_new_session=True)
        deadline = time.monotonic() + START_LIMIT_S
        while not _listens(port):
            assert process.poll() is None, f"{VARIABLE}: it has ended"
            assert time.monotonic() < deadline, f"{VARIABLE}: it does not listen on {port}"
            time.sleep(0.05)
        return f"http://127.0.0.1:{port}", process


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
