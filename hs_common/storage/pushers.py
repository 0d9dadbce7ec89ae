"""Pushers, which the master writes: where a user's notifications go.

Spec: client-server API, #post_matrixclientv3pushersset.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from hs_common.storage.queries import Queries, Row

_COLUMNS: Final = (
    "pusher_id, user_id, app_id, pushkey, kind, device_id, app_display_name, device_display_name, profile_tag, lang,"
    " data, set_ms"
)


@dataclass(frozen=True, slots=True)
class Pusher:
    """One pusher as it is set. `set_ms`: when that was."""

    pusher_id: int
    user_id: str
    app_id: str
    pushkey: str
    kind: str
    device_id: str | None
    app_display_name: str
    device_display_name: str
    profile_tag: str | None
    lang: str
    data: dict[str, Any]
    set_ms: int


async def pushers_of(db: Queries, user_id: str) -> list[Pusher]:
    """A user's pushers, the oldest first."""
    return _pushers(await db.fetch(f"SELECT {_COLUMNS} FROM pushers WHERE user_id = %s ORDER BY pusher_id", (user_id,)))


async def pusher(db: Queries, user_id: str, app_id: str, pushkey: str) -> Pusher | None:
    row = await db.fetch_one(
        f"SELECT {_COLUMNS} FROM pushers WHERE user_id = %s AND app_id = %s AND pushkey = %s",
        (user_id, app_id, pushkey),
    )
    return None if row is None else _pusher(row)


async def pushing_of(db: Queries, user_id: str) -> list[Pusher]:
    """The same to whom something is pushed: none while he is locked."""
    return _pushers(
        await db.fetch(
            f"SELECT {_COLUMNS} FROM pushers WHERE user_id = %s"
            " AND NOT EXISTS (SELECT FROM users AS u WHERE u.user_id = pushers.user_id AND u.locked)"
            " ORDER BY pusher_id",
            (user_id,),
        )
    )


async def pushing_of_shards(db: Queries, shards: Sequence[int]) -> list[Pusher]:
    """The pushers of all users of some shards who are not locked."""
    return _pushers(
        await db.fetch(
            f"SELECT {_COLUMNS} FROM pushers WHERE shard = ANY(%s)"
            " AND NOT EXISTS (SELECT FROM users AS u WHERE u.user_id = pushers.user_id AND u.locked)"
            " ORDER BY pusher_id",
            (list(shards),),
        )
    )


async def count_pushers(db: Queries, user_id: str) -> int:
    row = await db.fetch_one("SELECT count(*) FROM pushers WHERE user_id = %s", (user_id,))
    assert row is not None, "an aggregate has a row"
    return int(row[0])


def _pushers(rows: Sequence[Row]) -> list[Pusher]:
    return [_pusher(row) for row in rows]


def _pusher(row: Row) -> Pusher:
    fields: Row = (*row[:10], orjson.loads(row[10]), row[11])
    return Pusher(*fields)
