"""What another server may see of a room: its intervals in the room, and the room's history visibility. Reads only.

What a bridge imported under ids of its own (status 4) is this server's alone: others are never told of it.
"""

from collections.abc import Sequence

from hs_common.storage.queries import Queries, Row


async def standing(db: Queries, room_id: str, server: str, own_server: str) -> Row | None:
    """(version, whether this server is in the room, whether the other is, m.room.server_acl or NULL); None for a room
    that is not known here."""
    return await db.fetch_one(
        """
        SELECT r.version,
               EXISTS (SELECT 1 FROM room_servers WHERE room_id = r.room_id AND server = %(own)s
                          AND to_pos = 9223372036854775807),
               EXISTS (SELECT 1 FROM room_servers WHERE room_id = r.room_id AND server = %(server)s
                          AND to_pos = 9223372036854775807),
               (SELECT e.json FROM state AS s JOIN events AS e ON e.event_id = s.event_id
                 WHERE s.room_id = r.room_id AND s.type = 'm.room.server_acl' AND s.state_key = ''
                   AND s.to_pos = 9223372036854775807)
          FROM rooms AS r WHERE r.room_id = %(room)s
        """,
        {"room": room_id, "server": server, "own": own_server},
    )


async def joined_spans(db: Queries, room_id: str, server: str) -> list[Row]:
    """(from_pos, to_pos) while a server had joined users in the room."""
    return await db.fetch(
        "SELECT from_pos, to_pos FROM room_servers WHERE room_id = %s AND server = %s ORDER BY from_pos",
        (room_id, server),
    )


async def visibilities(db: Queries, room_id: str) -> list[Row]:
    """(from_pos, to_pos, json) of the room's m.room.history_visibility events."""
    return await db.fetch(
        "SELECT s.from_pos, s.to_pos, e.json FROM state AS s JOIN events AS e ON e.event_id = s.event_id"
        " WHERE s.room_id = %s AND s.type = 'm.room.history_visibility' AND s.state_key = '' ORDER BY s.from_pos",
        (room_id,),
    )


async def invited_spans(db: Queries, room_id: str, server: str) -> list[Row]:
    """(from_pos, to_pos) while users of a server were invited."""
    return await db.fetch(
        "SELECT from_pos, to_pos FROM state WHERE room_id = %s AND type = 'm.room.member' AND membership = 'invite'"
        " AND right(state_key, %s) = %s ORDER BY from_pos",
        (room_id, len(server) + 1, f":{server}"),
    )


async def told_as_state(
    db: Queries, room_id: str, server: str, keys: Sequence[tuple[str, str]], event_ids: list[str]
) -> set[str]:
    """Those of the state events, which set these (type, state_key), that were in the room's resolved state while a
    server had joined users in it."""
    types, state_keys = zip(*keys, strict=True)
    rows = await db.fetch(
        "SELECT DISTINCT s.event_id FROM unnest(%s::text[], %s::text[]) AS k (type, state_key)"
        " JOIN state AS s ON s.room_id = %s AND s.type = k.type AND s.state_key = k.state_key"
        " JOIN room_servers AS r ON r.room_id = s.room_id AND r.server = %s"
        " AND r.from_pos <= s.to_pos AND s.from_pos <= r.to_pos WHERE s.event_id = ANY(%s)",
        (list(types), list(state_keys), room_id, server, event_ids),
    )
    return {event_id for (event_id,) in rows}


async def event_room(db: Queries, event_id: str) -> str | None:
    """The room of an event that was neither rejected nor imported."""
    row = await db.fetch_one("SELECT room_id FROM events WHERE event_id = %s AND status NOT IN (2, 4, 5)", (event_id,))
    return None if row is None else str(row[0])


async def event_json(db: Queries, room_id: str, event_ids: list[str]) -> dict[str, str]:
    """The PDUs of those of the events that are here and were not rejected, in a timeline or not."""
    rows = await db.fetch(
        "SELECT event_id, json FROM events WHERE event_id = ANY(%s) AND room_id = %s AND status NOT IN (2, 4, 5)",
        (event_ids, room_id),
    )
    return dict(rows)


async def without_imported(db: Queries, event_ids: list[str]) -> list[str]:
    """Those of the events that no bridge imported, in their order."""
    rows = await db.fetch("SELECT event_id FROM events WHERE event_id = ANY(%s) AND status = 4", (event_ids,))
    imported = {event_id for (event_id,) in rows}
    return [event_id for event_id in event_ids if event_id not in imported]


async def overridden_state(db: Queries, delta_id: int) -> list[Row]:
    """(type, state_key, event_id or NULL, json or NULL) of what a fork has instead of the resolved state."""
    return await db.fetch(
        "SELECT d.type, d.state_key, d.event_id, e.json FROM state_delta AS d"
        " LEFT JOIN events AS e ON e.event_id = d.event_id WHERE d.delta_id = %s",
        (delta_id,),
    )


async def soft_failed(db: Queries, room_id: str, event_ids: list[str]) -> list[Row]:
    """(event_id, state_pos, delta_id, replaces_state, redacted_by, json) of those of the events that soft failed."""
    return await db.fetch(
        "SELECT e.event_id, a.state_pos, a.delta_id, e.replaces_state, e.redacted_by, e.json"
        " FROM events AS e JOIN event_state AS a ON a.event_id = e.event_id"
        " WHERE e.event_id = ANY(%s) AND e.room_id = %s AND e.status = 1",
        (event_ids, room_id),
    )


async def state_before(db: Queries, room_id: str, event_id: str) -> Row | None:
    """(state_pos, delta_id) of an event whose state is known: live, soft failed or rejected; as `room_forks.places`."""
    return await db.fetch_one(
        "SELECT t.state_pos, t.delta_id FROM timeline AS t JOIN events AS e ON e.event_id = t.event_id"
        " WHERE t.event_id = %(event)s AND t.room_id = %(room)s AND t.order_sub = 0 AND e.pos >= t.order_pos"
        " UNION ALL SELECT state_pos, delta_id FROM event_state"
        " WHERE event_id = %(event)s AND room_id = %(room)s AND NOT is_partial",
        {"event": event_id, "room": room_id},
    )
