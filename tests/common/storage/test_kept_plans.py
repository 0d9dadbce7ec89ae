"""Statements that are functions for their plans' sake tell what the same statements tell when they are planned anew."""

import random
from collections.abc import Sequence

from hs_common.storage import room_events, sliding, sync_relations, sync_rooms, sync_state, unread
from hs_common.storage.database import Database
from hs_common.storage.queries import Queries, Row
from tests.reactor import reactor, run

ROOMS, USERS = ["!a", "!b", "!c", "!d"], ["@a:x", "@b:x", "@c:x"]
TYPES = ["m.room.message", "m.room.member", "m.room.redaction", "m.reaction"]
THREADS = [None, None, "$1", "$2"]
KINDS = ["m.reference", "m.replace", "m.thread", "m.annotation"]
LAST = 60
FOREVER = 2**63 - 1


async def _fill(db: Queries, chance: random.Random) -> None:
    for number in range(1, LAST + 1):
        pos, room = number // 2 + 1, chance.choice(ROOMS)
        event_id, sub = f"${number}", -number if chance.random() < 0.2 else 0
        if sub == 0 and await db.fetch("SELECT FROM timeline WHERE (room_id, order_pos) = (%s, %s)", (room, pos)):
            continue
        kind, sender = chance.choice(TYPES), chance.choice(USERS)
        key = chance.choice(USERS) if kind == "m.room.member" else None
        replaced, redacted = (chance.choice([None, "$9"]) for _ in range(2))
        json = f'{{"event":{number}}}'
        await db.execute("INSERT INTO events VALUES (%s, %s, %s, 0, %s, %s, %s)",
                         (event_id, room, pos, replaced, redacted, json))  # fmt: skip
        thread, bits, delta = chance.choice(THREADS), chance.randrange(4), chance.choice([None, 3])
        await db.execute(
            "INSERT INTO timeline VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, NULL, NULL)",
            (room, pos, sub, event_id, sender, kind, key, chance.randrange(9), thread, bits, pos - 1, delta),
        )
        await db.execute(
            "INSERT INTO relations VALUES (%s, %s, %s, %s, %s, %s, NULL, %s, %s)",
            (event_id, room, f"${chance.randrange(1, LAST)}", chance.choice(KINDS), sender, kind, pos, sub),
        )
        if chance.random() < 0.5:
            await db.execute(
                "INSERT INTO mentions VALUES (%s, %s, %s, %s, %s)", (chance.choice(USERS), room, pos, sub, event_id)
            )
    for number, (room, kind, key) in enumerate((room, kind, key) for room in ROOMS for kind in TYPES for key in USERS):
        middle = chance.randrange(2, 30)
        for begin, end in ((1, middle), (middle, chance.choice((40, FOREVER)))):
            await db.execute("INSERT INTO state VALUES (%s, %s, %s, %s, 'join', %s, %s)",
                             (room, kind, key, f"${number}", begin, end))  # fmt: skip


def _columns(rows: Sequence[Sequence[object]]) -> list[list[object]]:
    return [list(column) for column in zip(*rows, strict=True)]


async def _compare(db: Queries, chance: random.Random) -> int:
    """Asks everything once. How many rows there were."""
    rooms = chance.sample(ROOMS, 3)
    lows, upto = [chance.randrange(20) for _ in rooms], chance.randrange(5, 35)
    ids = [f"${number}" for number in chance.sample(range(1, LAST + 9), 20)]
    user, limit = chance.choice(USERS), chance.randrange(1, 9)
    keys = [
        (chance.choice(ROOMS), chance.choice(TYPES), chance.choice(USERS), start, start + chance.randrange(5))
        for start in (chance.randrange(40) for _ in range(9))
    ]
    threads = [(room, thread, chance.randrange(30)) for room in rooms for thread in ("main", "$1")]
    pairs: list[tuple[list[Row], list[Row]]] = [
        (await room_events.events_of_rooms(db, ids), await db.fetch(_EVENTS, (ids,))),
        (
            await sync_rooms.timelines(db, rooms, lows, [upto] * 3, limit),
            await db.fetch(_TIMELINES, (rooms, lows, [upto] * 3, limit)),
        ),
        (await sync_state.entries(db, keys), await db.fetch(_ENTRIES, _columns(keys))),
        (await sync_relations.kinds(db, ids, upto), await db.fetch(_KINDS, (ids, upto))),
        (
            await sliding.bumps(db, rooms, upto, TYPES[:2], limit),
            await db.fetch(_BUMPS, {"upto": upto, "scanned": limit, "types": TYPES[:2], "rooms": rooms}),
        ),
        (
            await unread.own_events(db, user, rooms, lows, upto),
            await db.fetch(_OWN_EVENTS, (rooms, lows, user, upto)),
        ),
        (
            await unread.groups(db, user, rooms, lows, upto, threads),
            await db.fetch(_GROUPS, (user, rooms, lows, upto, *_columns(threads), user, user)),
        ),
        (
            await unread.groups(db, user, rooms, lows, upto, []),
            await db.fetch(_GROUPS, (user, rooms, lows, upto, [], [], [], user, user)),
        ),
    ]
    for number, (told, expected) in enumerate(pairs):
        assert sorted(told, key=repr) == sorted(expected, key=repr), number
    newest_first = [row[1] for row in pairs[1][0]]
    assert newest_first == sorted(newest_first, reverse=True)
    return sum(len(told) for told, _ in pairs)


