"""Events as application services get them: the format for clients, with what `unsigned` holds for a reader of all.

A batch costs one statement for the events that others replaced or redacted, and one for invites, if there are any.

Spec: application-service-api/#pushing-events; client-server-api/#room-event-format.
"""

from collections.abc import Sequence
from typing import Any

import orjson

from hs_common.matrix import client_event
from hs_common.matrix.event import Event
from hs_common.matrix.room_versions import ROOM_VERSIONS
from hs_common.storage import service_queue
from hs_common.storage.queries import Queries, Row


async def encode_events(db: Queries, rows: Sequence[Row], now_ms: int) -> list[bytes]:
    """Rows of `service_queue.events` as JSON, in their order. `now_ms` is the time of day."""
    events = [_event(row[1], row[3], row[6]) for row in rows]
    referred = await _referred(db, rows)
    stripped = await _stripped_states(db, events)
    return [
        client_event.close(
            client_event.fragment(event), _unsigned(event, row, referred, stripped, now_ms), event.room_id
        )
        for event, row in zip(events, rows, strict=True)
    ]


def _event(event_id: str, version: str, json: str) -> Event:
    return Event.from_pdu(orjson.loads(json), ROOM_VERSIONS[version], event_id)


def _unsigned(
    event: Event, row: Row, referred: dict[str, Event], stripped: dict[str, str], now_ms: int
) -> dict[str, Any]:
    replaced, redacted_by = referred.get(row[4] or ""), referred.get(row[5] or "")
    unsigned: dict[str, Any] = {"age": now_ms - event.origin_server_ts}
    if row[4] is not None:
        unsigned["replaces_state"] = row[4]
    if replaced is not None:
        unsigned["prev_content"] = replaced.content
        unsigned["prev_sender"] = replaced.sender
    if redacted_by is not None:
        unsigned["redacted_because"] = client_event.client_json(redacted_by)
    if event.event_id in stripped:
        unsigned["invite_room_state"] = orjson.loads(stripped[event.event_id])
    return unsigned


async def _referred(db: Queries, rows: Sequence[Row]) -> dict[str, Event]:
    wanted = {event_id for row in rows for event_id in (row[4], row[5]) if event_id is not None}
    if not wanted:
        return {}
    found = await service_queue.referred(db, sorted(wanted))
    return {event_id: _event(event_id, version, json) for event_id, version, json in found}


async def _stripped_states(db: Queries, events: Sequence[Event]) -> dict[str, str]:
    invites = [event for event in events if event.type == "m.room.member" and event.membership == "invite"]
    if not invites:
        return {}
    targets = {event.state_key for event in invites if event.state_key is not None}
    return await service_queue.stripped_states(db, sorted(targets), [event.event_id for event in invites])
