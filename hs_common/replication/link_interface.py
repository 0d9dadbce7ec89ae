"""What makes calls to the master, as operations see it: the same near (all in one process) and far (a worker).

Must not know how a call travels.
"""

from dataclasses import dataclass
from typing import Protocol

from hs_common.matrix.errors import MatrixError, limit_exceeded
from hs_common.process.request_id import CURRENT_WAIT_S
from hs_common.replication import calls

CALL_SECONDS = 8.0  # in all, over every repeat; below the 10 s in which each request ends
UNKNOWN_RETRY_MS = 1000  # what a client is told to wait when the outcome is unknown


@dataclass(frozen=True, slots=True)
class CallOptions:
    """What travels beside a call: its lane (interactive, federation, bulk), whom it is for, the request it serves."""

    lane: str = "interactive"
    origin: str = ""
    request_id: str = ""


DEFAULT_OPTIONS = CallOptions()


def call_seconds() -> float:
    """What a call may take now: less than in all, where its request has waited for its turn already."""
    return max(0.0, CALL_SECONDS - CURRENT_WAIT_S.get())


class Link(Protocol):
    """What makes calls to the master, near or far."""

    async def call(
        self, call: calls.Call, key: bytes | None = None, options: CallOptions = DEFAULT_OPTIONS
    ) -> calls.Answer:
        """Makes the call, once however often it is repeated under `key` (16 bytes; None: a random one).

        Returns the answer of the type that the call names. Raises MatrixError: the master's, 429 when it is busy, 503
        M_UNKNOWN when there is no answer in time (the outcome is unknown: repeating with the same key is exact).
        """


def busy(lane: str, retry_after_ms: int) -> MatrixError:
    """Nothing was done, there is too much to do: clients and services are told to slow down, servers to come again."""
    if lane == "federation":
        return MatrixError(503, "M_UNKNOWN", "The server has too much to do", {"retry_after_ms": retry_after_ms})
    return limit_exceeded(retry_after_ms)


def unknown_outcome() -> MatrixError:
    """There is no answer in time. It is not said to have failed, because it may have been done."""
    error = "The server cannot say in time whether this was done; try again"
    return MatrixError(503, "M_UNKNOWN", error, {"retry_after_ms": UNKNOWN_RETRY_MS})
