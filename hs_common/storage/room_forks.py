"""What the master reads to place events of other servers: where the events they cite stand, and the state there.

A state is told as a position, whose resolved state it is, and overrides (`state_delta`). Reads only.
"""

from collections.abc import Sequence
from typing import Final

from hs_common.storage.queries import Queries, Row

ACCEPTED, SOFT_FAILED, REJECTED, WITHOUT_STATE = range(4)
"""The values of `events.status`; 4 is `imports.IMPORTED`."""
ASIDE = (SOFT_FAILED, REJECTED)
"""Events with a state that nobody is shown."""
OUT_OF_BAND = 5
"""Kept for the user alone whom it invites: its auth events are not here, so to the room it is not here either."""


async def standings(db: Queries, event_ids: Sequence[str]) -> dict[str, int]:
    """The status of those of the events that are here."""
    rows = await db.fetch(
        "SELECT event_id, status FROM events WHERE event_id = ANY(%s) AND status <> 5", [list(event_ids)]
    )
    return dict(rows)


async def events(db: Queries, event_ids: Sequence[str]) -> list[Row]:
    """Rows (event_id, status, json) of those of the events that are here."""
    return await db.fetch(
        "SELECT event_id, status, json FROM events WHERE event_id = ANY(%s) AND status <> 5", [list(event_ids)]
    )


async def citing(db: Queries, event_ids: Sequence[str]) -> list[Row]:
    """Rows (event_id, status, json, absent or NULL): as `events`; of those that are kept aside, what is missing behind
    them (ids, one space between), where that was noted."""
    return await db.fetch(
        "SELECT e.event_id, e.status, e.json, a.absent FROM events AS e"
        " LEFT JOIN event_state AS a ON a.event_id = e.event_id WHERE e.event_id = ANY(%s) AND e.status <> 5",
        [list(event_ids)],
    )


async def places(db: Queries, event_ids: Sequence[str]) -> list[Row]:
    """Rows (event_id, status, json, pos or NULL, state_pos, delta_id) of events whose state before them is known.

    Of history that was found later only a part of the state is known. A redaction that waited for what it redacts, so
    that it is older than its place, has the state before it where it had it while it was kept aside.
    """
    return await db.fetch(
        "SELECT e.event_id, e.status, e.json, t.order_pos, t.state_pos, t.delta_id"
        " FROM events AS e JOIN timeline AS t ON t.event_id = e.event_id"
        " WHERE e.event_id = ANY(%s) AND t.order_sub = 0 AND e.pos >= t.order_pos"
        " UNION ALL SELECT e.event_id, e.status, e.json, NULL, a.state_pos, a.delta_id"
        " FROM events AS e JOIN event_state AS a ON a.event_id = e.event_id"
        " WHERE e.event_id = ANY(%s) AND NOT a.is_partial",
        [list(event_ids), list(event_ids)],
    )


async def deltas(db: Queries, delta_ids: Sequence[int]) -> list[Row]:
    """Rows (delta_id, type, state_key, event_id or NULL)."""
    return await db.fetch(
        "SELECT delta_id, type, state_key, event_id FROM state_delta WHERE delta_id = ANY(%s)", [list(delta_ids)]
    )


async def changed_since(db: Queries, room_id: str, pos: int) -> list[Row]:
    """Rows (type, state_key, event_id then or NULL, event_id now or NULL) of what changed in the resolved state."""
    return await db.fetch(
        "SELECT k.type, k.state_key, past.event_id, present.event_id FROM ("
        "SELECT type, state_key FROM state WHERE room_id = %s AND from_pos > %s"
        " UNION SELECT type, state_key FROM state WHERE room_id = %s AND to_pos > %s AND to_pos < 9223372036854775807"
        ") AS k LEFT JOIN state AS past ON past.room_id = %s AND past.type = k.type AND past.state_key = k.state_key"
        " AND past.from_pos <= %s AND past.to_pos > %s"
        " LEFT JOIN state AS present ON present.room_id = %s AND present.type = k.type"
        " AND present.state_key = k.state_key AND present.to_pos = 9223372036854775807",
        [room_id, pos, room_id, pos, room_id, pos, pos, room_id],
    )


async def changes_between(db: Queries, room_id: str, after: int, to: int) -> list[Row]:
    """Rows (type, state_key, event_id, from_pos, to_pos) that begin or end in (after, to]."""
    return await db.fetch(
        "SELECT type, state_key, event_id, from_pos, to_pos FROM state"
        " WHERE room_id = %s AND from_pos > %s AND from_pos <= %s"
        " UNION SELECT type, state_key, event_id, from_pos, to_pos FROM state"
        " WHERE room_id = %s AND to_pos > %s AND to_pos <= %s",
        [room_id, after, to, room_id, after, to],
    )


async def current_state(db: Queries, room_id: str) -> list[Row]:
    """Rows (type, state_key, event_id, membership) of the whole resolved state."""
    return await db.fetch(
        "SELECT type, state_key, event_id, membership FROM state WHERE room_id = %s AND to_pos = 9223372036854775807",
        [room_id],
    )


