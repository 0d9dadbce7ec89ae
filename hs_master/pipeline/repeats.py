"""Which clients' calls are looked up before they are decided, since they may have been answered already.

Hardly any has, and to ask the database for each batch would take as long as half a commit. So only those are looked up
beforehand of which it is likely; for the others the answers' primary key is the proof: a transaction with a key that
has been answered does not commit, and its calls are looked up then. For a while after that, and where a term begins
(what the leader before has answered is asked for again then), all are looked up. Pure.
"""

from collections.abc import Callable
from typing import Final

from hs_common.bounded import Bounded

REMEMBERED_LIMIT: Final = 50_000
"""Keys answered lately, some 5 MiB: the repetitions of an impatient client come within a minute."""
CAUTIOUS_S: Final = 30.0
"""So one transaction in this time is made in vain, at most, by who repeats old requests again and again."""


class Repeats:
    """Of one term of a leader. `seconds` is a clock that never goes back."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._answered = Bounded[bytes, None](REMEMBERED_LIMIT)
        self._cautious_until = seconds() + CAUTIOUS_S

    def is_likely(self, key: bytes) -> bool:
        """Whether the call with this key should be looked up before it is decided."""
        return key in self._answered or self._seconds() < self._cautious_until

    def answered(self, key: bytes) -> None:
        """An answer under this key was committed."""
        self._answered[key] = None

    def met(self) -> None:
        """A key that was not thought likely had been answered."""
        self._cautious_until = self._seconds() + CAUTIOUS_S
