"""What decides whether a reader may see rooms and their events, in one statement. Reads only."""

from collections.abc import Sequence

from hs_common.storage.queries import Queries, Row


async def room_views(db: Queries, room_ids: Sequence[str], user_id: str) -> list[Row]:
    """Rows (room_id, kind, text, from_pos, to_pos), all of one moment.

    `room`: the room's version; missing if the room is unknown here. `member`: the reader's memberships in the state's
    history. `visibility`: the JSON of the m.room.history_visibility events in it. `now`: his membership today;
    from_pos is when it began, to_pos 1 if he has forgotten the room. Of no room: `head`, whose from_pos is the last
    position of the log, `ignored`, the content of his m.ignored_user_list, and `erasures` if any user was erased.
    The statement is a function, whose plan a session keeps.
    """
    return await db.fetch(
        "SELECT room, kind, said, began, ended FROM room_views(%s::text[], %s)",
        (list(dict.fromkeys(room_ids)), user_id),
    )


async def overrides(db: Queries, delta_ids: list[int], user_id: str) -> list[Row]:
    """(delta_id, type, json or NULL): what forks have instead of the resolved state, of what decides who may read."""
    return await db.fetch(
        "SELECT d.delta_id, d.type, e.json FROM state_delta AS d LEFT JOIN events AS e ON e.event_id = d.event_id"
        " WHERE d.delta_id = ANY(%s)"
        " AND (d.type, d.state_key) IN (('m.room.history_visibility', ''), ('m.room.member', %s))",
        (delta_ids, user_id),
    )
