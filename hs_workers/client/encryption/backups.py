"""A user's backups of room keys.

Keys go only into the newest version; older ones can be read and deleted from.

Spec: client-server-api/#server-side-key-backups.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from hs_common.matrix.errors import MatrixError, invalid_param, not_found
from hs_common.storage import key_backup
from hs_common.storage.key_backup import BackedUpKey, Backup
from hs_common.storage.queries import Queries


class TransactionalQueries(Queries, Protocol):
    """The database, with transactions of several statements."""

    def transaction(self) -> AbstractAsyncContextManager[Queries]:
        """One transaction: committed when the block ends, rolled back when it raises."""


class Backups:
    """Reads and writes backups. `now_ms` is the time of day."""

    def __init__(self, db: TransactionalQueries, now_ms: Callable[[], int]) -> None:
        self._db = db
        self._now_ms = now_ms

    async def create(self, user_id: str, algorithm: str, auth_data: str) -> int:
        """A new version, empty."""
        return await key_backup.create_backup(self._db, user_id, algorithm, auth_data, self._now_ms())

    async def get(self, user_id: str, version: str | None = None) -> Backup:
        """A version, the current one if None. Raises M_NOT_FOUND."""
        found = None
        if version is None or _is_version(version):
            number = None if version is None else int(version)
            found = await key_backup.backup(self._db, user_id, number)
        if found is None:
            raise not_found("No current backup version" if version is None else "Unknown backup version")
        return found

    async def update(self, user_id: str, version: str, algorithm: str, auth_data: str) -> None:
        """Changes how a version is encrypted. Raises M_NOT_FOUND, M_INVALID_PARAM for another algorithm."""
        found = await self.get(user_id, version)
        if found.algorithm != algorithm:
            raise invalid_param("Algorithm does not match")
        await key_backup.set_auth_data(self._db, user_id, found.version, auth_data)

    async def delete(self, user_id: str, version: str) -> None:
        """Deletes a version with its keys; once more is no mistake. Raises M_NOT_FOUND."""
        if not _is_version(version):
            raise not_found("Unknown backup version")
        async with self._db.transaction() as txn:
            if not await key_backup.delete_backup(txn, user_id, int(version)):
                raise not_found("Unknown backup version")
            await key_backup.delete_keys(txn, user_id, int(version))

    async def put(self, user_id: str, version: str, keys: Sequence[BackedUpKey]) -> Backup:
        """Puts keys into the current version, where they are better than what is there. The version afterwards.

        Raises M_NOT_FOUND, M_WRONG_ROOM_KEYS_VERSION.
        """
        current = await self.get(user_id)
        if version != str(current.version):
            fields = {"current_version": str(current.version)}
            raise MatrixError(403, "M_WRONG_ROOM_KEYS_VERSION", "Wrong backup version.", fields)
        async with self._db.transaction() as txn:
            if not await key_backup.lock_backup(txn, user_id, current.version):
                raise not_found("Unknown backup version")
            added, replaced = await key_backup.put_keys(txn, user_id, current.version, keys)
            if added or replaced:
                await key_backup.note_change(txn, user_id, current.version, added)
        return await self.get(user_id, version)

    async def keys(
        self, user_id: str, version: str, room_id: str | None = None, session_id: str | None = None
    ) -> list[BackedUpKey]:
        """The keys of a version, of a room or session in it. Raises M_NOT_FOUND for the version."""
        found = await self.get(user_id, version)
        return await key_backup.keys(self._db, user_id, found.version, room_id, session_id)

    async def delete_keys(
        self, user_id: str, version: str, room_id: str | None = None, session_id: str | None = None
    ) -> Backup:
        """Deletes keys of a version, of a room or session in it. The version afterwards. Raises M_NOT_FOUND."""
        found = await self.get(user_id, version)
        async with self._db.transaction() as txn:
            if not await key_backup.lock_backup(txn, user_id, found.version):
                raise not_found("Unknown backup version")
            deleted = await key_backup.delete_keys(txn, user_id, found.version, room_id, session_id)
            if deleted:
                await key_backup.note_change(txn, user_id, found.version, -deleted)
        return await self.get(user_id, version)


def _is_version(version: str) -> bool:
    """Whether this may be a version of ours: decimal, within bigint."""
    return version.isascii() and version.isdigit() and len(version) <= 18 and str(int(version)) == version
