"""Deciding on history that bridges bring: into a room's past, or behind its newest event.

An id that a bridge chose cannot be a reference hash, so an event under one stays outside the event graph: nothing
cites it, its place in the timeline is all it has, and other servers never hear of it. Where others are in the room,
what comes behind the newest event is therefore sent as any other event, under an id of ours.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from hs_common.matrix.canonical_json import check
from hs_common.matrix.errors import MatrixError, bad_json, invalid_param, not_found, too_large
from hs_common.matrix.limits import MAX_ID_BYTES
from hs_common.matrix.room_versions import ROOM_VERSIONS, RoomVersion
from hs_common.replication.calls import Intent
from hs_common.replication.import_calls import AppendImported, Imported, ImportedEvent, ImportHistory
from hs_common.storage import imports, room_forks, room_state
from hs_common.storage.queries import Queries
from hs_master import tables
from hs_master.decisions.events import EventAppender, needs_of
from hs_master.rooms import references
from hs_master.rooms.append import Place, Source, append
from hs_master.rooms.compose import Composed, Composer
from hs_master.rooms.head import RoomDraft
from hs_master.rooms.needs import Needs
from hs_master.rooms.search import write_search
from hs_master.step import Knowledge, Step

MAXIMUM_EVENTS: Final = 200
"""Of one call: one item of a batch stays small."""


def chosen_id(event: ImportedEvent, version: RoomVersion, server_name: str) -> str | None:
    """The bridge's id, if the event can have it: one that no event of another server can ever have."""
    event_id = event.event_id
    if event_id is None or not event_id.startswith("$") or len(event_id.encode()) > MAX_ID_BYTES:
        return None
    if version.event_id_is_hash:
        return event_id if ":" in event_id else None  # hashes have no colon
    return event_id if event_id.endswith(":" + server_name) else None


def _check(events: Sequence[ImportedEvent]) -> None:
    if len(events) > MAXIMUM_EVENTS:
        raise too_large(f"At most {MAXIMUM_EVENTS} events fit into one call")
    for event in events:
        try:
            check(event.content)
            check(event.type)
            check(event.event_id)
        except ValueError as error:
            raise bad_json(f"An event cannot be expressed in canonical JSON: {error}") from error
        if len(event.type.encode()) > MAX_ID_BYTES or len(event.sender.encode()) > MAX_ID_BYTES:
            raise too_large(f"`type` and `sender` have at most {MAX_ID_BYTES} bytes")


def _pdu(event: ImportedEvent, room_id: str, depth: int, previous: str | None) -> dict[str, Any]:
    return {
        "room_id": room_id,
        "sender": event.sender,
        "type": event.type,
        "content": event.content,
        "origin_server_ts": event.timestamp_ms,
        "depth": depth,
        "prev_events": [] if previous is None else [previous],
        "auth_events": [],
    }


class _Loaded(NamedTuple):
    composed: list[Composed]
    rooms: dict[str, str]
    anchor: tuple[int, int, int | None, int]
    gap: tuple[int, str] | None


