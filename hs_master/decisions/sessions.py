"""Deciding on devices and tokens: logging in, refreshing, logging out.

Tokens come as digests and are kept as digests. A refresh token stays valid until what it was exchanged for is first
used, so a lost answer costs nobody his session.
Spec: client-server-api/_index.md#client-authentication, #refreshing-access-tokens.
"""

from typing import Any, Final

from hs_common.matrix.errors import MatrixError, forbidden, invalid_param, not_found, unknown_token
from hs_common.replication.calls import (
    Answer,
    CloseSessions,
    ConfirmRefresh,
    MakeDevice,
    NewSession,
    OpenSession,
    RefreshSession,
    RenameDevice,
)
from hs_common.replication.items import SessionsItem
from hs_common.storage import master_reads
from hs_common.storage.cross_signing import CrossSigningKey, cross_signing_keys
from hs_common.storage.queries import Queries, Row
from hs_master import encryption_tables, tables
from hs_master.device_lists import change_devices
from hs_master.step import Step

# Indices into `master_reads.user` rows.
LOCKED: Final = 4
SUSPENDED: Final = 5
DEACTIVATED: Final = 6


def user_queue(user_id: str) -> str:
    """The queue of everything that changes an account, its devices and tokens."""
    return f"user {user_id}"


class Sessions:
    """A user's devices and tokens as read, and what closing some of them changes."""

    def __init__(self, devices: list[str], access: list[Row], refresh: list[Row]) -> None:
        self.devices = devices
        self.access = access
        self.refresh = refresh

    @classmethod
    async def read(cls, db: Queries, user_id: str) -> "Sessions":
        return cls(
            await master_reads.device_ids(db, user_id),
            await master_reads.access_tokens(db, user_id),
            await master_reads.refresh_tokens(db, user_id),
        )

    def revoke(self, step: Step, user_id: str, device_ids: set[str] | None) -> None:
        """End the tokens of these devices, or all (None)."""
        hashes = [bytes(token) for token, device_id, _ in self.access if device_ids is None or device_id in device_ids]
        for token_hash in hashes:
            step.row(tables.ACCESS_TOKEN_DELETE, token_hash)
        for token, device_id, _ in self.refresh:
            if device_ids is None or device_id in device_ids:
                step.row(tables.REFRESH_TOKEN_DELETE, bytes(token))
        if hashes:
            step.item(SessionsItem(user_id, hashes))

    def remove_devices(self, step: Step, user_id: str, device_ids: set[str]) -> None:
        """Delete devices with their tokens, keys, messages and pushers."""
        self.revoke(step, user_id, device_ids)
        removed = sorted(device_ids.intersection(self.devices))
        for device_id in removed:
            step.row(tables.DEVICE_DELETE, user_id, device_id)
            step.row(encryption_tables.DEVICE_KEYS_END, user_id, device_id)
            step.row(encryption_tables.INBOX_END, user_id, device_id)
            step.row(tables.PUSHERS_OF_DEVICE_DELETE, user_id, device_id)
        if removed:
            change_devices(step, user_id, removed, removed=True)


def open_session(step: Step, user_id: str, session: NewSession, existing: Row | None) -> None:
    """Write a device and its tokens; `existing` is the device's row (display_name, created_ts), if there is one."""
    if existing is None:
        _write_new_device(step, user_id, session.device_id, session.display_name)
    step.row(
        tables.ACCESS_TOKEN,
        session.token_hash,
        user_id,
        session.device_id,
        session.expires_at_ms,
        session.refresh_hash,
        step.next_pos(),
        None,
    )
    if session.refresh_hash is not None:
        step.upsert(
            tables.REFRESH_TOKEN,
            (session.refresh_hash.hex(),),
            session.refresh_hash,
            user_id,
            session.device_id,
            None,
            session.refresh_expires_at_ms,
            step.next_pos(),
        )
    # The barrier needs a position after which the token is known everywhere.
    step.item(SessionsItem(user_id, []))


def end_token(step: Step, user_id: str, token_hash: bytes) -> None:
    """One access token, and nothing else."""
    step.row(tables.ACCESS_TOKEN_DELETE, token_hash)
    step.item(SessionsItem(user_id, [token_hash]))


