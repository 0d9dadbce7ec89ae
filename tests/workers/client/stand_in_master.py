"""A stand-in for the master: does what the calls of accounts ask for, in the tables, without a log.

Calls go through their encoding as on the wire. `calls` has all of them, `failures` the errors that the next ones meet.
"""

from typing import Any, TypeVar

from hs_common.matrix.errors import MatrixError, unknown_token
from hs_common.replication import calls
from hs_common.replication.calls import Answer, Call, NewSession
from hs_common.replication.link_interface import DEFAULT_OPTIONS, CallOptions
from hs_common.replication.sign_on_calls import ExternalId, SetExternalIds
from hs_common.storage.queries import Queries

CallType = TypeVar("CallType", bound=Call)


class StandInMaster:
    def __init__(self, db: Queries) -> None:
        self._db = db
        self.calls: list[Call] = []
        self.failures: list[MatrixError] = []
        self.pos = 0

    def of(self, kind: type[CallType]) -> list[CallType]:
        """The calls of one kind so far."""
        return [call for call in self.calls if isinstance(call, kind)]

    async def call(self, call: Call, key: bytes | None = None, options: CallOptions = DEFAULT_OPTIONS) -> Answer:
        name = type(call).__name__
        received: Any = calls.decode_call(name, calls.encode(call))
        self.calls.append(received)
        if self.failures:
            raise self.failures.pop(0)
        self.pos += 1
        work = getattr(self, f"_{name}", None)
        if work is not None:
            await work(received)
        return Answer(pos=self.pos)

    async def _RegisterUser(self, call: calls.RegisterUser) -> None:
        made = await self._db.execute(
            "INSERT INTO users (user_id, created_ts, password_hash, is_guest, admin, consent, pos)"
            " VALUES (%s, 0, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
            (call.user_id, call.password_hash, call.is_guest, call.admin, call.consent, self.pos),
        )
        if made == 0:
            raise MatrixError(400, "M_USER_IN_USE", "The user name is already taken")
        if call.external_id is not None:
            await self._tie(call.user_id, call.external_id)
        for field, value in call.profile.items():
            await self._set_profile(call.user_id, field, value)
        if call.session is not None:
            await self._open(call.user_id, call.session)

    async def _SetExternalIds(self, call: SetExternalIds) -> None:
        for one in call.removed:
            await self._db.execute(
                "DELETE FROM external_ids WHERE provider_id = %s AND subject = %s", (one.provider_id, one.subject)
            )
        for one in call.added:
            await self._tie(call.user_id, one)

    async def _tie(self, user_id: str, one: ExternalId) -> None:
        made = await self._db.execute(
            "INSERT INTO external_ids (provider_id, subject, user_id) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
            (one.provider_id, one.subject, user_id),
        )
        if made == 0:
            raise MatrixError(400, "M_USER_IN_USE", "Another account belongs to this person")

    async def _UpgradeGuest(self, call: calls.UpgradeGuest) -> None:
        await self._db.execute(
            "UPDATE users SET is_guest = false, password_hash = %s WHERE user_id = %s",
            (call.password_hash, call.user_id),
        )
        await self._db.execute("DELETE FROM access_tokens WHERE user_id = %s", (call.user_id,))
        if call.session is not None:
            await self._open(call.user_id, call.session)

    async def _OpenSession(self, call: calls.OpenSession) -> None:
        await self._open(call.user_id, call.session)

    async def _open(self, user_id: str, session: NewSession) -> None:
        await self._delete("access_tokens", user_id, [session.device_id])
        await self._delete("refresh_tokens", user_id, [session.device_id])
        await self._db.execute(
            "INSERT INTO devices (user_id, device_id, display_name, created_ts, pos) VALUES (%s, %s, %s, %s, %s)"
            " ON CONFLICT DO NOTHING",
            (user_id, session.device_id, session.display_name, self.pos, self.pos),
        )
        await self._add_access_token(user_id, session.device_id, session.token_hash, session.expires_at_ms)
        if session.refresh_hash is not None:
            await self._add_refresh_token(
                user_id, session.device_id, session.refresh_hash, session.refresh_expires_at_ms
            )

    async def _RefreshSession(self, call: calls.RefreshSession) -> None:
        row = await self._db.fetch_one(
            "DELETE FROM refresh_tokens WHERE token_hash = %s RETURNING user_id, device_id", (call.refresh_hash,)
        )
        if row is None:
            raise unknown_token()
        await self._add_access_token(row[0], row[1], call.token_hash, call.expires_at_ms)
        await self._add_refresh_token(row[0], row[1], call.new_refresh_hash, call.refresh_expires_at_ms)

    async def _CloseSessions(self, call: calls.CloseSessions) -> None:
        device_ids = call.device_ids
        if device_ids is None:
            rows = await self._db.fetch("SELECT device_id FROM devices WHERE user_id = %s", (call.user_id,))
            device_ids = [row[0] for row in rows if row[0] != call.except_device]
        for table in ("access_tokens", "refresh_tokens", "devices"):
            await self._delete(table, call.user_id, device_ids)

    async def _RenameDevice(self, call: calls.RenameDevice) -> None:
        await self._db.execute(
            "UPDATE devices SET display_name = %s WHERE user_id = %s AND device_id = %s",
            (call.display_name, call.user_id, call.device_id),
        )

    async def _SetPassword(self, call: calls.SetPassword) -> None:
        await self._db.execute(
            "UPDATE users SET password_hash = %s WHERE user_id = %s", (call.password_hash, call.user_id)
        )

    async def _SetUserState(self, call: calls.SetUserState) -> None:
        await self._db.execute(
            "UPDATE users SET locked = coalesce(%s, locked), suspended = coalesce(%s, suspended),"
            " consent = coalesce(%s, consent), deactivated = deactivated AND NOT %s WHERE user_id = %s",
            (call.locked, call.suspended, call.consent, call.reactivated, call.user_id),
        )

    async def _MakeDevice(self, call: calls.MakeDevice) -> None:
        await self._db.execute(
            "INSERT INTO devices (user_id, device_id, display_name, created_ts, pos) VALUES (%s, %s, %s, 0, %s)"
            " ON CONFLICT DO NOTHING",
            (call.user_id, call.device_id, call.display_name, self.pos),
        )

    async def _DeactivateUser(self, call: calls.DeactivateUser) -> None:
        await self._db.execute(
            "UPDATE users SET deactivated = true, erased = %s, password_hash = NULL WHERE user_id = %s",
            (call.erase, call.user_id),
        )

    async def _SetProfile(self, call: calls.SetProfile) -> None:
        await self._set_profile(call.user_id, call.field, call.value)

    async def _set_profile(self, user_id: str, field: str, value: bytes | None) -> None:
        await self._db.execute("DELETE FROM profiles WHERE user_id = %s AND field = %s", (user_id, field))
        if value is not None:
            await self._db.execute(
                "INSERT INTO profiles (user_id, field, value, pos) VALUES (%s, %s, %s, %s)",
                (user_id, field, value.decode(), self.pos),
            )

    async def _SetAccountData(self, call: calls.SetAccountData) -> None:
        key = (call.user_id, call.room_id, call.type)
        row = await self._db.fetch_one(
            "SELECT pos FROM account_data WHERE user_id = %s AND room_id = %s AND type = %s", key
        )
        if call.expected_pos is not None and call.expected_pos != (row[0] if row else 0):
            raise MatrixError(409, "M_CONFLICT", "The account data has changed")
        await self._db.execute(
            "INSERT INTO account_data (user_id, room_id, type, content, pos) VALUES (%s, %s, %s, %s, %s)"
            " ON CONFLICT (user_id, room_id, type) DO UPDATE SET content = excluded.content, pos = excluded.pos",
            (*key, call.content.decode(), self.pos),
        )

    async def _delete(self, table: str, user_id: str, device_ids: list[str]) -> None:
        await self._db.execute(f"DELETE FROM {table} WHERE user_id = %s AND device_id = ANY(%s)", (user_id, device_ids))

    async def _add_access_token(self, user_id: str, device_id: str, token_hash: bytes, expires: int | None) -> None:
        await self._db.execute(
            "INSERT INTO access_tokens (token_hash, user_id, device_id, expires_at_ms, pos)"
            " VALUES (%s, %s, %s, %s, %s)",
            (token_hash, user_id, device_id, expires, self.pos),
        )

    async def _add_refresh_token(self, user_id: str, device_id: str, token_hash: bytes, expires: int | None) -> None:
        await self._db.execute(
            "INSERT INTO refresh_tokens (token_hash, user_id, device_id, expires_at_ms, pos)"
            " VALUES (%s, %s, %s, %s, %s)",
            (token_hash, user_id, device_id, expires, self.pos),
        )