async def state_facts(db: Queries, event_ids: Sequence[str]) -> list[Row]:
    """Rows (event_id, status, type, state_key, membership) of state events, taken from what they say."""
    return await db.fetch(
        "SELECT event_id, status, pdu->>'type', pdu->>'state_key', pdu->'content'->>'membership' FROM ("
        "SELECT event_id, status, json::json AS pdu FROM events WHERE event_id = ANY(%s) AND status <> 5) AS e",
        [list(event_ids)],
    )


async def arrivals(db: Queries, event_ids: Sequence[str]) -> list[Row]:
    """Rows (event_id, status, what redacted it or NULL, NULL, NULL) of those of the events that are here, and rows
    (event_id, NULL, redaction's id, its json, by_power) of those whose redactions came before them."""
    return await db.fetch(
        "SELECT event_id, status, redacted_by, NULL, NULL::boolean FROM events"
        " WHERE event_id = ANY(%s) AND status <> 5"
        " UNION ALL SELECT h.target_id, NULL, h.event_id, e.json, h.by_power"
        " FROM held_redactions AS h JOIN events AS e ON e.event_id = h.event_id WHERE h.target_id = ANY(%s)",
        [list(event_ids), list(event_ids)],
    )


_WAITING: Final = (
    "SELECT h.target_id, e.event_id, e.json, e.status, h.by_power, h.order_pos, h.order_sub,"
    " a.state_pos, a.delta_id, a.absent FROM held_redactions AS h JOIN events AS e ON e.event_id = h.event_id"
    " LEFT JOIN event_state AS a ON a.event_id = h.event_id WHERE h.room_id = %s AND h.target_id = ANY(%s)"
)


async def waiting_redactions(db: Queries, room_id: str, target_ids: Sequence[str], limit: int) -> list[Row]:
    """Rows (target_id, event_id, json, status, by_power, order_pos, order_sub, state_pos, delta_id, absent) of the
    redactions that wait for those of these events that are here, in the order in which they came."""
    return await db.fetch(
        f"{_WAITING} AND EXISTS (SELECT FROM events AS t WHERE t.event_id = h.target_id AND t.status IN (0, 3, 4))"
        " ORDER BY e.pos LIMIT %s",
        [room_id, list(target_ids), limit],
    )


async def waiting_for(db: Queries, room_id: str, target_ids: Sequence[str], limit: int) -> list[Row]:
    """Rows as those of `waiting_redactions`, of events that are not here yet."""
    return await db.fetch(
        f"{_WAITING} ORDER BY e.pos LIMIT %s",
        [room_id, list(target_ids), limit],
    )


async def came_meanwhile(db: Queries, room_id: str, limit: int) -> list[str]:
    """Events of a room that redactions wait for, and that are here, whichever way they came."""
    rows = await db.fetch(
        "SELECT DISTINCT h.target_id FROM held_redactions AS h JOIN events AS e ON e.event_id = h.target_id"
        " WHERE h.room_id = %s AND e.status IN (0, 3, 4) LIMIT %s",
        [room_id, limit],
    )
    return [target_id for (target_id,) in rows]


async def local_memberships(db: Queries, room_id: str) -> list[Row]:
    """Rows (user_id, membership, event_id) of this server's users, as they are now."""
    return await db.fetch(
        "SELECT user_id, membership, event_id FROM local_membership"
        " WHERE room_id = %s AND to_pos = 9223372036854775807",
        [room_id],
    )


async def local_membership(db: Queries, room_id: str, user_id: str) -> Row | None:
    """(membership, event_id, out_of_band, stripped_state) of one of this server's users."""
    return await db.fetch_one(
        "SELECT membership, event_id, out_of_band, stripped_state FROM local_membership"
        " WHERE user_id = %s AND to_pos = 9223372036854775807 AND room_id = %s",
        [user_id, room_id],
    )


async def servers(db: Queries, room_id: str) -> list[str]:
    """The servers with joined users in the room."""
    rows = await db.fetch(
        "SELECT server FROM room_servers WHERE room_id = %s AND to_pos = 9223372036854775807", [room_id]
    )
    return [server for (server,) in rows]


async def gap(db: Queries, room_id: str, before_pos: int) -> Row | None:
    """(next_sub, wanted)."""
    return await db.fetch_one(
        "SELECT next_sub, wanted FROM room_gap WHERE room_id = %s AND before_pos = %s", [room_id, before_pos]
    )


async def current_entries(db: Queries, room_id: str, keys: Sequence[tuple[str, str]]) -> list[Row]:
    """Rows (type, state_key, event_id) of those of the places that are filled in the resolved state."""
    types, state_keys = zip(*keys, strict=True)
    return await db.fetch(
        "SELECT s.type, s.state_key, s.event_id FROM unnest(%s::text[], %s::text[]) AS k (type, state_key)"
        " JOIN state AS s ON s.room_id = %s AND s.type = k.type AND s.state_key = k.state_key"
        " AND s.to_pos = 9223372036854775807",
        [list(types), list(state_keys), room_id],
    )


async def state_pos_at(db: Queries, room_id: str, order_pos: int) -> int:
    """The position whose state held before the live event at a place."""
    row = await db.fetch_one(
        "SELECT state_pos FROM timeline WHERE room_id = %s AND order_pos = %s AND order_sub = 0", [room_id, order_pos]
    )
    return 0 if row is None else int(row[0])
