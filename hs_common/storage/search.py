"""Searching the words of events. Written by the master alone; here they are only read.

A *scope* is a query over the words that stand for rooms and senders, so that the index leaves out what is elsewhere.
"""

from collections.abc import Mapping, Sequence

from hs_common.storage.queries import Queries, Row

BEGIN_MARK = "\ue000"
END_MARK = "\ue001"
# A visibility that shows members everything, as `RoomView.is_whole` has it. Said otherwise than plainly it is not
# recognised: the view will tell. To read it as JSON takes ten times as long and fails where a string of it has a NUL;
# what a string contains cannot look like this, as its quotation marks are escaped.
_PLAINLY_SEEN = (
    r"""'^\{"auth_events":\[[^]]*\],"content":\{"history_visibility":"(shared|world_readable)"\},"depth":'"""
)
_IS_WHOLE = (
    "(m.membership = 'join' AND NOT EXISTS (SELECT FROM state AS v JOIN events AS e ON e.event_id = v.event_id"
    " WHERE v.room_id = d.room_id AND v.type = 'm.room.history_visibility' AND v.state_key = ''"
    f" AND e.json !~ {_PLAINLY_SEEN} OFFSET 0)"
    " AND NOT EXISTS (SELECT FROM (SELECT user_id FROM users WHERE erased ORDER BY user_id LIMIT 1) AS one))"
)
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
    """(event_id, room_id, sender, whether the user may see whatever was said in the room, the log's last position) of
    the newest `limit` matches in rooms that are not encrypted by now, the newest or best first.

    `scope` may be empty. `room_ids` None: all rooms that the user has been in. `upto` None: whatever is there. Nothing
    matches a term without words.

    What depends on the room is looked up once for each room with a match, not for each match, nor for each of the
    rooms that the user is in, which may be thousands. IN stands where the planner makes a hash table of it whatever it
    expects (IS TRUE): as a join it may compare every match with every room. The words of thousands of events are read
    where the rank asks for them, by their place in the table.
    """
    asked = "websearch_to_tsquery('viaduct', %(term)s)"
    scoped = f"({asked} && %(scope)s::tsquery)" if scope else asked
    theirs = "m.membership IN ('join', 'leave', 'ban') AND NOT m.forgotten"
    wanted = f"({theirs}) IS TRUE" if room_ids is None else "(d.room_id IN (SELECT unnest(%(rooms)s::text[]))) IS TRUE"
    rank = (
        f"(SELECT ts_rank_cd(s.words, {asked}) FROM search AS s WHERE s.ctid = found.place) DESC, " if by_rank else ""
    )
    return await db.fetch(
        "WITH hits AS MATERIALIZED (SELECT s.ctid AS place, s.event_id, s.room_id, s.sender, s.origin_server_ts"
        f" FROM search AS s WHERE numnode({asked}) > 0 AND s.words @@ {scoped} AND s.room_id <> ALL(%(unwanted)s)"
        f" AND s.key = ANY(%(keys)s){'' if upto is None else ' AND s.pos <= %(upto)s'}),"
        f" rooms AS MATERIALIZED (SELECT d.room_id, {_IS_WHOLE} AS is_whole"
        " FROM (SELECT DISTINCT room_id FROM hits) AS d LEFT JOIN LATERAL (SELECT membership, forgotten"
        " FROM local_membership WHERE user_id = %(user)s AND to_pos = 9223372036854775807 AND room_id = d.room_id"
        f" LIMIT 1) AS m ON true WHERE {wanted}"
        " AND NOT EXISTS (SELECT FROM state AS e WHERE e.room_id = d.room_id AND e.type = 'm.room.encryption'"
        " AND e.state_key = '' AND e.to_pos = 9223372036854775807 OFFSET 0))"
        " SELECT found.event_id, found.room_id, found.sender,"
        " found.room_id IN (SELECT room_id FROM rooms WHERE is_whole),"
        " (SELECT pos FROM outbox ORDER BY pos DESC LIMIT 1)"
        " FROM (SELECT * FROM hits WHERE (room_id IN (SELECT room_id FROM rooms)) IS TRUE"
        " ORDER BY origin_server_ts DESC, event_id LIMIT %(limit)s) AS found"
        f" ORDER BY {rank}found.origin_server_ts DESC, found.event_id",
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
