"""Whom a user finds by name: candidates by their words, then those of them that he could meet.

A candidate who is in no room with him, and in none that anybody may join or read, is passed over, at most
`MAXIMUM_EXAMINED` of them: a bridge has ghosts by the ten thousand whom nobody else may find.

Spec: client-server API, #user-directory.
"""

from collections.abc import Sequence
from typing import Any, Final

import orjson

from hs_common.matrix.name_words import plain, term_words
from hs_common.reading.room_view import ignored_users
from hs_common.storage import account_data, user_directory
from hs_common.storage.queries import Queries, Row

LOOKED_AT_ONCE: Final = 500
MAXIMUM_EXAMINED: Final = 5_000


class FoundUsers:
    """Finds users. `everybody`: all that are known, as the operator chose."""

    def __init__(self, db: Queries, server_name: str, everybody: bool) -> None:
        self._db = db
        self._suffix = ":" + server_name
        self._everybody = everybody

    async def find(self, user_id: str, term: str, limit: int) -> tuple[list[dict[str, Any]], bool]:
        """The users, and whether there are more."""
        words = term_words(term)
        if not words or limit == 0:
            return [], False
        ignored = await self._ignored(user_id)
        exact = plain(term.strip().lstrip("@"))
        candidates = await user_directory.candidates(self._db, _query(words), exact, self._suffix, MAXIMUM_EXAMINED)
        found: list[Row] = []
        for offset in range(0, len(candidates), LOOKED_AT_ONCE):
            rows = candidates[offset : offset + LOOKED_AT_ONCE]
            visible = await self._visible(user_id, [row[0] for row in rows])
            found += [row for row in rows if row[0] in visible and row[0] not in ignored]
            if len(found) > limit:
                break
        return [_told(row) for row in found[:limit]], len(found) > limit

    async def _visible(self, user_id: str, others: Sequence[str]) -> set[str]:
        if self._everybody or not others:
            return set(others)
        visible = await user_directory.sharing(self._db, user_id, others)
        strangers = [other for other in others if other not in visible]
        return visible | (await user_directory.in_public_rooms(self._db, strangers) if strangers else set())

    async def _ignored(self, user_id: str) -> frozenset[str]:
        stored = await account_data.account_data(self._db, user_id, "", "m.ignored_user_list")
        return frozenset() if stored is None else ignored_users(orjson.loads(stored[0]))


def _query(words: Sequence[str]) -> str:
    """The query for users with words that begin so, all of them."""
    return " & ".join("'" + word.replace("\\", "\\\\").replace("'", "''") + "':*" for word in words)


def _told(row: Row) -> dict[str, Any]:
    user_id, display_name, avatar_url = row
    told = {"user_id": user_id, "display_name": display_name, "avatar_url": avatar_url}
    return {key: value for key, value in told.items() if value is not None}