def _check_device_id(device_id: str, keys: list[CrossSigningKey]) -> None:
    """Device ids and cross-signing keys share the namespace of key ids: #cross-signing. Raises M_INVALID_PARAM."""
    if any(key.public_key == device_id for key in keys):
        raise invalid_param("This device id is the name of a cross-signing key")


def _write_new_device(step: Step, user_id: str, device_id: str, display_name: str | None) -> None:
    pos = change_devices(step, user_id, [device_id])
    # What an earlier device of this name may have left (see the statement).
    step.row(encryption_tables.DEVICE_KEYS_END, user_id, device_id)
    step.row(tables.DEVICE, user_id, device_id, display_name, step.now_ms, pos)


class OpenSessionDecider:
    def queue(self, call: OpenSession) -> str:
        return user_queue(call.user_id)

    async def load(self, call: OpenSession, db: Queries) -> tuple[Any, Any, Sessions, list[CrossSigningKey]]:
        return (
            await master_reads.user(db, call.user_id),
            await master_reads.device(db, call.user_id, call.session.device_id),
            await Sessions.read(db, call.user_id),
            await cross_signing_keys(db, [call.user_id]),
        )

    def decide(self, call: OpenSession, step: Step, loaded: tuple[Any, Any, Sessions, list[CrossSigningKey]]) -> Answer:
        user, device, sessions, keys = loaded
        if user is None:
            raise forbidden("Unknown user or wrong password")
        if user[DEACTIVATED]:
            raise MatrixError(403, "M_USER_DEACTIVATED", "This account is deactivated")
        if user[LOCKED]:
            raise MatrixError(401, "M_USER_LOCKED", "This account is locked", {"soft_logout": True})
        _check_device_id(call.session.device_id, keys)
        sessions.revoke(step, call.user_id, {call.session.device_id})
        open_session(step, call.user_id, call.session, device)
        return Answer(pos=step.pos)


class Exchange:
    """A refresh token as read: its row, the one it replaced, and the access tokens of its user."""

    def __init__(self, token: Row, predecessor: bytes | None, access: list[Row], user: Row | None) -> None:
        self.user_id, self.device_id, self.next_hash, self.expires_at_ms = token
        self.predecessor = predecessor
        self.access = access
        self.user = user

    @classmethod
    async def read(cls, db: Queries, refresh_hash: bytes) -> "Exchange | None":
        token = await master_reads.refresh_token(db, refresh_hash)
        if token is None:
            return None
        return cls(
            token,
            await master_reads.predecessor(db, refresh_hash),
            await master_reads.access_tokens(db, token[0]),
            await master_reads.user(db, token[0]),
        )

    def drop(self, step: Step, refresh_hash: bytes) -> None:
        """End a refresh token and the access tokens that were given out with it."""
        step.row(tables.REFRESH_TOKEN_DELETE, refresh_hash)
        ended = [bytes(token) for token, _, refresh in self.access if refresh and bytes(refresh) == refresh_hash]
        for token_hash in ended:
            step.row(tables.ACCESS_TOKEN_DELETE, token_hash)
        if ended:
            step.item(SessionsItem(self.user_id, ended))