class ImportHistoryDecider:
    """Decides `ImportHistory`. What is dear, hashing and signing, is done before it is decided."""

    def __init__(self, composer: Composer, server_name: str) -> None:
        self._composer = composer
        self._server_name = server_name

    def queue(self, call: ImportHistory) -> str:
        return f"history {call.room_id}"

    async def load(self, call: ImportHistory, db: Queries) -> _Loaded | MatrixError | None:
        identifier = await room_state.room_version(db, call.room_id)
        anchor = await imports.anchor(db, call.room_id)
        if identifier is None or anchor is None:
            return None
        try:
            composed = self._compose(call, ROOM_VERSIONS[identifier])
        except MatrixError as error:
            return error
        rooms = await imports.rooms_of(db, [one.event.event_id for one in composed])
        gap = await room_forks.gap(db, call.room_id, anchor[0])
        place = (anchor[0], anchor[1], anchor[2], anchor[3])
        return _Loaded(composed, rooms, place, None if gap is None else (gap[0], " ".join(gap[1])))

    def _compose(self, call: ImportHistory, version: RoomVersion) -> list[Composed]:
        _check(call.events)
        composed: list[Composed] = []
        for event in call.events:
            previous = composed[-1].event.event_id if composed else None
            wanted = chosen_id(event, version, self._server_name)
            composed.append(self._composer.seal(_pdu(event, call.room_id, 1, previous), version, wanted))
        return composed

    def decide(self, call: ImportHistory, step: Step, loaded: _Loaded | MatrixError | None) -> Imported:
        if loaded is None:
            raise not_found(f"This server does not know the room {call.room_id}")
        if isinstance(loaded, MatrixError):
            raise loaded
        before_pos, _, _, lowest = loaded.anchor
        next_sub = lowest - 1 if loaded.gap is None else loaded.gap[0]
        for one in reversed(loaded.composed):
            known_in = loaded.rooms.get(one.event.event_id)
            if known_in is None:
                self._write(step, one, loaded.anchor, next_sub)
                next_sub -= 1
            elif known_in != call.room_id:
                raise invalid_param(f"{one.event.event_id} is an event of another room")
        if loaded.gap is not None:
            key = (call.room_id, str(before_pos))
            step.upsert(tables.GAP, key, call.room_id, before_pos, next_sub, loaded.gap[1], 0, 0)
        return Imported(pos=step.pos, event_ids=[one.event.event_id for one in loaded.composed])

    @staticmethod
    def _write(step: Step, one: Composed, anchor: tuple[int, int, int | None, int], sub: int) -> None:
        event, (before_pos, state_pos, delta_id, _) = one.event, anchor
        relation = references.relation_of(event.content)
        root = references.thread_root(step, relation)
        step.pos += 1
        event_id, room_id, ts = event.event_id, event.room_id, event.origin_server_ts
        step.row(tables.EVENT, event_id, room_id, step.pos, imports.IMPORTED, None, None, one.encoded.decode())
        place = (room_id, before_pos, sub, event_id, event.sender, event.type, None, ts)
        step.row(tables.TIMELINE, *place, root, 0, state_pos, delta_id, None, None)
        references.write_relation(step, event, relation, before_pos, sub)
        write_search(step, event, step.pos)


class AppendImportedDecider:
    """Decides `AppendImported`."""

    def __init__(self, appender: EventAppender, composer: Composer) -> None:
        self._appender = appender
        self._composer = composer

    def queue(self, call: AppendImported) -> str:
        return call.room_id

    def rooms(self, call: AppendImported) -> list[str]:
        return [call.room_id]

    def needs(self, call: AppendImported, knowledge: Knowledge) -> list[Needs]:
        server_name = self._appender.server_name
        needs = [needs_of(_intent(call, event), knowledge, server_name) for event in call.events]
        found = [need for need in needs if need is not None]
        if found:
            found[0].events += [event.event_id for event in call.events if event.event_id is not None]
        return found

    def decide(self, call: AppendImported, step: Step) -> Imported:
        _check(call.events)
        room = step.room(call.room_id)
        if room is None:
            raise not_found(f"This server does not know the room {call.room_id}")
        is_ours_alone = room.joined == room.server_joined(self._appender.server_name)
        event_ids = [self._append(step, call, room, event, is_ours_alone) for event in call.events]
        return Imported(pos=step.pos, event_ids=event_ids)

    def _append(
        self, step: Step, call: AppendImported, room: RoomDraft, event: ImportedEvent, is_ours_alone: bool
    ) -> str:
        wanted = chosen_id(event, room.version, self._appender.server_name)
        known = None if wanted is None else step.known_event(wanted)
        if known is not None and wanted is not None:
            if known.event.room_id != call.room_id:
                raise invalid_param(f"{wanted} is an event of another room")
            return wanted
        is_imported = is_ours_alone and wanted is not None
        source = Source(is_silent=not call.notify, is_imported=is_imported, introduced=not is_imported)
        if not is_imported:
            return self._appender.append_intent(step, _intent(call, event), source)
        composed = self._composer.seal(_pdu(event, call.room_id, room.depth, None), room.version, wanted)
        place = Place(room.state_pos, None, {}, None, room.extremities)
        append(step, room, composed.event, composed.encoded, self._appender.server_name, source, place)
        return composed.event.event_id


def _intent(call: AppendImported, event: ImportedEvent) -> Intent:
    return Intent(
        room_id=call.room_id,
        sender=event.sender,
        type=event.type,
        content=event.content,
        timestamp_ms=event.timestamp_ms,
    )
