"""The settings of readers, kept in memory and dropped when the log says that they changed."""

from collections.abc import Sequence
from typing import Final

from hs_common.bounded import Bounded
from hs_common.reading.settings import TYPES, Settings, read_settings
from hs_common.storage import sync_personal
from hs_common.storage.queries import Queries

MAXIMUM_USERS: Final = 10_000  # compiled push rules have some KiB


class ReaderSettings:
    """User → settings."""

    def __init__(self, db: Queries, maximum: int = MAXIMUM_USERS) -> None:
        """`maximum`: users remembered."""
        self._db = db
        self._known = Bounded[str, Settings](maximum)
        self._changes = 0

    async def of(self, user_id: str) -> Settings:
        """As this process' position has them, or newer."""
        settings = self._known.get(user_id)
        if settings is not None:
            self._known.move_to_end(user_id)
            return settings
        changes = self._changes
        settings = await self.fresh(user_id)
        if changes == self._changes:  # else what was read may be older than what the log said meanwhile
            self._known[user_id] = settings
        return settings

    async def of_many(self, user_ids: Sequence[str]) -> dict[str, Settings]:
        """The same of many users, those that are not remembered by one look-up."""
        found = {user_id: self._known[user_id] for user_id in user_ids if user_id in self._known}
        unknown = [user_id for user_id in user_ids if user_id not in found]
        changes = self._changes
        if unknown:
            contents: dict[str, dict[str, str]] = {user_id: {} for user_id in unknown}
            for user_id, data_type, content in await sync_personal.settings_of_many(self._db, unknown, TYPES):
                contents[user_id][data_type] = content
            found |= {user_id: read_settings(user_id, of_user) for user_id, of_user in contents.items()}
        for user_id in unknown if changes == self._changes else ():
            self._known[user_id] = found[user_id]
        return found

    async def fresh(self, user_id: str) -> Settings:
        """As they are now, whatever this process' position."""
        return read_settings(user_id, dict(await sync_personal.settings(self._db, user_id, TYPES)))

    def known(self, user_id: str) -> Settings | None:
        """As they are remembered, if they are."""
        return self._known.get(user_id)

    def changed(self, user_id: str, data_type: str) -> bool:
        """Account data changed; whether it was a setting."""
        if data_type not in TYPES:
            return False
        self._changes += 1
        self._known.pop(user_id, None)
        return True

    def forget(self) -> None:
        """The log began anew."""
        self._changes += 1
        self._known.clear()