class RefreshSessionDecider:
    """The old refresh token learns its successor and lives on; a second exchange replaces the first one's result."""

    def queue(self, call: RefreshSession) -> str:
        return user_queue(call.user_id)

    async def load(self, call: RefreshSession, db: Queries) -> Exchange | None:
        return await Exchange.read(db, call.refresh_hash)

    def decide(self, call: RefreshSession, step: Step, loaded: Exchange | None) -> Answer:
        if loaded is None or loaded.user_id != call.user_id or loaded.user is None or loaded.user[DEACTIVATED]:
            raise unknown_token()
        if loaded.expires_at_ms is not None and loaded.expires_at_ms <= step.now_ms:
            raise unknown_token()
        if loaded.next_hash is not None:
            # What an earlier exchange gave out was never used: the client did not get it.
            loaded.drop(step, bytes(loaded.next_hash))
        if loaded.predecessor is not None:
            loaded.drop(step, loaded.predecessor)
        self._write(call, step, loaded)
        return Answer(pos=step.item(SessionsItem(loaded.user_id, [])))

    def _write(self, call: RefreshSession, step: Step, loaded: Exchange) -> None:
        user_id, device_id, pos = loaded.user_id, loaded.device_id, step.next_pos()
        for token, successor, expires_at_ms in (
            (call.refresh_hash, call.new_refresh_hash, loaded.expires_at_ms),
            (call.new_refresh_hash, None, call.refresh_expires_at_ms),
        ):
            step.upsert(tables.REFRESH_TOKEN, (token.hex(),), token, user_id, device_id, successor, expires_at_ms, pos)
        access = (call.token_hash, user_id, device_id, call.expires_at_ms, call.new_refresh_hash, pos, None)
        step.row(tables.ACCESS_TOKEN, *access)


class ConfirmRefreshDecider:
    def queue(self, call: ConfirmRefresh) -> str:
        return user_queue(call.user_id)

    async def load(self, call: ConfirmRefresh, db: Queries) -> Exchange | None:
        token = await master_reads.access_token(db, call.token_hash)
        return None if token is None or token[2] is None else await Exchange.read(db, bytes(token[2]))

    def decide(self, call: ConfirmRefresh, step: Step, loaded: Exchange | None) -> Answer:
        if loaded is not None and loaded.predecessor is not None:
            loaded.drop(step, loaded.predecessor)
        return Answer(pos=step.pos)


class CloseSessionsDecider:
    def queue(self, call: CloseSessions) -> str:
        return user_queue(call.user_id)

    async def load(self, call: CloseSessions, db: Queries) -> tuple[Sessions, list[Row]]:
        as_others = await master_reads.tokens_opened_by(db, call.user_id) if call.device_ids is None else []
        return await Sessions.read(db, call.user_id), as_others

    def decide(self, call: CloseSessions, step: Step, loaded: tuple[Sessions, list[Row]]) -> Answer:
        sessions, as_others = loaded
        named = set(sessions.devices if call.device_ids is None else call.device_ids)
        named |= {device for _, device, _ in sessions.access if call.device_ids is None and device is not None}
        sessions.remove_devices(step, call.user_id, named - {call.except_device})
        for user_id, token_hash in as_others:
            end_token(step, user_id, bytes(token_hash))
        if call.token_hash is not None and any(bytes(token) == call.token_hash for token, _, _ in sessions.access):
            end_token(step, call.user_id, call.token_hash)
        return Answer(pos=step.pos)


class MakeDeviceDecider:
    def queue(self, call: MakeDevice) -> str:
        return user_queue(call.user_id)

    async def load(self, call: MakeDevice, db: Queries) -> tuple[Row | None, Row | None, list[CrossSigningKey]]:
        return (
            await master_reads.user(db, call.user_id),
            await master_reads.device(db, call.user_id, call.device_id),
            await cross_signing_keys(db, [call.user_id]),
        )

    def decide(
        self, call: MakeDevice, step: Step, loaded: tuple[Row | None, Row | None, list[CrossSigningKey]]
    ) -> Answer:
        user, device, keys = loaded
        if user is None:
            raise not_found(f"There is no user {call.user_id}")
        if device is None:
            _check_device_id(call.device_id, keys)
            _write_new_device(step, call.user_id, call.device_id, call.display_name)
        return Answer(pos=step.pos)


class RenameDeviceDecider:
    def queue(self, call: RenameDevice) -> str:
        return user_queue(call.user_id)

    async def load(self, call: RenameDevice, db: Queries) -> Row | None:
        return await master_reads.device(db, call.user_id, call.device_id)

    def decide(self, call: RenameDevice, step: Step, loaded: Row | None) -> Answer:
        if loaded is None:
            raise not_found(f"You have no device {call.device_id}")
        pos = change_devices(step, call.user_id, [call.device_id])
        step.row(tables.DEVICE, call.user_id, call.device_id, call.display_name, loaded[1], pos)
        return Answer(pos=pos)
