"""The statements that remove what is stored of a deleted room, so many rows at a time.

Each stage is run until nothing is left for it; its statements stand in the order in which they run: what hangs on the
rows of a slice goes before these rows. The room's own row goes first of all, so nothing enters meanwhile.
"""

from typing import Final

from hs_master.bulk import with_rows
from hs_master.log_store.types import Write

# Rows of one slice: some hundredths of a second.
ROWS_OF_A_SLICE: Final = 500

_ROOM: Final = (("room_id", "text"),)
_EVENTS: Final = (
    "(SELECT t.event_id, t.delta_id, t.order_pos FROM {new} CROSS JOIN LATERAL "
    "(SELECT event_id, delta_id, order_pos FROM timeline "
    f"WHERE timeline.room_id = new.room_id ORDER BY order_pos, order_sub LIMIT {ROWS_OF_A_SLICE}) AS t) AS gone"
)
_STATE: Final = (
    "(SELECT t.event_id, t.type, t.state_key, t.from_pos, t.room_id FROM {new} CROSS JOIN LATERAL (SELECT * FROM state "
    f"WHERE state.room_id = new.room_id ORDER BY type, state_key, from_pos LIMIT {ROWS_OF_A_SLICE}) AS t) AS gone"
)
_STATELESS: Final = (
    "(SELECT t.event_id FROM {new} CROSS JOIN LATERAL (SELECT event_id FROM events "
    f"WHERE events.room_id = new.room_id AND status <> 0 ORDER BY event_id LIMIT {ROWS_OF_A_SLICE}) AS t) AS gone"
)
_MEMBERS: Final = (
    "(SELECT t.user_id, t.room_id, t.ctid FROM {new} CROSS JOIN LATERAL (SELECT user_id, room_id, ctid "
    "FROM local_membership WHERE local_membership.room_id = new.room_id "
    "AND NOT (forgotten AND to_pos = 9223372036854775807) ORDER BY to_pos DESC, user_id, from_pos "
    f"LIMIT {ROWS_OF_A_SLICE}) AS t) AS gone"
)


def _by_event(table: str, source: str) -> Write:
    stage = {_EVENTS: "timeline", _STATE: "state", _STATELESS: "stateless"}[source]
    sql = f"DELETE FROM {table} USING {source} WHERE {table}.event_id = gone.event_id"
    return with_rows(f"purge_{table}_of_{stage}", _ROOM, sql)


def _of_members(table: str) -> Write:
    sql = (
        f"DELETE FROM {table} USING {_MEMBERS} WHERE {table}.user_id = gone.user_id AND {table}.room_id = gone.room_id"
    )
    return with_rows(f"purge_{table}", _ROOM, sql)


def _by_room(table: str) -> Write:
    sql = (
        f"DELETE FROM {table} WHERE ctid = ANY(ARRAY(SELECT old.ctid FROM {table} AS old JOIN {{new}} "
        f"ON old.room_id = new.room_id LIMIT {ROWS_OF_A_SLICE}))"
    )
    return with_rows(f"purge_{table}", _ROOM, sql)


_SIMPLE: Final = (
    *("room_gap", "room_fork", "room_servers", "receipts", "as_room", "aliases", "held_redactions"),
    *("outgoing_events", "inbound_pdu", "inbound_receipt", "appservice_directory", "delayed_events"),
)

# The stages by the table of which there must be nothing left, with the condition that finds what is.
STAGES: Final[dict[str, tuple[Write, ...]]] = {
    "rooms": (_by_room("rooms"),),
    "timeline": (
        _by_event("mentions", _EVENTS),
        _by_event("relations", _EVENTS),
        _by_event("search", _EVENTS),
        with_rows(
            "purge_state_delta",
            _ROOM,
            f"DELETE FROM state_delta USING {_EVENTS} WHERE state_delta.delta_id = gone.delta_id",
        ),
        # Of a service that was away for longer than the others were waited for. A live event's place is its position.
        with_rows(
            "purge_service_events",
            _ROOM,
            f"DELETE FROM service_events USING appservices, {_EVENTS} WHERE service_events.event_id = gone.event_id "
            "AND service_events.service_id = appservices.service_id AND service_events.pos = gone.order_pos",
        ),
        _by_event("event_state", _EVENTS),
        _by_event("events", _EVENTS),
        _by_event("timeline", _EVENTS),
    ),
    "state": (
        _by_event("events", _STATE),
        with_rows(
            "purge_state",
            _ROOM,
            f"DELETE FROM state USING {_STATE} WHERE state.room_id = gone.room_id AND state.type = gone.type "
            "AND state.state_key = gone.state_key AND state.from_pos = gone.from_pos",
        ),
    ),
    "events": (_by_event("event_state", _STATELESS), _by_event("events", _STATELESS)),
    "local_membership": (
        _of_members("account_data"),
        _of_members("unread_cache"),
        # That a user has left stays, or who was away would never hear of it.
        with_rows(
            "purge_forget",
            _ROOM,
            f"UPDATE local_membership SET forgotten = true FROM {_MEMBERS} WHERE local_membership.ctid = gone.ctid "
            "AND local_membership.to_pos = 9223372036854775807",
        ),
        with_rows(
            "purge_local_membership",
            _ROOM,
            f"DELETE FROM local_membership USING {_MEMBERS} WHERE local_membership.ctid = gone.ctid "
            "AND local_membership.to_pos < 9223372036854775807",
        ),
    ),
    **{table: (_by_room(table),) for table in _SIMPLE},
}
ORDER: Final[tuple[str, ...]] = tuple(STAGES)

# What was stored for joins that failed: see `left_behind` of `federated_rooms`.
SWEPT_AT_ONCE: Final = ROWS_OF_A_SLICE
SWEEP_STORED = with_rows(
    "sweep_stored_events",
    _ROOM,
    "DELETE FROM events USING (SELECT e.event_id FROM {new} CROSS JOIN LATERAL (SELECT event_id FROM events "
    "WHERE events.room_id = new.room_id AND status <> 0 AND NOT EXISTS (SELECT FROM local_membership AS m "
    "WHERE m.room_id = events.room_id AND m.event_id = events.event_id) "
    f"ORDER BY event_id LIMIT {SWEPT_AT_ONCE}) AS e) AS gone WHERE events.event_id = gone.event_id",
)

DELETION = with_rows(
    "room_deletion",
    (("delete_id", "text"), *_ROOM, ("status", "text"), ("told", "text"), ("started_ts", "bigint")),
    "INSERT INTO room_deletions (delete_id, room_id, status, told, started_ts) "
    "SELECT delete_id, room_id, status, told, started_ts FROM {new} ON CONFLICT (delete_id) DO NOTHING",
)
DELETION_STATUS = with_rows(
    "room_deletion_status",
    (("delete_id", "text"), ("status", "text")),
    "UPDATE room_deletions SET status = new.status FROM {new} WHERE room_deletions.delete_id = new.delete_id",
)

WRITES: Final[tuple[Write, ...]] = (
    *(write for writes in STAGES.values() for write in writes),
    *(SWEEP_STORED, DELETION, DELETION_STATUS),
)
