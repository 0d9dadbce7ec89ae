"""Entering rooms through other servers: template, signature, the room's state, and all of it in one step at the master.

Joins of one room are made one after the other, in this process by waiting here and among processes by a row: whoever
waited finds the room joined. What other servers send for the room meanwhile is kept by them who receive it, because of
the same row. What a join that fails has stored is swept away.

Spec: server-server API, #joining-rooms, #restricted-rooms.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

from twisted.logger import Logger

from hs_common.federation.fetching import Fetching, Room
from hs_common.federation.interfaces import Remote
from hs_common.federation.join_leases import HELD_S, JoinLease
from hs_common.federation.signatures import SignatureChecks
from hs_common.federation.sweeping import sweep
from hs_common.federation.templates import Template, Templates
from hs_common.federation.told_state import BULK, ToldState
from hs_common.matrix.errors import MatrixError, not_found, unknown
from hs_common.matrix.received_pdu import ReceivedPdu, read_pdu_of, with_signatures
from hs_common.replication.clock import Clock, pause
from hs_common.replication.federation_calls import AdoptRoom, Pdu
from hs_common.replication.link_interface import Link
from hs_common.storage import federated_rooms
from hs_common.storage.queries import Queries
from hs_common.under_way import UnderWay

SERVERS_TRIED: Final = 10
"""A server that does not answer costs ten seconds."""
LOGGED_EVENTS: Final = 10_000
"""After so many events of an answer the log tells how far it is: every few seconds."""
WAIT_S: Final = 0.5
"""Between two looks whether another process has joined the room."""
FINAL: Final = ("M_FORBIDDEN", "M_INCOMPATIBLE_ROOM_VERSION", "M_UNSUPPORTED_ROOM_VERSION")
"""What another server of the room would say as well."""

_log = Logger()


class RemoteJoins:
    """Joins rooms. `uuid` gives random ones, `on_progress` is told how many more events of an answer have come."""

    def __init__(
        self,
        db: Queries,
        master: Link,
        remote: Remote,
        templates: Templates,
        checks: SignatureChecks,
        fetching: Fetching,
        clock: Clock,
        uuid: Callable[[], str],
        on_progress: Callable[[int], None] = lambda events: None,
    ) -> None:
        self._db = db
        self._master = master
        self._remote = remote
        self._templates = templates
        self._checks = checks
        self._fetching = fetching
        self._clock = clock
        self._uuid = uuid
        self._on_progress = on_progress
        self._under_way = UnderWay[str]()

    def __len__(self) -> int:
        return len(self._under_way)

    async def join(self, room_id: str, user_id: str, content: Mapping[str, Any], servers: Iterable[str]) -> bool:
        """Join through one of the servers, the likeliest first. False if somebody else was just joining the room: it
        may be known here by now. Raises MatrixError: what the last of the servers had against it."""
        if room_id in self._under_way:
            await self._under_way.end_of(room_id)
            return False
        with self._under_way.begun(room_id):
            return await self._join(room_id, user_id, content, [*dict.fromkeys(servers)][:SERVERS_TRIED])

    async def _join(self, room_id: str, user_id: str, content: Mapping[str, Any], servers: Sequence[str]) -> bool:
        failure: MatrixError = not_found("No server is known through which this room could be joined")
        for server in servers:
            try:
                template = await self._templates.ask(server, room_id, user_id, "join", None)
                return await self._attempt(template, user_id, content)
            except MatrixError as error:
                _log.info("{room} cannot be joined through {server}: {error}", room=room_id, server=server, error=error)
                failure = _worse(failure, error)
                if error.errcode in FINAL:
                    break
        raise failure

    async def _attempt(self, template: Template, user_id: str, content: Mapping[str, Any]) -> bool:
        room, attempt = template.room, self._uuid()
        version = room.version.identifier
        if not await federated_rooms.begin_joining(self._db, room.room_id, version, attempt, HELD_S):
            while await federated_rooms.is_being_joined(self._db, room.room_id):
                await pause(self._clock, WAIT_S)
            return False
        lease = JoinLease(self._db, self._clock, room.room_id, attempt)
        lease.start()
        try:
            await self._enter(template, self._templates.signed(template, user_id, content), lease)
        except Exception:
            lease.stop()
            await sweep(self._db, self._master, room.room_id, attempt)
            raise
        lease.stop()
        await federated_rooms.end_joining(self._db, room.room_id, attempt)
        return True

    async def _enter(self, template: Template, join: ReceivedPdu, lease: JoinLease) -> None:
        room = template.room
        told = ToldState(self._fetching, self._master, room)
        path = f"/_matrix/federation/v2/send_join/{quote(room.room_id, safe='')}/{quote(join.event_id, safe='')}"

        async def take(data: bytes) -> None:
            before = told.seen
            lease.check()
            await told.take(data)
            self._on_progress(told.seen - before)
            if told.seen // LOGGED_EVENTS > before // LOGGED_EVENTS:
                _log.info("{room} is being joined: {count} events so far", room=room.room_id, count=told.seen)

        await self._remote.put_streaming(template.server, path, join.event.pdu, take)
        await told.end()
        join = await self._countersigned(join, told.members.get("event"), room)
        _log.info("{room} is being joined: all {count} events are told", room=room.room_id, count=told.seen)
        await told.store()
        lease.check()
        known = await federated_rooms.known_events(self._db, told.state)
        call = AdoptRoom(
            room_id=room.room_id,
            room_version=room.version.identifier,
            event=Pdu(event_id=join.event_id, pdu=join.encoded),
            state=[event_id for event_id in told.state if event_id in known],
        )
        await self._master.call(call, options=BULK)
        _log.info("{room} is joined: {count} events of state", room=room.room_id, count=len(call.state))
        holes = told.left_out + len(told.state) - len(call.state)
        if holes:  # of servers that are gone, as a rule: nobody could join an old room that has one
            _log.warn("{room} is joined without {count} events of its state", room=room.room_id, count=holes)

    async def _countersigned(self, join: ReceivedPdu, answered: object, room: Room) -> ReceivedPdu:
        """The join with what the other server has signed, which a restricted one needs."""
        if isinstance(answered, dict):
            try:
                other = read_pdu_of(answered, room.version, room.room_id)
            except MatrixError as error:
                raise unknown(f"The other server answered another join: {error.error}", 502) from error
            if other.event_id != join.event_id:
                raise unknown("The other server answered another join", 502)
            join = with_signatures(join, {**other.signatures, **join.signatures})
        failures = await self._checks.failures([join])
        if failures:
            raise unknown(f"The join is not signed as it must be: {failures[join.event_id]}", 502)
        return join


def _worse(one: MatrixError, other: MatrixError) -> MatrixError:
    """Which of two failures the user is told: that it is not allowed, rather than that nobody was there."""
    if one.errcode == "M_FORBIDDEN" or (other.status >= 500 and one.status < 500 and one.errcode != "M_NOT_FOUND"):
        return one
    if other.errcode in ("M_MISSING_PARAM", "M_INVALID_PARAM"):
        return unknown(f"The other server refused the join: {other.error}", 502)
    return other
