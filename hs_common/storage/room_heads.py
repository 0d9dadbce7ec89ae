"""What the master reads to append to rooms: heads, state entries by key, and events that others refer to.

Every function takes many at once: a batch of calls costs one statement of each kind. Reads only.
"""

from collections.abc import Sequence

from hs_common.storage.queries import Queries, Row


async def newest_events(db: Queries, room_ids: Sequence[str]) -> list[Row]:
    """Rows (room_id, event_id, json) of the newest live event of each room.

    Imported ones (4) are outside the graph; and a redaction that waited for what it redacts is older than its place.
    """
    return await db.fetch(
        "SELECT r.room_id, newest.event_id, newest.json "
        "FROM unnest(%s::text[]) AS r (room_id) "
        "CROSS JOIN LATERAL (SELECT e.event_id, e.json FROM timeline AS t JOIN events AS e ON e.event_id = t.event_id "
        "WHERE t.room_id = r.room_id AND t.order_sub = 0 AND e.status <> 4 AND e.pos >= t.order_pos "
        "ORDER BY t.order_pos DESC LIMIT 1)"
        " AS newest",
        [list(room_ids)],
    )


async def forks(db: Queries, room_ids: Sequence[str]) -> list[Row]:
    """Rows (room_id, event_ids, depth) of rooms with several forward extremities."""
    return await db.fetch("SELECT room_id, event_ids, depth FROM room_fork WHERE room_id = ANY(%s)", [list(room_ids)])


async def state_positions(db: Queries, room_ids: Sequence[str]) -> list[Row]:
    """Rows (room_id, position of the last change of its state)."""
    return await db.fetch(
        "SELECT r.room_id, greatest("
        "(SELECT max(from_pos) FROM state WHERE state.room_id = r.room_id), "
        "(SELECT max(to_pos) FROM state WHERE state.room_id = r.room_id AND to_pos < 9223372036854775807)) "
        "FROM unnest(%s::text[]) AS r (room_id)",
        [list(room_ids)],
    )


async def joined_by_server(db: Queries, room_ids: Sequence[str]) -> list[Row]:
    """Rows (room_id, server, joined members)."""
    return await db.fetch(
        "SELECT room_id, substr(state_key, strpos(state_key, ':') + 1) AS server, count(*) FROM state "
        "WHERE room_id = ANY(%s) AND type = 'm.room.member' AND membership = 'join' AND to_pos = 9223372036854775807 "
        "GROUP BY room_id, server",
        [list(room_ids)],
    )


async def state_entries(db: Queries, keys: Sequence[tuple[str, str, str]]) -> list[Row]:
    """Rows (room_id, type, state_key, event_id, json) for (room_id, type, state_key) now in the resolved state."""
    room_ids, types, state_keys = zip(*keys, strict=True)
    return await db.fetch(
        # Written so that only the primary key serves it: by statistics of a time when the room was small, all that held
        # in it was read.
        "SELECT k.room_id, k.type, k.state_key, s.event_id, e.json "
        "FROM unnest(%s::text[], %s::text[], %s::text[]) AS k (room_id, type, state_key) "
        "CROSS JOIN LATERAL (SELECT event_id FROM state WHERE room_id = k.room_id AND type = k.type "
        "AND state_key = k.state_key AND to_pos + 0 = 9223372036854775807 OFFSET 0) AS s "
        "JOIN events AS e ON e.event_id = s.event_id",
        [list(room_ids), list(types), list(state_keys)],
    )


async def known_events(db: Queries, event_ids: Sequence[str]) -> list[Row]:
    """Rows (event_id, room version, json, redacted_by, order_pos, order_sub, thread_root) of events that may be shown.

    State from before this server was in the room has no place in the timeline: it comes first.
    """
    return await db.fetch(
        "SELECT e.event_id, r.version, e.json, e.redacted_by, coalesce(t.order_pos, 0), coalesce(t.order_sub, 0), "
        "t.thread_root FROM events AS e LEFT JOIN timeline AS t ON t.event_id = e.event_id "
        "JOIN rooms AS r ON r.room_id = e.room_id "
        "WHERE e.event_id = ANY(%s) AND (t.event_id IS NOT NULL OR e.status = 3)",
        [list(event_ids)],
    )


async def annotations(db: Queries, keys: Sequence[tuple[str, str, str, str]]) -> list[Row]:
    """Rows (parent_id, sender, type, key, event_id) of the annotations that exist among the given first four."""
    parents, senders, types, annotation_keys = zip(*keys, strict=True)
    return await db.fetch(
        "SELECT r.parent_id, r.sender, r.type, r.key, r.event_id "
        "FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[]) AS k (parent_id, sender, type, key) "
        "JOIN relations AS r ON r.parent_id = k.parent_id AND r.rel_type = 'm.annotation' "
        "AND r.sender = k.sender AND r.type = k.type AND r.key = k.key",
        [list(parents), list(senders), list(types), list(annotation_keys)],
    )
