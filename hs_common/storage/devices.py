"""A user's devices, which the master writes, and when and from where each was last seen, which workers do."""

from collections.abc import Sequence
from dataclasses import dataclass

from hs_common.storage.queries import Queries


@dataclass(frozen=True, slots=True)
class Device:
    """A device as its owner sees it."""

    device_id: str
    display_name: str | None
    last_seen_ip: str | None
    last_seen_ts: int | None


@dataclass(frozen=True, slots=True)
class Seen:
    """A device made a request."""

    user_id: str
    device_id: str
    ip: str
    user_agent: str
    ts: int


_SELECT = """
    SELECT device_id, display_name, ip, ts
      FROM devices LEFT JOIN device_seen USING (user_id, device_id)
"""


async def devices_of(db: Queries, user_id: str) -> list[Device]:
    """All devices of a user, the oldest first."""
    rows = await db.fetch(_SELECT + "WHERE user_id = %s ORDER BY created_ts, device_id", (user_id,))
    return [Device(*row) for row in rows]


async def device(db: Queries, user_id: str, device_id: str) -> Device | None:
    row = await db.fetch_one(_SELECT + "WHERE user_id = %s AND device_id = %s", (user_id, device_id))
    return None if row is None else Device(*row)


async def sights_of(db: Queries, user_id: str) -> list[Seen]:
    """When and from where each of the user's devices was last seen, the latest first."""
    rows = await db.fetch(
        """
        SELECT user_id, device_id, ip, user_agent, ts
          FROM device_seen JOIN devices USING (user_id, device_id)
         WHERE user_id = %s
         ORDER BY ts DESC, device_id
        """,
        (user_id,),
    )
    return [Seen(*row) for row in rows]


async def note_seen(db: Queries, seen: Sequence[Seen]) -> None:
    """Keeps the newest sight of each device, whichever process wrote first. At most one entry per device.

    What is left of these users' devices that are gone goes with it, so of each user no more stays than he has devices.
    """
    rows = sorted(seen, key=lambda one: (one.user_id, one.device_id))  # one order for all writers: no deadlock
    await db.execute(
        """
        WITH seen AS MATERIALIZED (
            SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::bigint[])
                AS one (user_id, device_id, ip, user_agent, ts)
        ), free AS MATERIALIZED (
            SELECT held.user_id, held.device_id FROM device_seen AS held
             WHERE held.user_id IN (SELECT user_id FROM seen)
               AND (held.user_id, held.device_id) NOT IN (SELECT user_id, device_id FROM seen)
               AND NOT EXISTS (SELECT FROM devices AS d WHERE d.user_id = held.user_id AND d.device_id = held.device_id)
               FOR UPDATE OF held SKIP LOCKED
        ), gone AS (
            DELETE FROM device_seen AS old USING free
             WHERE (old.user_id, old.device_id) = (free.user_id, free.device_id)
        )
        INSERT INTO device_seen (user_id, device_id, ip, user_agent, ts)
        SELECT user_id, device_id, ip, user_agent, ts FROM seen ORDER BY user_id, device_id
            ON CONFLICT (user_id, device_id) DO UPDATE
           SET ip = excluded.ip, user_agent = excluded.user_agent, ts = excluded.ts
         WHERE device_seen.ts < excluded.ts
        """,
        (
            [one.user_id for one in rows],
            [one.device_id for one in rows],
            [one.ip for one in rows],
            [one.user_agent for one in rows],
            [one.ts for one in rows],
        ),
    )
