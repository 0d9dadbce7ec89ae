"""Searching the words of events. Written by the master alone; here they are only read.

A *scope* is a query over the words that stand for rooms and senders, so that the index leaves out what is elsewhere.
"""

from collections.abc import Mapping, Sequence

from hs_common.storage.queries import Queries, Row

BEGIN_MARK = "\ue000"
END_MARK = "\ue001"
_MARKS = f"HighlightAll=true, StartSel={BEGIN_MARK}, StopSel={END_MARK}"


async def rooms_been_in(db: Queries, user_id: str, limit: int) -> list[str]:
    """Rooms that a user is or was in and has not forgotten, the newest first."""
    rows = await db.fetch(
        "SELECT room_id FROM local_membership WHERE user_id = %s AND to_pos = 9223372036854775807"
        " AND membership IN ('join', 'leave', 'ban') AND NOT forgotten ORDER BY from_pos DESC LIMIT %s",
        (user_id, limit),
    )
    return [room_id for (room_id,) in rows]


async def encrypted_rooms(db: Queries, room_ids: Sequence[str]) -> set[str]:
    """Those of the rooms that are encrypted."""
    rows = await db.fetch(
        "SELECT room_id FROM state WHERE room_id = ANY(%s) AND type = 'm.room.encryption' AND state_key = ''"
        " AND to_pos = 9223372036854775807",
        (list(room_ids),),
    )
    return {room_id for (room_id,) in rows}


async def matches(
    db: Queries,
    term: str,
    *,
    scope: str,
    room_ids: Sequence[str],
    keys: Sequence[int],
    upto: int,
    limit: int,
    by_rank: bool,
) -> list[Row]:
    """(event_id, room_id, sender, how many match in all) of the newest `limit` matches, the newest or best first.

    `scope` may be empty. Nothing matches a term without words.
    """
    asked = "websearch_to_tsquery('viaduct', %(term)s)"
    scoped = f"({asked} && %(scope)s::tsquery)" if scope else asked
    words = ", s.words" if by_rank else ""  # the words of thousands of events are not read for nothing
    order = f"ts_rank_cd(found.words, {asked}) DESC, " if by_rank else ""
    return await db.fetch(
        f"SELECT found.event_id, found.room_id, found.sender, found.total FROM (SELECT s.event_id, s.room_id, s.sender,"
        f" s.origin_server_ts, count(*) OVER () AS total{words} FROM search AS s WHERE numnode({asked}) > 0"
        f" AND s.words @@ {scoped} AND s.room_id = ANY(%(rooms)s) AND s.key = ANY(%(keys)s) AND s.pos <= %(upto)s"
        " ORDER BY s.origin_server_ts DESC, s.event_id LIMIT %(limit)s) AS found"
        f" ORDER BY {order}found.origin_server_ts DESC, found.event_id",
        {
            "term": term,
            "scope": scope,
            "rooms": list(room_ids),
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
