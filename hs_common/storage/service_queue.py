"""What waits for each application service, how far it has received, and the transaction that is under way.

Rules: the master writes `service_events`; everything else here is written by the worker that holds the service's share,
and only with its term: a statement that changes nothing means that another worker holds the share.
"""

from collections.abc import Sequence
from typing import NamedTuple

from hs_common.storage.queries import Queries, Row

COUNTED_LIMIT = 100_000  # of what waits for one service: beyond it "at least so many" is enough
FORGET_LIMIT = 5_000  # rows of one statement, so that forgetting a service holds up nobody


class Cursor(NamedTuple):
    """How far a service has received, of events and of what concerns devices; `under`: what is under way."""

    sent_to: int
    devices_sent_to: int
    under: "Under | None"
    failures: int


class Under(NamedTuple):
    """A transaction that is fixed before it is sent.

    It has the events up to `to`, ephemeral events as a JSON array, the messages to devices up to `devices_to`, and
    `devices`: device lists and key counts as a JSON object.
    """

    txn_id: str
    to: int
    ephemeral: str | None
    devices_to: int
    devices: str | None = None


async def claim(db: Queries, service_id: str, term: int, made_pos: int) -> Cursor | None:
    """Makes the cursor this term's: nobody with an older one writes it any more. None: a newer term has it.

    What is under way from before `made_pos` is of an earlier registration under the same id, and is dropped.
    """
    row = await db.fetch_one(
        "INSERT INTO service_cursors AS c (service_id, term, sent_to, devices_sent_to)"
        " VALUES (%(service)s, %(term)s, %(made)s, %(made)s)"
        " ON CONFLICT (service_id) DO UPDATE SET term = excluded.term, sent_to = greatest(c.sent_to, excluded.sent_to),"
        " devices_sent_to = greatest(c.devices_sent_to, excluded.sent_to),"
        " txn_id = CASE WHEN c.txn_to <= excluded.sent_to THEN NULL ELSE c.txn_id END WHERE c.term <= excluded.term"
        " RETURNING sent_to, devices_sent_to, failures, txn_id, txn_to, ephemeral, devices_to, devices",
        {"service": service_id, "term": term, "made": made_pos},
    )
    if row is None:
        return None
    sent_to, devices_sent_to, failures, txn_id, txn_to, ephemeral, devices_to, devices = row
    under = None
    if txn_id is not None and txn_to is not None:
        # An intent of the version before says nothing of devices.
        under = Under(txn_id, txn_to, ephemeral, devices_sent_to if devices_to is None else devices_to, devices)
    await db.execute("DELETE FROM service_events WHERE service_id = %s AND pos <= %s", (service_id, sent_to))
    return Cursor(sent_to, devices_sent_to, under, failures)


class Received(NamedTuple):
    """What of a lane was received: everything up to `to`, of it lately what is above `before`."""

    before: int
    to: int


async def advance(
    db: Queries, service_id: str, term: int, events: Received, devices: Received, under: Under | None
) -> bool:
    """This much was received, and this is under way next: one write. False: the share is another's.

    What was received is deleted from what waits, and from the inboxes of the service's users.
    """
    next_up = (None,) * 5 if under is None else under
    row = await db.fetch_one(
        "SELECT advance_service(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (service_id, term, *events, *devices, *next_up),
    )
    assert row is not None, "a function answers one row"
    return bool(row[0])


async def failed(db: Queries, service_id: str, term: int, failures: int, error: str) -> bool:
    """Notes for people that sending fails. False: the share is another's."""
    return bool(
        await db.execute(
            "UPDATE service_cursors SET failures = %s, last_error = %s WHERE service_id = %s AND term = %s",
            (failures, error, service_id, term),
        )
    )


