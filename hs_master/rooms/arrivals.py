"""What is known of events that arrive: whether they are here already, and which redactions of them came first.

Every call that brings events asks, so those that ask while the last statement runs are answered by one next statement,
which begins after they asked: nobody is told what was so before.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from twisted.internet.defer import Deferred

from hs_common.storage import room_forks
from hs_common.storage.queries import DatabaseError, Queries


@dataclass(frozen=True, slots=True)
class Arrival:
    """An event that is here, by its status (None: it is not) and what redacted it, or that is awaited."""

    status: int | None
    redacted_by: str | None
    redactions: list["HeldRedaction"]


class HeldRedaction(NamedTuple):
    """A redaction that waits for its event. `by_power`: see `waiting_redactions`."""

    event_id: str
    json: str
    by_power: bool | None


Arrivals = dict[str, Arrival]


@dataclass(slots=True)
class _Asking:
    """Calls that are answered together."""

    event_ids: dict[str, None] = field(default_factory=dict)
    waiting: list[Deferred[Arrivals]] = field(default_factory=list)


class ArrivalReads:
    """Reads. Of the calls that are answered together the first runs the statement."""

    def __init__(self) -> None:
        self._asking: _Asking | None = None
        self._is_reading = False
        self._turn: Deferred[None] | None = None

    async def of(self, db: Queries, event_ids: Iterable[str]) -> Arrivals:
        """All events that are known of, those of other calls among them. Raises DatabaseError."""
        together = self._asking
        if together is not None:
            together.event_ids.update(dict.fromkeys(event_ids))
            answered: Deferred[Arrivals] = Deferred()
            together.waiting.append(answered)
            return await answered
        together = self._asking = _Asking(dict.fromkeys(event_ids))
        if self._is_reading:
            self._turn = Deferred()
            await self._turn
        self._asking = None
        self._is_reading = True
        try:
            found = await _read(db, together.event_ids)
        except DatabaseError as error:
            for one in together.waiting:
                one.errback(error)
            raise
        finally:
            self._is_reading = False
            turn, self._turn = self._turn, None
            if turn is not None:
                turn.callback(None)
        for one in together.waiting:
            one.callback(found)
        return found


async def _read(db: Queries, event_ids: Iterable[str]) -> Arrivals:
    found: Arrivals = {}
    for event_id, status, redaction_id, json, by_power in await room_forks.arrivals(db, list(event_ids)):
        known = found.setdefault(event_id, Arrival(None, None, []))
        if status is None:
            known.redactions.append(HeldRedaction(redaction_id, json, by_power))
        else:
            found[event_id] = Arrival(status, redaction_id, known.redactions)
    return found
