"""What application services are told of devices: messages to those of their users, device lists, key counts.

A service's users are those whose accounts it has made: of others nothing is taken from their inboxes. Reads only.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from hs_common.storage.queries import Queries, Row

USERS_LIMIT: Final = 10_000
"""Names in one transaction: more than there are in any but the largest rooms; who is left out is asked for by need."""
DEVICES_LIMIT: Final = 1_000
"""Devices of one service whose keys are counted at once; a bridge has one, or some for each of its users."""


class Window(NamedTuple):
    """Up to where one transaction tells; whether there are messages up to there, and more above."""

    upto: int
    has_messages: bool
    is_cut: bool


async def window(db: Queries, service_id: str, after: int, calls: int) -> Window:
    """The head of the log, or the position up to which there are messages of so many calls."""
    row = await db.fetch_one(
        "SELECT h.pos, (SELECT q.pos FROM service_to_device AS q WHERE q.service_id = %(service)s AND q.pos > %(after)s"
        " AND q.pos <= h.pos ORDER BY q.pos OFFSET %(last)s LIMIT 1), EXISTS (SELECT FROM service_to_device AS q"
        " WHERE q.service_id = %(service)s AND q.pos > %(after)s AND q.pos <= h.pos)"
        " FROM (SELECT pos FROM outbox ORDER BY pos DESC LIMIT 1) AS h",
        {"service": service_id, "after": after, "last": calls - 1},
    )
    if row is None:
        return Window(after, False, False)
    head, last, has_messages = row
    return Window(max(after, head) if last is None else last, has_messages, last is not None)


async def messages(db: Queries, service_id: str, after: int, upto: int) -> list[Row]:
    """(user_id, device_id, message) in (after, upto], in order; what a device has fetched itself is not among them."""
    return await db.fetch(
        "SELECT i.user_id, i.device_id, i.message FROM service_to_device AS q"
        " JOIN users AS u ON u.user_id = q.user_id AND u.appservice_id = q.service_id"
        " JOIN inbox AS i ON i.user_id = q.user_id AND i.pos = q.pos"
        " WHERE q.service_id = %s AND q.pos > %s AND q.pos <= %s ORDER BY q.pos, i.user_id, i.device_id",
        (service_id, after, upto),
    )


async def changed_devices(db: Queries, service_id: str, after: int, upto: int) -> set[str]:
    """Users in rooms that interest the service whose devices or keys changed in (after, upto]."""
    rows = await db.fetch(
        "SELECT DISTINCT c.user_id FROM device_list_changes AS c WHERE c.pos > %s AND c.pos <= %s AND EXISTS ("
        " SELECT FROM state AS s JOIN as_room AS a ON a.room_id = s.room_id AND a.service_id = %s"
        " AND a.to_pos = 9223372036854775807 WHERE s.state_key = c.user_id AND s.type = 'm.room.member'"
        " AND s.membership = 'join' AND s.to_pos = 9223372036854775807) LIMIT %s",
        (after, upto, service_id, USERS_LIMIT),
    )
    return {user_id for (user_id,) in rows}


async def came_and_went(db: Queries, positions: Sequence[int], room_ids: Sequence[str]) -> list[Row]:
    """(room_id, user_id, whether he came) of memberships that changed from or to a join at these positions.

    Users without devices are left out; those of other servers may have some.
    """
    return await db.fetch(
        "SELECT s.room_id, s.state_key, s.membership = 'join'"
        " FROM unnest(%s::text[], %s::bigint[]) AS at (room_id, pos)"
        " JOIN state AS s ON s.room_id = at.room_id AND s.from_pos = at.pos AND s.type = 'm.room.member'"
        " LEFT JOIN state AS old ON old.room_id = s.room_id AND old.type = s.type AND old.state_key = s.state_key"
        " AND old.to_pos = s.from_pos"
        " WHERE (s.membership = 'join') <> (old.membership IS NOT DISTINCT FROM 'join')"
        " AND (EXISTS (SELECT FROM devices AS d WHERE d.user_id = s.state_key)"
        " OR NOT EXISTS (SELECT FROM users AS u WHERE u.user_id = s.state_key))",
        (list(room_ids), list(positions)),
    )


async def rooms_entered(db: Queries, service_id: str, positions: Sequence[int], room_ids: Sequence[str]) -> list[str]:
    """Those of the rooms that began to interest the service at one of the positions."""
    rows = await db.fetch(
        "SELECT DISTINCT room_id FROM as_room WHERE service_id = %s AND room_id = ANY(%s) AND from_pos = ANY(%s)",
        (service_id, list(room_ids), list(positions)),
    )
    return [room_id for (room_id,) in rows]


async def members_with_devices(db: Queries, room_ids: Sequence[str]) -> set[str]:
    """Who is joined to any of the rooms and may have devices."""
    rows = await db.fetch(
        "SELECT DISTINCT s.state_key FROM state AS s WHERE s.room_id = ANY(%s) AND s.type = 'm.room.member'"
        " AND s.membership = 'join' AND s.to_pos = 9223372036854775807"
        " AND (EXISTS (SELECT FROM devices AS d WHERE d.user_id = s.state_key)"
        " OR NOT EXISTS (SELECT FROM users AS u WHERE u.user_id = s.state_key)) LIMIT %s",
        (list(room_ids), USERS_LIMIT),
    )
    return {user_id for (user_id,) in rows}


async def still_shared(db: Queries, service_id: str, user_ids: Sequence[str]) -> set[str]:
    """Those of the users who are joined to a room that interests the service."""
    rows = await db.fetch(
        "SELECT o.user_id FROM unnest(%s::text[]) AS o (user_id) WHERE EXISTS ("
        " SELECT FROM state AS s JOIN as_room AS a ON a.room_id = s.room_id AND a.service_id = %s"
        " AND a.to_pos = 9223372036854775807 WHERE s.state_key = o.user_id AND s.type = 'm.room.member'"
        " AND s.membership = 'join' AND s.to_pos = 9223372036854775807)",
        (list(user_ids), service_id),
    )
    return {user_id for (user_id,) in rows}


async def devices_with_keys(db: Queries, service_id: str) -> list[tuple[str, str]]:
    """The devices of the service's users that have published keys."""
    rows = await db.fetch(
        "SELECT k.user_id, k.device_id FROM device_keys AS k JOIN users AS u ON u.user_id = k.user_id"
        " WHERE u.appservice_id = %s ORDER BY k.user_id, k.device_id LIMIT %s",
        (service_id, DEVICES_LIMIT),
    )
    return [(user_id, device_id) for user_id, device_id in rows]