def test_functions_tell_what_their_statements_tell(database_url: str) -> None:
    async def check() -> None:
        db = Database(database_url, reactor, lambda: 0.5, size=1)
        chance = random.Random(44)
        await _compare(db, chance)  # plans are made while there is nothing
        await _fill(db, chance)
        assert sum([await _compare(db, chance) for _ in range(20)]) > 1_000
        await db.close()

    run(check())


_COLUMNS = (
    "t.room_id, t.order_pos, t.order_sub, t.event_id, t.sender, t.type, t.state_key, t.origin_server_ts, t.thread_root,"
    " t.state_pos, t.delta_id, t.device_id, t.txn_id, e.replaces_state, e.redacted_by, e.json"
)
_EVENTS = f"SELECT {_COLUMNS} FROM timeline AS t JOIN events AS e USING (event_id) WHERE t.event_id = ANY(%s)"
_TIMELINES = (
    f"SELECT {_COLUMNS} FROM unnest(%s::text[], %s::bigint[], %s::bigint[]) AS w (room_id, low, high)"
    " CROSS JOIN LATERAL (SELECT * FROM timeline WHERE timeline.room_id = w.room_id AND order_pos > w.low"
    " AND order_pos <= w.high ORDER BY order_pos DESC, order_sub DESC LIMIT %s) AS t"
    " JOIN events AS e ON e.event_id = t.event_id"
)
_ENTRIES = (
    "SELECT s.room_id, s.type, s.state_key, s.event_id, s.membership, s.from_pos, s.to_pos"
    " FROM unnest(%s::text[], %s::text[], %s::text[], %s::bigint[], %s::bigint[])"
    " AS w (room_id, type, state_key, start, high) JOIN state AS s ON s.room_id = w.room_id AND s.type = w.type"
    " AND s.state_key = w.state_key AND s.to_pos > w.start AND s.from_pos <= w.high"
)
_KINDS = (
    "SELECT p.parent_id, k.rel_type FROM unnest(%s::text[]) AS p (parent_id)"
    " CROSS JOIN (VALUES ('m.reference'), ('m.replace'), ('m.thread')) AS k (rel_type)"
    " WHERE EXISTS (SELECT 1 FROM relations AS r"
    " WHERE r.parent_id = p.parent_id AND r.rel_type = k.rel_type AND r.order_pos <= %s)"
)
_BUMPS = (
    "SELECT w.room_id, (SELECT n.order_pos FROM (SELECT t.order_pos, t.type FROM timeline AS t"
    " WHERE t.room_id = w.room_id AND t.order_pos <= %(upto)s AND t.order_sub = 0"
    " ORDER BY t.order_pos DESC LIMIT %(scanned)s) AS n WHERE n.type = ANY(%(types)s) LIMIT 1),"
    " (SELECT min(t.order_pos) FROM timeline AS t WHERE t.room_id = w.room_id)"
    " FROM unnest(%(rooms)s::text[]) AS w (room_id)"
)
_OWN_EVENTS = (
    "SELECT w.room_id, t.thread_root, max(t.order_pos) FROM unnest(%s::text[], %s::bigint[]) AS w (room_id, low)"
    " JOIN timeline AS t ON t.room_id = w.room_id AND t.sender = %s AND t.order_pos > w.low AND t.order_pos <= %s"
    " AND t.order_sub = 0 GROUP BY w.room_id, t.thread_root"
)
_GROUPS = (
    "SELECT w.room_id, coalesce(t.thread_root, 'main'), t.sender, t.type = 'm.room.redaction', t.rule_bits,"
    " t.type = 'm.room.member' AND t.state_key = %s, m.user_id IS NOT NULL, count(*), max(t.order_pos)"
    " FROM unnest(%s::text[], %s::bigint[]) AS w (room_id, low)"
    " JOIN timeline AS t ON t.room_id = w.room_id AND t.order_pos > w.low AND t.order_pos <= %s AND t.order_sub = 0"
    " LEFT JOIN unnest(%s::text[], %s::text[], %s::bigint[])"
    " AS b (room_id, thread, low) ON b.room_id = t.room_id AND b.thread = coalesce(t.thread_root, 'main')"
    " LEFT JOIN mentions AS m ON m.user_id = %s AND m.room_id = t.room_id AND m.order_pos = t.order_pos"
    " AND m.order_sub = 0 WHERE t.sender <> %s AND t.order_pos > coalesce(b.low, 0)"
    " GROUP BY 1, 2, 3, 4, 5, 6, 7"
)
