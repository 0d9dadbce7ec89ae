"""Transactions that were answered lately, with what was said: a repeat gets the same answer, and nothing is done.

Only who sends the same bytes under the same id is answered from here. It spares work and is no promise: what a repeat
brings is known by the ids of its events and messages too, in every process and after a restart.

Spec: server-server API, #put_matrixfederationv1sendtxnid.
"""

from collections.abc import Callable
from hashlib import sha256
from typing import Final

from hs_common.bounded import Bounded

KEPT: Final = 1_000
"""Answers; at most some ten KiB each, and mostly a hundred bytes."""
KEPT_S: Final = 600.0
"""Senders repeat within minutes what they got no answer for."""

Results = dict[str, dict[str, str]]


class Answered:
    """The memory of one process. `seconds`: a clock that never goes back."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._answers = Bounded[bytes, tuple[float, Results]](KEPT)

    def __len__(self) -> int:
        return len(self._answers)

    @staticmethod
    def key(origin: str, transaction_id: str, body: bytes) -> bytes:
        """Under which an answer is kept."""
        named = sha256(f"{origin}\n{transaction_id}".encode("utf-8", "surrogatepass")).digest()
        return sha256(named + body).digest()

    def find(self, key: bytes) -> Results | None:
        """What was said; None if it has to be seen to."""
        answered = self._answers.get(key)
        return answered[1] if answered is not None and self._seconds() - answered[0] < KEPT_S else None

    def keep(self, key: bytes, results: Results) -> None:
        """All that the transaction brought has been kept or refused."""
        self._answers[key] = (self._seconds(), results)
