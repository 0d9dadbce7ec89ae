"""Events of other servers that wait to be taken in. Written by the workers that serve other servers."""

from collections.abc import Sequence
from typing import NamedTuple

from hs_common.storage.queries import Queries


class StagedPdu(NamedTuple):
    """An event as it was received; `encoded` is its canonical JSON."""

    room_id: str
    event_id: str
    origin: str
    encoded: bytes
    attempts: int = 0


async def stage(
    db: Queries, shards: Sequence[int], pdus: Sequence[StagedPdu], gone: Sequence[tuple[str, str]] = ()
) -> None:
    """Keeps events, each once, until they are taken in; those that wait already stay as they are. Removes others, by
    room and event."""
    await db.execute(
        "WITH removed AS (DELETE FROM inbound_pdu AS old USING unnest(%s::text[], %s::text[]) AS gone (room_id,"
        " event_id) WHERE old.room_id = gone.room_id AND old.event_id = gone.event_id)"
        " INSERT INTO inbound_pdu (room_id, event_id, shard, origin, json)"
        " SELECT new.room_id, new.event_id, new.shard, new.origin, new.json"
        " FROM unnest(%s::text[], %s::text[], %s::smallint[], %s::text[], %s::text[]) WITH ORDINALITY"
        " AS new (room_id, event_id, shard, origin, json, place) ORDER BY new.place"
        " ON CONFLICT (room_id, event_id) DO UPDATE SET retry_at = '-infinity'",
        (
            [room_id for room_id, _ in gone],
            [event_id for _, event_id in gone],
            [pdu.room_id for pdu in pdus],
            [pdu.event_id for pdu in pdus],
            list(shards),
            [pdu.origin for pdu in pdus],
            [pdu.encoded.decode() for pdu in pdus],
        ),
    )


class WaitingRoom(NamedTuple):
    """A room for which so many events wait; the first came from `origin`."""

    room_id: str
    events: int
    origin: str


async def waiting_rooms(
    db: Queries, shards: Sequence[int], limit: int, without: Sequence[str] = ()
) -> list[WaitingRoom]:
    """Rooms of the shards for which events wait whose time has come, those that wait longest first. Events of the
    servers in `without` do not count."""
    rows = await db.fetch(
        "SELECT room_id, count(*), (array_agg(origin ORDER BY seq))[1] FROM inbound_pdu"
        " WHERE shard = ANY(%s) AND retry_at <= now() AND NOT origin = ANY(%s::text[])"
        " GROUP BY room_id ORDER BY min(seq) LIMIT %s",
        (list(shards), list(without), limit),
    )
    return [WaitingRoom(*row) for row in rows]


async def of_room(db: Queries, room_id: str, limit: int) -> list[StagedPdu]:
    """The events that wait for a room and whose time has come, in the order in which they came."""
    rows = await db.fetch(
        "SELECT room_id, event_id, origin, json, attempts FROM inbound_pdu"
        " WHERE room_id = %s AND retry_at <= now() ORDER BY seq LIMIT %s",
        (room_id, limit),
    )
    return [
        StagedPdu(room, event_id, origin, json.encode(), attempts) for room, event_id, origin, json, attempts in rows
    ]


async def remove(db: Queries, gone: Sequence[tuple[str, str]]) -> None:
    """Events, by room and event, that were taken in or never will be."""
    await db.execute(
        "DELETE FROM inbound_pdu AS old USING unnest(%s::text[], %s::text[]) AS gone (room_id, event_id)"
        " WHERE old.room_id = gone.room_id AND old.event_id = gone.event_id",
        ([room_id for room_id, _ in gone], [event_id for _, event_id in gone]),
    )


async def retry_later(db: Queries, room_id: str, event_ids: Sequence[str], seconds: float) -> None:
    """The events could not be taken in now."""
    await db.execute(
        "UPDATE inbound_pdu SET attempts = attempts + 1, retry_at = now() + make_interval(secs => %s)"
        " WHERE room_id = %s AND event_id = ANY(%s)",
        (seconds, room_id, list(event_ids)),
    )


async def wait(db: Queries, room_id: str, event_ids: Sequence[str], seconds: float) -> None:
    """The events wait for something that is under way."""
    await db.execute(
        "UPDATE inbound_pdu SET retry_at = now() + make_interval(secs => %s) WHERE room_id = %s AND event_id = ANY(%s)",
        (seconds, room_id, list(event_ids)),
    )


async def count_of_origin(db: Queries, origin: str) -> int:
    """How many events of a server wait."""
    row = await db.fetch_one("SELECT count(*) FROM inbound_pdu WHERE origin = %s", (origin,))
    assert row is not None, "a count has a row"
    return int(row[0])


async def backlog(db: Queries, shards: Sequence[int]) -> tuple[int, float]:
    """How many events wait for rooms of the shards, and the age of the oldest in seconds."""
    row = await db.fetch_one(
        "SELECT count(*), coalesce(extract(epoch FROM clock_timestamp() - min(received)), 0)::float8 FROM inbound_pdu"
        " WHERE shard = ANY(%s)",
        (list(shards),),
    )
    assert row is not None, "a count has a row"
    return int(row[0]), float(row[1])