async def own_devices(db: Queries, service_id: str, devices: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Those of the devices that belong to users of the service."""
    rows = await db.fetch(
        "SELECT d.user_id, d.device_id FROM unnest(%s::text[], %s::text[]) AS d (user_id, device_id)"
        " JOIN users AS u ON u.user_id = d.user_id WHERE u.appservice_id = %s ORDER BY d.user_id, d.device_id",
        ([user_id for user_id, _ in devices], [device_id for _, device_id in devices], service_id),
    )
    return [(user_id, device_id) for user_id, device_id in rows]


async def key_states(db: Queries, devices: Sequence[tuple[str, str]]) -> list[Row]:
    """(user_id, device_id, algorithm, how many one-time keys wait, or None: an unused fallback key)."""
    columns = [user_id for user_id, _ in devices], [device_id for _, device_id in devices]
    return await db.fetch(
        "SELECT k.user_id, k.device_id, k.algorithm, count(*)"
        " FROM unnest(%s::text[], %s::text[]) AS d (user_id, device_id)"
        " JOIN one_time_keys AS k USING (user_id, device_id) WHERE k.claimed IS NULL"
        " GROUP BY k.user_id, k.device_id, k.algorithm"
        " UNION ALL SELECT f.user_id, f.device_id, f.algorithm, NULL FROM unnest(%s::text[], %s::text[])"
        " AS d (user_id, device_id) JOIN fallback_keys AS f USING (user_id, device_id) WHERE NOT f.used",
        (*columns, *columns),
    )
