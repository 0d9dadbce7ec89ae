"""Events asked of another server: checked as far as it goes without state, of the right room, bounded in number.

What is not as it should be is left out: whoever asked finds out by what is still missing.

Spec: server-server API, #backfilling-and-retrieving-missing-events, #retrieving-events.
"""

from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from twisted.internet.defer import Deferred, gatherResults
from twisted.logger import Logger

from hs_common.federation.interfaces import Remote
from hs_common.federation.signatures import SignatureChecks
from hs_common.matrix.errors import MatrixError, unknown
from hs_common.matrix.identifiers import is_event_id
from hs_common.matrix.received_pdu import ReceivedPdu, read_pdu_of
from hs_common.matrix.room_versions import RoomVersion

V1: Final = "/_matrix/federation/v1"
MAXIMUM_MISSING: Final = 50
"""Events of one answer to /get_missing_events; servers give 20 at most as a rule."""
MAXIMUM_STATE: Final = 150_000
"""Entries of a room's state, and events of its auth chain, that we look at."""
SINGLE_AT_ONCE: Final = 5
"""Events asked for one by one, at the same time: a server answers more of them later."""
_log = Logger()


@dataclass(frozen=True, slots=True)
class Room:
    """A room whose version is known."""

    room_id: str
    version: RoomVersion


@dataclass(frozen=True, slots=True)
class StateIds:
    """The state before an event, and the auth chain of the state, by ids."""

    state: list[str]
    auth_chain: list[str]


class Fetching:
    """Asks for events of rooms."""

    def __init__(self, remote: Remote, checks: SignatureChecks) -> None:
        self._remote = remote
        self._checks = checks

    async def missing_events(
        self,
        server: str,
        room: Room,
        earliest: Sequence[str],
        latest: Sequence[str],
        min_depth: int = 0,
        limit: int = MAXIMUM_MISSING,
    ) -> list[ReceivedPdu]:
        """Events between those that are here and those that came, from a depth on. Raises MatrixError."""
        body = {
            "earliest_events": list(earliest),
            "latest_events": list(latest),
            "limit": limit,
            "min_depth": min_depth,
        }
        answer = await self._remote.post(server, f"{V1}/get_missing_events/{_escaped(room.room_id)}", body)
        return await self.checked(_list(answer, "events")[:limit], room)

    async def auth_chain(self, server: str, room: Room, event_id: str) -> list[ReceivedPdu]:
        """The auth chain of an event. Raises MatrixError."""
        path = f"{V1}/event_auth/{_escaped(room.room_id)}/{_escaped(event_id)}"
        answer = await self._remote.get(server, path, large=True)
        return await self.checked(_list(answer, "auth_chain")[:MAXIMUM_STATE], room)

    async def state_ids(self, server: str, room: Room, event_id: str) -> StateIds:
        """The state before an event. Raises MatrixError."""
        path = f"{V1}/state_ids/{_escaped(room.room_id)}"
        answer = await self._remote.get(server, path, {"event_id": event_id}, large=True)
        state, auth_chain = _list(answer, "pdu_ids"), _list(answer, "auth_chain_ids")
        if len(state) > MAXIMUM_STATE or len(auth_chain) > MAXIMUM_STATE:
            raise unknown(f"{server} names more state than a room can have", 502)
        return StateIds(list(filter(is_event_id, state)), list(filter(is_event_id, auth_chain)))

    async def stream_state(
        self, server: str, room: Room, event_id: str, receive: Callable[[bytes], Awaitable[None]]
    ) -> None:
        """The state before an event and its auth chain, as bytes (`pdus`, `auth_chain`). Raises MatrixError."""
        path = f"{V1}/state/{_escaped(room.room_id)}"
        await self._remote.get_streaming(server, path, {"event_id": event_id}, receive)

    async def backfill(self, server: str, room: Room, before: Sequence[str], limit: int) -> list[ReceivedPdu]:
        """Events at and before the given ones. Raises MatrixError."""
        query: dict[str, str | list[str]] = {"v": list(before), "limit": str(limit)}
        answer = await self._remote.get(server, f"{V1}/backfill/{_escaped(room.room_id)}", query)
        return await self.checked(_list(answer, "pdus")[:limit], room)

    async def events(
        self, server: str, room: Room, event_ids: Collection[str]
    ) -> tuple[list[ReceivedPdu], MatrixError | None]:
        """Events by their ids, one request each; those that the server does not have are left out. And why some could
        not be asked for, so that another time may give them."""
        waiting, found, failure = list(event_ids), [], None
        while waiting and failure is None:
            batch, waiting = waiting[:SINGLE_AT_ONCE], waiting[SINGLE_AT_ONCE:]
            asked = [Deferred.fromCoroutine(self._event(server, event_id)) for event_id in batch]
            answers = await gatherResults(asked)
            values = [answer for answer in answers if not isinstance(answer, MatrixError | None)]
            failure = next((answer for answer in answers if isinstance(answer, MatrixError)), None)
            wanted = set(batch)
            found += [event for event in await self.checked(values, room) if event.event_id in wanted]
        return found, failure

    async def _event(self, server: str, event_id: str) -> Any:
        """The event; None: the server does not have it; an error: it did not say."""
        try:
            answer = await self._remote.get(server, f"{V1}/event/{_escaped(event_id)}")
            return next(iter(_list(answer, "pdus")), None)
        except MatrixError as error:
            return error if error.status >= 500 or error.status == 429 else None

    async def checked(self, values: Iterable[Any], room: Room) -> list[ReceivedPdu]:
        """The events among decoded JSON values that are well-formed, of the room, and signed; each once."""
        read: dict[str, ReceivedPdu] = {}
        for value in values:
            try:
                event = read_pdu_of(value, room.version, room.room_id)
            except MatrixError as error:
                _log.debug("an event of {room} is dropped: {error}", room=room.room_id, error=error)
                continue
            read[event.event_id] = event
        failures = await self._checks.failures(list(read.values()))
        for event_id, reason in failures.items():
            _log.debug("{event} is dropped: {reason}", event=event_id, reason=reason)
        return [event for event in read.values() if event.event_id not in failures]


def _list(answer: Any, name: str) -> list[Any]:
    value = answer.get(name) if isinstance(answer, dict) else None
    if not isinstance(value, list):
        raise unknown(f"The other server's answer has no list of {name}", 502)
    return value


def _escaped(text: str) -> str:
    return quote(text, safe="")
