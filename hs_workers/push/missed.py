"""What shards missed while nobody judged for them, read from the tables in pages, in the log's order.

Users are grouped by how far their shards were judged: one look-up a page for all of them, from the oldest.
"""

from collections.abc import AsyncIterator, Mapping
from typing import Final

from hs_common.storage import push_queue
from hs_common.storage.queries import Queries
from hs_workers.push.held_pushers import HeldPushers
from hs_workers.push.seen import Seen, SeenInvite, SeenRead, of_event_row

PAGE_EVENTS: Final = 200


async def missed(
    db: Queries, held: HeldPushers, starts: Mapping[int, int], upto: int
) -> AsyncIterator[tuple[int, list[Seen]]]:
    """Pages of what came for the users of some shards, each with the position up to which it reaches.

    `starts`: shard → the position up to which it was judged.
    """
    users = held.users(starts)
    after = min((start for start in starts.values()), default=upto)
    if users:
        # Nobody is told of what came before his first pusher.
        after = max(after, min(one.pusher_id for user_id in users for one in held.of(user_id)) - 1)
    while users and after < upto:
        rows = await push_queue.missed_events(db, users, after, upto, PAGE_EVENTS)
        reached = rows[-1][1] if len(rows) == PAGE_EVENTS else upto
        seen: list[Seen] = [of_event_row(row) for row in rows]
        seen += [SeenInvite(*row) for row in await push_queue.missed_invites(db, users, after, reached)]
        seen += [SeenRead(*row) for row in await push_queue.missed_receipts(db, users, after, reached)]
        yield reached, sorted(seen, key=lambda one: one.pos)
        after = reached
    if after < upto or not users:
        yield upto, []
