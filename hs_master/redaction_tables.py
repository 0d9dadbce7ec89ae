"""The statements that write redactions: what they take from events, and those that wait for what they redact.

As in `tables`, which runs them in the order in which they stand in `WRITES`.
"""

from typing import Final

from hs_master.bulk import insert, with_rows
from hs_master.log_store.types import Write

REDACT = with_rows(
    "redact",
    (("event_id", "text"), ("json", "text"), ("redacted_by", "text")),
    "UPDATE events SET json = new.json, redacted_by = new.redacted_by FROM {new} WHERE events.event_id = new.event_id",
)
REDACT_RULE_BITS = with_rows(
    "redact_rule_bits",
    (("event_id", "text"),),
    "UPDATE timeline SET rule_bits = 0 FROM {new} WHERE timeline.event_id = new.event_id",
)
REDACT_RELATION = with_rows(
    "redact_relation",
    (("event_id", "text"),),
    "DELETE FROM relations USING {new} WHERE relations.event_id = new.event_id",
)
REDACT_MENTION = with_rows(
    "redact_mention", (("event_id", "text"),), "DELETE FROM mentions USING {new} WHERE mentions.event_id = new.event_id"
)
# A redaction that waited is shown: until then it was kept aside. It keeps its position of then, since it is not among
# the newest events of its room, whatever its place in the timeline is.
REVEAL = with_rows(
    "reveal", (("event_id", "text"),), "UPDATE events SET status = 0 FROM {new} WHERE events.event_id = new.event_id"
)
HELD_REDACTION_END = with_rows(
    "held_redaction_end",
    (("target_id", "text"), ("event_id", "text")),
    "DELETE FROM held_redactions AS held USING {new} "
    "WHERE held.target_id = new.target_id AND held.event_id = new.event_id",
)
HELD_REDACTION = insert(
    "held_redaction",
    "held_redactions",
    (
        *(("target_id", "text"), ("event_id", "text"), ("room_id", "text")),
        *(("by_power", "boolean"), ("order_pos", "bigint"), ("order_sub", "integer")),
    ),
    "ON CONFLICT DO NOTHING",
)

WRITES: Final[tuple[Write, ...]] = (
    *(REDACT, REDACT_RULE_BITS, REDACT_RELATION, REDACT_MENTION),
    *(REVEAL, HELD_REDACTION_END, HELD_REDACTION),
)
