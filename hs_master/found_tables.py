"""The statements that write what is found by searching: the words of events.

As in `tables`, which runs them in the order in which they stand in `WRITES`.
"""

from typing import Final

from hs_master.bulk import with_rows
from hs_master.log_store.types import Write

SEARCH = with_rows(
    "search",
    (
        ("event_id", "text"),
        ("room_id", "text"),
        ("sender", "text"),
        ("key", "smallint"),
        ("origin_server_ts", "bigint"),
        ("pos", "bigint"),
        ("body", "text"),
    ),
    "INSERT INTO search (event_id, room_id, sender, key, origin_server_ts, pos, words) "
    "SELECT event_id, room_id, sender, key, origin_server_ts, pos, searched_words(body, room_id, sender) FROM {new} "
    "ON CONFLICT (event_id) DO NOTHING",
)
REDACT_SEARCH = with_rows(
    "redact_search", (("event_id", "text"),), "DELETE FROM search USING {new} WHERE search.event_id = new.event_id"
)

WRITES: Final[tuple[Write, ...]] = (SEARCH, REDACT_SEARCH)
