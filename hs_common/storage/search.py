"""Searching the words of events. Written by the master alone; here they are only read.

A *scope* is a query over the words that stand for rooms and senders, so that the index leaves out what is elsewhere.
"""

from collections.abc import Mapping, Sequence

from hs_common.storage.queries import Queries, Row

BEGIN_MARK = "\ue000"
END_MARK = "\ue001"
_MARKS = f"HighlightAll=true, StartSel={BEGIN_MARK}, StopSel={END_MARK}"


async def rooms_been_in(db: Queries, user_id: str, limit: int) -> list[str]:
    """Rooms that a user is or was in and has not forgotten: all, or `limit` of them if there are more."""
    rows = await db.fetch(
        "SELECT room_id FROM local_membership WHERE user_id = %s AND to_pos = 9223372036854775807"
        " AND membership IN ('join', 'leave', 'ban') AND NOT forgotten LIMIT %s",
        (user_id, limit),
    )
    return [room_id for (room_id,) in rows]


async def matches(
    db: Queries,
    term: str,
    *,
    scope: str,
    user_id: str,
    room_ids: Sequence[str] | None,
    unwanted_rooms: Sequence[str],
    keys: Sequence[int],
    upto: int | None,
    limit: int,
    by_rank: bool,
) -> list[Row]:
    """(event_id, room_id, sender, whether the room is encrypted by now, the log's last position) of the newest `limit`
    matches, the newest or best first.

    `scope` may be empty. `room_ids` None: all rooms that the user has been in. `upto` None: whatever is there. Nothing
    matches a term without words. What is found is looked up among the user's rooms, one by one (OFFSET 0): he may be in
    thousands, of which few have the word, and a planner that is given them in a list weighs each.
    """
    asked = "websearch_to_tsquery('viaduct', %(term)s)"
    scoped = f"({asked} && %(scope)s::tsquery)" if scope else asked
    words = ", s.words" if by_rank else ""  # the words of thousands of events are not read for nothing
    rooms = (
        "EXISTS (SELECT FROM local_membership AS m WHERE m.user_id = %(user)s AND m.to_pos = 9223372036854775807"
        " AND m.room_id = s.room_id AND m.membership IN ('join', 'leave', 'ban') AND NOT m.forgotten OFFSET 0)"
        if room_ids is None
        else "s.room_id IN (SELECT unnest(%(rooms)s::text[]))"
    )
    order = f"ts_rank_cd(found.words, {asked}) DESC, " if by_rank else ""
    return await db.fetch(
        "SELECT found.event_id, found.room_id, found.sender,"
        " EXISTS (SELECT FROM state AS e WHERE e.room_id = found.room_id AND e.type = 'm.room.encryption'"
        " AND e.state_key = '' AND e.to_pos = 9223372036854775807 OFFSET 0),"
        " (SELECT pos FROM outbox ORDER BY pos DESC LIMIT 1)"
        " FROM (SELECT s.event_id, s.room_id, s.sender,"
        f" s.origin_server_ts{words} FROM search AS s WHERE numnode({asked}) > 0"
        f" AND s.words @@ {scoped} AND {rooms} AND s.room_id <> ALL(%(unwanted)s)"
        f" AND s.key = ANY(%(keys)s){'' if upto is None else ' AND s.pos <= %(upto)s'}"
        " ORDER BY s.origin_server_ts DESC, s.event_id LIMIT %(limit)s) AS found"
        f" ORDER BY {order}found.origin_server_ts DESC, found.event_id",
        {
            "term": term,
            "scope": scope,
            "user": user_id,
            "rooms": None if room_ids is None else list(room_ids),
            "unwanted": list(unwanted_rooms),
            "keys": list(keys),
            "upto": upto,
            "limit": limit,
        },
    )


async def ranked(db: Queries, term: str, texts: Mapping[str, str]) -> list[Row]:
    """(event_id, how well it matches, its text with marks around the words that match) of events with their texts."""
    return await db.fetch(
        "SELECT t.event_id, ts_rank_cd(s.words, q.asked), ts_headline('viaduct', t.body, q.asked, %s)"
        " FROM unnest(%s::text[], %s::text[]) AS t (event_id, body) JOIN search AS s ON s.event_id = t.event_id"
        " CROSS JOIN websearch_to_tsquery('viaduct', %s) AS q (asked)",
        (_MARKS, list(texts), list(texts.values()), term),
    )
