"""The statements that write what is found by searching: the words of events, and the names of users.

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

LISTED_USER = with_rows(
    "listed_user",
    (("user_id", "text"), ("display_name", "text"), ("avatar_url", "text"), ("words", "text")),
    "INSERT INTO user_directory (user_id, display_name, avatar_url, words) "
    "SELECT user_id, display_name, avatar_url, array_to_tsvector(string_to_array(words, ' ')) FROM {new} "
    "ON CONFLICT (user_id) DO UPDATE SET display_name = excluded.display_name, avatar_url = excluded.avatar_url, "
    "words = excluded.words WHERE (user_directory.display_name, user_directory.avatar_url) "
    "IS DISTINCT FROM (excluded.display_name, excluded.avatar_url)",
)
UNLISTED_USER = with_rows(
    "unlisted_user",
    (("user_id", "text"),),
    "DELETE FROM user_directory USING {new} WHERE user_directory.user_id = new.user_id",
)

WRITES: Final[tuple[Write, ...]] = (SEARCH, REDACT_SEARCH, LISTED_USER, UNLISTED_USER)
