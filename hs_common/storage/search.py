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
    first: int,
    told: int,
) -> list[Row]:
    """(event_id, room_id, sender, whether the user may see whatever was said in the room, the match's place, 1, the
    log's last position) of the newest `limit` matches in rooms that are not encrypted by now, the newest or best first:
    of `told` places from `first` on, and wherever the user may not see whatever was said. Of other matches a row for
    each sender: (NULL, one of their rooms, sender, true, NULL, how many there are, the log's last position).

    `scope` may be empty. `room_ids` None: all rooms that the user has been in. `upto` None: whatever is there. Nothing
    matches a term without words. The statement is a function, whose plan a session keeps.
    """
    asked = "websearch_to_tsquery('viaduct', %(term)s)"
    scoped = f"{asked} && %(scope)s::tsquery" if scope else asked
    return await db.fetch(
        f"SELECT event, room, author, is_whole, number, matches, head FROM search_page({asked}, {scoped}, %(user)s,"
        " %(rooms)s::text[], %(unwanted)s::text[], %(keys)s::smallint[], %(upto)s::bigint, %(best)s, %(limit)s,"
        " %(first)s, %(told)s)",
        {
            "term": term,
            "scope": scope,
            "user": user_id,
            "rooms": None if room_ids is None else list(room_ids),
            "unwanted": list(unwanted_rooms),
            "keys": list(keys),
            "upto": upto,
            "best": by_rank,
            "limit": limit,
            "first": first,
            "told": told,
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
