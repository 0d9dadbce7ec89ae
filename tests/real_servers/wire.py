"""A way from one server to another that can be cut: connections end, and new ones are refused, until it is mended."""

import select
import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

_PIECE_BYTES: Final = 65_536
_LOOK_S: Final = 0.05


class Wire:
    """From `port` on loopback to another port there."""

    def __init__(self, to_port: int) -> None:
        self._to_port = to_port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        self._is_whole = True
        self._has_ended = False
        self._lock = threading.Lock()
        self._ends: set[socket.socket] = set()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._has_ended = True
        self.cut()
        self._listening.close()

    def cut(self) -> None:
        """Nothing passes any more."""
        with self._lock:
            self._is_whole = False
            for end in self._ends:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        with self._lock:
            self._is_whole = True

    def _accept(self) -> None:
        with suppress(OSError):
            while not self._has_ended:
                if select.select([self._listening], [], [], _LOOK_S)[0]:
                    near, _ = self._listening.accept()
                    threading.Thread(target=self._join, args=[near], daemon=True).start()

    def _join(self, near: socket.socket) -> None:
        with near, suppress(OSError):
            if not self._is_whole:
                return
            with socket.create_connection(("127.0.0.1", self._to_port)) as far:
                with self._lock:
                    self._ends |= {near, far}
                try:
                    _carry(near, far)
                finally:
                    with self._lock:
                        self._ends -= {near, far}


def _carry(one: socket.socket, other: socket.socket) -> None:
    """What either says to the other, until one of them ends."""
    while True:
        for source in select.select([one, other], [], [])[0]:
            data = source.recv(_PIECE_BYTES)
            if not data:
                return
            (other if source is one else one).sendall(data)
