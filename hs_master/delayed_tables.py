"""The statements about events that are sent later; part of the master's tables."""

from typing import Final

from hs_master.bulk import insert, with_rows
from hs_master.log_store.types import Write

SCHEDULED = insert(
    "delayed_event",
    "delayed_events",
    (
        *(("delay_id", "text"), ("user_id", "text"), ("room_id", "text"), ("type", "text"), ("state_key", "text")),
        *(("content", "text"), ("redacts", "text"), ("device_id", "text"), ("timestamp_ms", "bigint")),
        *(("delay_ms", "bigint"), ("since_ms", "bigint"), ("due_ms", "bigint"), ("pos", "bigint")),
    ),
)
RESTARTED = with_rows(
    "delayed_event_restarted",
    (("delay_id", "text"), ("since_ms", "bigint"), ("due_ms", "bigint")),
    "UPDATE delayed_events AS old SET since_ms = new.since_ms, due_ms = new.due_ms FROM {new}"
    " WHERE old.delay_id = new.delay_id",
)
FINALISED = with_rows(
    "delayed_event_finalised",
    (("delay_id", "text"), ("finalised_ms", "bigint"), ("event_id", "text"), ("error", "text")),
    "UPDATE delayed_events AS old SET finalised_ms = new.finalised_ms, event_id = new.event_id, error = new.error"
    " FROM {new} WHERE old.delay_id = new.delay_id",
)
PRUNED = with_rows(
    "delayed_event_pruned",
    (("before_ms", "bigint"),),
    "DELETE FROM delayed_events USING {new} WHERE finalised_ms < new.before_ms",
)

ORDER: Final[tuple[Write, ...]] = (PRUNED, SCHEDULED, RESTARTED, FINALISED)