async def events(db: Queries, service_id: str, after: int, upto: int | None, limit: int) -> list[Row]:
    """(pos, event_id, room_id, room version, replaces_state, redacted_by, json) of what waits, in order."""
    return await db.fetch(
        # An invite from a room that this server is not in: of memberships all versions have the same form.
        "SELECT q.pos, e.event_id, e.room_id, coalesce(r.version, '11'), e.replaces_state, e.redacted_by, e.json"
        " FROM (SELECT pos, event_id FROM service_events WHERE service_id = %(service)s AND pos > %(after)s"
        " AND pos <= %(upto)s ORDER BY pos LIMIT %(limit)s) AS q"
        " JOIN events AS e ON e.event_id = q.event_id LEFT JOIN rooms AS r ON r.room_id = e.room_id ORDER BY q.pos",
        {"service": service_id, "after": after, "upto": 2**63 - 1 if upto is None else upto, "limit": limit},
    )


async def referred(db: Queries, event_ids: Sequence[str]) -> list[Row]:
    """(event_id, room version, json) of events that others replaced, or that redacted others."""
    return await db.fetch(
        "SELECT e.event_id, r.version, e.json FROM events AS e JOIN rooms AS r ON r.room_id = e.room_id"
        " WHERE e.event_id = ANY(%s)",
        (list(event_ids),),
    )


async def stripped_states(db: Queries, user_ids: Sequence[str], event_ids: Sequence[str]) -> dict[str, str]:
    """Of invites to users of ours: event id → the room's stripped state, a JSON array."""
    rows = await db.fetch(
        "SELECT event_id, stripped_state FROM local_membership"
        " WHERE user_id = ANY(%s) AND event_id = ANY(%s) AND stripped_state IS NOT NULL",
        (list(user_ids), list(event_ids)),
    )
    return dict(rows)


async def waiting(db: Queries, service_id: str) -> tuple[int, int | None]:
    """How many events wait, counted up to `COUNTED_LIMIT`, and since when the oldest (ms since 1970; None: none)."""
    row = await db.fetch_one(
        "SELECT count(*), min(at_ms) FROM (SELECT at_ms FROM service_events"
        " WHERE service_id = %s ORDER BY pos LIMIT %s) AS oldest",
        (service_id, COUNTED_LIMIT),
    )
    assert row is not None, "an aggregate has a row"
    return row[0], row[1]


async def failures(db: Queries, service_id: str) -> tuple[int, str | None]:
    """How often sending has failed since the last success, and why."""
    row = await db.fetch_one("SELECT failures, last_error FROM service_cursors WHERE service_id = %s", (service_id,))
    return (0, None) if row is None else (row[0], row[1])


async def unregistered(db: Queries) -> list[str]:
    """Services that are not registered any more and still have a cursor or events."""
    rows = await db.fetch(
        "SELECT service_id FROM service_cursors AS c"
        " WHERE NOT EXISTS (SELECT FROM appservices AS a WHERE a.service_id = c.service_id)"
    )
    return [service_id for (service_id,) in rows]


async def forget(db: Queries, service_id: str) -> None:
    """Deletes what waits for a service that is gone, and its cursor last."""
    while await db.execute(
        "DELETE FROM service_events WHERE (service_id, pos) IN (SELECT service_id, pos FROM service_events AS e"
        " WHERE e.service_id = %s AND NOT EXISTS (SELECT FROM appservices AS a WHERE a.service_id = e.service_id)"
        " ORDER BY pos LIMIT %s)",
        (service_id, FORGET_LIMIT),
    ):
        pass  # so many at a time
    await db.execute(
        "DELETE FROM service_to_device AS q WHERE service_id = %s"
        " AND NOT EXISTS (SELECT FROM appservices AS a WHERE a.service_id = q.service_id)",
        (service_id,),
    )
    await db.execute(
        "DELETE FROM service_cursors AS c WHERE service_id = %s"
        " AND NOT EXISTS (SELECT FROM appservices AS a WHERE a.service_id = c.service_id)",
        (service_id,),
    )
