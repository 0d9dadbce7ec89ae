"""What decides whether a reader may see rooms and their events, in one statement. Reads only."""

from collections.abc import Sequence

from hs_common.storage.queries import Queries, Row


async def room_views(db: Queries, room_ids: Sequence[str], user_id: str) -> list[Row]:
    """Rows (room_id, kind, text, from_pos, to_pos), all of one moment.

    `room`: the room's version; missing if the room is unknown here. `member`: the reader's memberships in the state's
    history. `visibility`: the JSON of the m.room.history_visibility events in it. `now`: his membership today;
    from_pos is when it began, to_pos 1 if he has forgotten the room. Of no room: `head`, whose from_pos is the last
    position of the log, `ignored`, the content of his m.ignored_user_list, and `erasures` if any user was erased.
    """
    return await db.fetch(
        """
        SELECT '', 'head', '', coalesce((SELECT pos FROM outbox ORDER BY pos DESC LIMIT 1), 0), 0::bigint
        UNION ALL
        SELECT room_id, 'room', version, pos, 0 FROM rooms WHERE room_id = ANY(%(rooms)s)
        UNION ALL
        SELECT room_id, 'member', membership, from_pos, to_pos FROM state
         WHERE room_id = ANY(%(rooms)s) AND type = 'm.room.member' AND state_key = %(user)s
        UNION ALL
        SELECT s.room_id, 'visibility', e.json, s.from_pos, s.to_pos
          FROM state AS s JOIN events AS e ON e.event_id = s.event_id
         WHERE s.room_id = ANY(%(rooms)s) AND s.type = 'm.room.history_visibility' AND s.state_key = ''
        UNION ALL
        SELECT room_id, 'now', membership, from_pos, CASE WHEN forgotten THEN 1 ELSE 0 END FROM local_membership
         WHERE user_id = %(user)s AND to_pos = 9223372036854775807 AND room_id = ANY(%(rooms)s)
        UNION ALL
        SELECT '', 'ignored', content, 0, 0 FROM account_data
         WHERE user_id = %(user)s AND room_id = '' AND type = 'm.ignored_user_list'
        UNION ALL
        SELECT '', 'erasures', '', 0, 0 WHERE EXISTS (
               -- In the index's order: else the planner reads the whole table while it knows nothing of it.
               SELECT FROM (SELECT user_id FROM users WHERE erased ORDER BY user_id LIMIT 1) AS one)
        """,
        {"rooms": list(room_ids), "user": user_id},
    )


async def overrides(db: Queries, delta_ids: list[int], user_id: str) -> list[Row]:
    """(delta_id, type, json or NULL): what forks have instead of the resolved state, of what decides who may read."""
    return await db.fetch(
        "SELECT d.delta_id, d.type, e.json FROM state_delta AS d LEFT JOIN events AS e ON e.event_id = d.event_id"
        " WHERE d.delta_id = ANY(%s)"
        " AND (d.type, d.state_key) IN (('m.room.history_visibility', ''), ('m.room.member', %s))",
        (delta_ids, user_id),
    )
