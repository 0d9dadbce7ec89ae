"""Messages to devices that wait to be fetched. The master writes them; who hands them out deletes what was received.

Spec: client-server-api/#send-to-device-messaging.
"""

from dataclasses import dataclass

from hs_common.storage.queries import Queries


@dataclass(frozen=True, slots=True)
class Message:
    """`json` is the event as clients get it."""

    pos: int
    json: str


async def take(db: Queries, user_id: str, device_id: str, received: int, upto: int, limit: int) -> list[Message]:
    """Deletes what the device has received, and gives the oldest of what it has not, up to a position."""
    rows = await db.fetch(
        """
        WITH gone AS (
            DELETE FROM inbox WHERE user_id = %(user)s AND device_id = %(device)s AND pos <= %(received)s
        )
        SELECT pos, message FROM inbox
         WHERE user_id = %(user)s AND device_id = %(device)s AND pos > %(received)s AND pos <= %(upto)s
         ORDER BY pos LIMIT %(limit)s
        """,
        {"user": user_id, "device": device_id, "received": received, "upto": upto, "limit": limit},
    )
    return [Message(*row) for row in rows]


async def waiting(db: Queries, user_id: str, device_id: str, after: int, limit: int) -> list[Message]:
    """The oldest messages to the device after a position. All stay."""
    rows = await db.fetch(
        "SELECT pos, message FROM inbox WHERE user_id = %s AND device_id = %s AND pos > %s ORDER BY pos LIMIT %s",
        (user_id, device_id, after, limit),
    )
    return [Message(*row) for row in rows]
