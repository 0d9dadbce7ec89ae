"""What is bundled with events: their references, edits and threads, for many parents in one statement. Reads only.

`ignored` are the senders whose events the reader does not want; `uptos` are the last positions that he may know of, one
for each parent: that of the answer, or where he left. Only what is in the parent's own room relates to it.
"""

from collections.abc import Sequence

from hs_common.storage.queries import Queries, Row


async def kinds(db: Queries, parent_ids: Sequence[str], upto: int) -> list[Row]:
    """(parent_id, rel_type): which parents have children of the relationships that are aggregated, up to a position."""
    return await db.fetch("SELECT * FROM related_kinds(%s::text[], %s)", (list(parent_ids), upto))


async def references(
    db: Queries, parent_ids: Sequence[str], ignored: Sequence[str], uptos: Sequence[int], limit: int
) -> list[Row]:
    """(parent_id, event_id), the oldest of each parent first."""
    return await db.fetch(
        "SELECT p.parent_id, c.event_id FROM unnest(%s::text[], %s::bigint[]) AS p (parent_id, upto)"
        " JOIN timeline AS parent ON parent.event_id = p.parent_id"
        " CROSS JOIN LATERAL (SELECT event_id FROM relations AS r WHERE r.parent_id = p.parent_id"
        " AND r.rel_type = 'm.reference' AND r.room_id = parent.room_id AND r.order_pos <= p.upto"
        " AND r.sender <> ALL(%s) ORDER BY r.order_pos, r.order_sub LIMIT %s) AS c",
        (list(parent_ids), list(uptos), list(ignored), limit),
    )


async def edits(db: Queries, parent_ids: Sequence[str], uptos: Sequence[int], limit: int) -> list[Row]:
    """(parent_id, event_id): the newest edits of each parent by its own sender and of its own type."""
    return await db.fetch(
        "SELECT p.parent_id, c.event_id FROM unnest(%s::text[], %s::bigint[]) AS p (parent_id, upto)"
        " JOIN timeline AS parent ON parent.event_id = p.parent_id"
        " CROSS JOIN LATERAL (SELECT r.event_id FROM relations AS r JOIN timeline AS t ON t.event_id = r.event_id"
        " WHERE r.parent_id = p.parent_id AND r.rel_type = 'm.replace' AND r.sender = parent.sender"
        " AND r.type = parent.type AND r.room_id = parent.room_id AND r.order_pos <= p.upto"
        " ORDER BY t.origin_server_ts DESC, r.event_id DESC LIMIT %s) AS c",
        (list(parent_ids), list(uptos), limit),
    )


async def threads(
    db: Queries, parent_ids: Sequence[str], user_id: str, ignored: Sequence[str], uptos: Sequence[int]
) -> list[Row]:
    """(parent_id, events in the thread, whether the user sent one of them or the root, id of the newest)."""
    return await db.fetch(
        "SELECT p.parent_id, c.events, c.mine OR parent.sender = %(user)s, c.newest"
        " FROM unnest(%(parents)s::text[], %(uptos)s::bigint[]) AS p (parent_id, upto)"
        " JOIN timeline AS parent ON parent.event_id = p.parent_id"
        " CROSS JOIN LATERAL (SELECT count(*) AS events, bool_or(r.sender = %(user)s) AS mine,"
        " (array_agg(r.event_id ORDER BY r.order_pos DESC, r.order_sub DESC))[1] AS newest FROM relations AS r"
        " WHERE r.parent_id = p.parent_id AND r.rel_type = 'm.thread' AND r.room_id = parent.room_id"
        " AND r.order_pos <= p.upto AND r.sender <> ALL(%(ignored)s)) AS c WHERE c.events > 0",
        {"user": user_id, "parents": list(parent_ids), "ignored": list(ignored), "uptos": list(uptos)},
    )
