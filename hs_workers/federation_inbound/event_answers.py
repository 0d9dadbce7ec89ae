"""Events as other servers get them: in transactions that were never sent, and in lists."""

from collections.abc import Callable, Iterable
from typing import Any

from hs_common.http.reply import Encoded


class EventAnswers:
    """`now_ms` is the time of day."""

    def __init__(self, server_name: str, now_ms: Callable[[], int]) -> None:
        self._server_name = server_name
        self._now_ms = now_ms

    def transaction(self, pdus: Iterable[bytes]) -> dict[str, Any]:
        """The envelope that PDUs are answered in."""
        return {"origin": self._server_name, "origin_server_ts": self._now_ms(), "pdus": encoded(pdus)}


def encoded(pdus: Iterable[bytes]) -> list[Encoded]:
    """PDUs as they are spliced into an answer."""
    return [Encoded(pdu) for pdu in pdus]
