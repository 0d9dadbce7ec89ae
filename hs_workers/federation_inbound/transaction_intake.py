"""Transactions of other servers: events are checked and staged, ephemeral data is applied at once.

The answer says what could be checked without state: an event without an error has been kept, and what becomes of it is
decided later. A repeated transaction changes nothing: events are known by their ids, messages by theirs. What is
refused is charged to the server's account.

Spec: server-server API, #transactions, #server-access-control-lists-acls.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Protocol

from twisted.internet.defer import Deferred, DeferredList

from hs_common.bounded import Bounded
from hs_common.federation import accounts as prices
from hs_common.federation.accounts import Accounts
from hs_common.federation.signatures import SignatureChecks
from hs_common.matrix import hashes
from hs_common.matrix.errors import MatrixError, bad_json, forbidden, limit_exceeded, too_large
from hs_common.matrix.identifiers import is_room_id
from hs_common.matrix.received_pdu import ReceivedPdu, read_pdu
from hs_common.matrix.room_versions import ROOM_VERSIONS
from hs_common.storage import inbound_pdus
from hs_common.storage.inbound_pdus import StagedPdu
from hs_common.storage.queries import Queries
from hs_workers.federation_inbound.answered import Answered, Results
from hs_workers.federation_inbound.room_admission import RoomAdmission, RoomStanding
from hs_workers.federation_inbound.room_queues import OutOfBand
from hs_workers.federation_inbound.staging import Staging

MAXIMUM_PDUS: Final = 50
MAXIMUM_EDUS: Final = 100
ORIGIN_BACKLOG: Final = 20_000
"""Events of one server that may wait; it is told to come back beyond."""
COUNTED_FOR_S: Final = 10.0
"""How long a count of those is believed."""
MAXIMUM_COUNTED: Final = 10_000
RETRY_AFTER_MS: Final = 10_000

GUESSED_VERSION: Final = ROOM_VERSIONS["11"]


class Edus(Protocol):
    """Applies what is not kept in rooms."""

    async def apply(self, origin: str, edus: Sequence[Any]) -> int:
        """How many were not as they should be, and ignored. Raises MatrixError where all has to be sent again."""


class Offer(Protocol):
    """Takes events that were staged."""

    def offer(self, room_id: str, origin: str, events: Sequence[ReceivedPdu]) -> None:
        """They are in the database already."""


class TransactionIntake:
    """Receives transactions. `seconds`: a clock that never goes back."""

    def __init__(
        self,
        db: Queries,
        staging: Staging,
        admission: RoomAdmission,
        checks: SignatureChecks,
        edus: Edus,
        out_of_band: OutOfBand,
        queues: Offer,
        accounts: Accounts,
        seconds: Callable[[], float],
    ) -> None:
        self._db = db
        self._staging = staging
        self._admission = admission
        self._checks = checks
        self._edus = edus
        self._out_of_band = out_of_band
        self._queues = queues
        self._accounts = accounts
        self._answered = Answered(seconds)
        self._seconds = seconds
        self._counted = Bounded[str, tuple[float, int]](MAXIMUM_COUNTED)

    async def receive(self, origin: str, body: dict[str, Any], key: bytes) -> Results:
        """What became of each event, by its id; `key` is of the transaction and all its bytes. 400 `M_BAD_JSON`,
        413 `M_TOO_LARGE`, 429 `M_LIMIT_EXCEEDED`."""
        answered = self._answered.find(key)
        if answered is not None:
            self._accounts.charge(origin, prices.REPEATED)
            return answered
        results = await self._receive(origin, body)
        self._answered.keep(key, results)
        return results

    async def _receive(self, origin: str, body: dict[str, Any]) -> Results:
        if body.get("origin", origin) != origin:
            raise forbidden(f"The transaction says that it is of another server than {origin}, which sent it")
        pdus, edus = _list(body, "pdus"), _list(body, "edus")
        if len(pdus) > MAXIMUM_PDUS or len(edus) > MAXIMUM_EDUS:
            raise too_large(f"A transaction has at most {MAXIMUM_PDUS} PDUs and {MAXIMUM_EDUS} EDUs; send it in parts")
        # Both at once: what is ephemeral never waits for events. But these enter their rooms after it, since an
        # encrypted message is of use to those who have its key.
        staged: dict[str, list[ReceivedPdu]] = {}
        try:
            results, ignored = await _both(self._receive_pdus(origin, pdus, staged), self._edus.apply(origin, edus))
        finally:
            for room_id, of_room in staged.items():
                self._queues.offer(room_id, origin, of_room)
        refused = sum("error" in result for result in results.values())
        if refused or ignored:
            self._accounts.charge(origin, refused * prices.REFUSED_PDU + ignored * prices.IGNORED_EDU)
        return results

    async def _receive_pdus(self, origin: str, pdus: Sequence[Any], staged: dict[str, list[ReceivedPdu]]) -> Results:
        """What is kept goes into `staged`, by room."""
        if not pdus:
            return {}
        await self._check_backlog(origin, len(pdus))
        by_room: dict[str, list[dict[str, Any]]] = {}
        for pdu in pdus:
            room_id = _room_of(pdu)
            if room_id is not None:
                by_room.setdefault(room_id, []).append(pdu)
        standings = await self._admission.standings(list(by_room), origin)
        results: Results = {}
        well_formed: list[ReceivedPdu] = []
        for room_id, of_room in by_room.items():
            for pdu in of_room:
                event = await self._read(origin, pdu, standings[room_id], results)
                if event is not None:
                    well_formed.append(event)
        failures = await self._checks.failures(well_formed)
        for event_id, reason in failures.items():
            results[event_id] = {"error": reason}
        await self._stage(origin, [event for event in well_formed if event.event_id not in failures], results, staged)
        return results

    async def _read(
        self, origin: str, pdu: dict[str, Any], standing: RoomStanding, results: Results
    ) -> ReceivedPdu | None:
        version = standing.version
        if version is None or not (standing.joined or standing.joining):
            error = await self._out_of_band.apply(origin, pdu)
            # Of a room that is not known the version can only be guessed; its sender looks at ids for its log at most.
            named = pdu.get("event_id") if version is None else None
            named = named if isinstance(named, str) else _id_of(pdu, version or GUESSED_VERSION)
            if named is not None:
                results[named] = {} if error is None else {"error": error}
            return None
        try:
            event = read_pdu(pdu, version)
        except MatrixError as error:
            named = _id_of(pdu, version)
            if named is not None:
                results[named] = {"error": error.error}
            return None
        if not standing.allows(origin):
            results[event.event_id] = {"error": f"The access control list of this room denies {origin}"}
            return None
        return event

    async def _stage(
        self, origin: str, events: Sequence[ReceivedPdu], results: Results, staged: dict[str, list[ReceivedPdu]]
    ) -> None:
        if not events:
            return
        await self._staging.keep(
            [StagedPdu(event.event.room_id, event.event_id, origin, event.encoded) for event in events]
        )
        for event in events:
            staged.setdefault(event.event.room_id, []).append(event)
            results[event.event_id] = {}

    async def _check_backlog(self, origin: str, more: int) -> None:
        now = self._seconds()
        counted_at, count = self._counted.pop(origin, (float("-inf"), 0))
        if now - counted_at >= COUNTED_FOR_S:
            counted_at, count = now, await inbound_pdus.count_of_origin(self._db, origin)
        self._counted[origin] = (counted_at, count + more)
        if count > ORIGIN_BACKLOG:
            raise limit_exceeded(RETRY_AFTER_MS)


async def _both(one: Awaitable[Results], other: Awaitable[int]) -> tuple[Results, int]:
    """Both at the same time; the first failure is raised when both have ended."""
    started: list[Deferred[Any]] = [Deferred.fromCoroutine(_awaited(work)) for work in (one, other)]
    (_, first), (_, second) = outcomes = await DeferredList(started, consumeErrors=True)
    for succeeded, outcome in outcomes:
        if not succeeded:
            outcome.raiseException()
    return first, second


async def _awaited(work: Awaitable[Any]) -> Any:
    return await work


def _list(body: dict[str, Any], name: str) -> list[Any]:
    value = body.get(name, [])
    if not isinstance(value, list):
        raise bad_json(f"`{name}` must be a list")
    return value


def _room_of(pdu: object) -> str | None:
    """The room that an event says it is of. Those of no room cannot even be named in the answer."""
    room_id = pdu.get("room_id") if isinstance(pdu, dict) else None
    return room_id if is_room_id(room_id) else None


def _id_of(pdu: dict[str, Any], version: Any) -> str | None:
    """The id of an ill-formed event, if it has one."""
    try:
        return hashes.event_id(pdu, version)
    except (KeyError, TypeError, ValueError, AttributeError, AssertionError):
        return None
