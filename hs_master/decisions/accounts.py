"""Deciding on accounts: making them, their flags, password, profile, account data, and their end.

Spec: client-server-api/_index.md#account-registration-and-management, #profiles, modules/account_data.md.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from hs_common.matrix.errors import MatrixError, forbidden, not_found
from hs_common.replication.calls import (
    Answer,
    DeactivateUser,
    RegisterUser,
    SetAccountData,
    SetPassword,
    SetProfile,
    SetUserState,
    UpgradeGuest,
)
from hs_common.replication.items import AccountDataItem, ProfileItem, UserItem
from hs_common.replication.sign_on_calls import ExternalId, SetExternalIds
from hs_common.storage import master_reads
from hs_common.storage.cross_signing import CrossSigningKey, cross_signing_keys
from hs_common.storage.queries import Queries, Row
from hs_master import tables
from hs_master.decisions.encryption import end_cross_signing
from hs_master.decisions.sessions import Sessions, end_token, open_session, user_queue
from hs_master.jobs.kinds import DeactivationJob, ProfileJob, write_job
from hs_master.step import Profile, Step
from hs_master.user_directory import list_local, unlist

# A whole profile as JSON. Spec: client-server-api/_index.md#profiles.
MAXIMUM_PROFILE_BYTES: Final = 65536
# The fields that stand in member events too.
MEMBER_FIELDS: Final = ("displayname", "avatar_url")


class Account:
    """A user's row, as it is and as it is to be written."""

    def __init__(self, row: Row) -> None:
        self.created_ts = row[0]
        self.password_hash: str | None = row[1]
        self.is_guest, self.admin, self.locked, self.suspended, self.deactivated, self.erased = row[2:8]
        self.appservice_id: str | None = row[8]
        self.consent: str | None = row[9]

    @classmethod
    def new(
        cls,
        created_ts: int,
        *,
        password_hash: str | None = None,
        is_guest: bool = False,
        admin: bool = False,
        appservice_id: str | None = None,
        consent: str | None = None,
    ) -> "Account":
        """One that is neither locked nor anything else."""
        flags = (is_guest, admin, False, False, False, False)
        return cls((created_ts, password_hash, *flags, appservice_id, consent))

    def write(self, step: Step, user_id: str, created: bool = False) -> int:
        """The row, and the item that tells every worker at once. Returns its position."""
        pos = step.item(UserItem(user_id, self.locked, self.suspended, self.deactivated, created))
        step.row(
            tables.USER,
            user_id,
            self.created_ts,
            self.password_hash,
            self.is_guest,
            self.admin,
            self.locked,
            self.suspended,
            self.deactivated,
            self.erased,
            self.appservice_id,
            self.consent,
            pos,
        )
        return pos


def _known(row: Row | None, user_id: str) -> Account:
    if row is None:
        raise not_found(f"There is no user {user_id}")
    return Account(row)


Owners = dict[tuple[str, str], str]
"""(provider, subject) → whose account is used by them."""


async def _owners(db: Queries, external_ids: Sequence[ExternalId]) -> Owners:
    if not external_ids:
        return {}
    return await master_reads.users_of_external_ids(db, [(one.provider_id, one.subject) for one in external_ids])


class RegisterUserDecider:
    def queue(self, call: RegisterUser) -> str:
        return user_queue(call.user_id)

    async def load(self, call: RegisterUser, db: Queries) -> tuple[Row | None, Owners]:
        [loaded] = await self.load_many([call], db)
        return loaded

    async def load_many(self, calls: Sequence[RegisterUser], db: Queries) -> list[tuple[Row | None, Owners]]:
        """Ghosts come by the thousand."""
        found = await master_reads.users(db, [call.user_id for call in calls])
        owners = await _owners(db, [call.external_id for call in calls if call.external_id is not None])
        return [(found.get(call.user_id), owners) for call in calls]

    def decide(self, call: RegisterUser, step: Step, loaded: tuple[Row | None, Owners]) -> Answer:
        row, owners = loaded
        if row is not None:
            raise MatrixError(400, "M_USER_IN_USE", "This user id is taken")
        if call.external_id is not None:
            _tie(step, call.user_id, call.external_id, owners)
        account = Account.new(
            step.now_ms,
            password_hash=call.password_hash,
            is_guest=call.is_guest,
            admin=call.admin,
            appservice_id=call.appservice_id,
            consent=call.consent,
        )
        account.write(step, call.user_id, created=True)
        for field, value in call.profile.items():
            pos = step.item(ProfileItem(call.user_id, field, value))
            step.row(tables.PROFILE, call.user_id, field, value.decode(), pos)
        step.profiles[call.user_id] = _in_member_events(call.profile)
        if not call.is_guest:
            list_local(step, call.user_id, call.profile)
        if call.session is not None:
            open_session(step, call.user_id, call.session, None)
        return Answer(pos=step.pos)


class UpgradeGuestDecider:
    """Spec: client-server-api/modules/guest_access.md."""

    def queue(self, call: UpgradeGuest) -> str:
        return user_queue(call.user_id)

    async def load(self, call: UpgradeGuest, db: Queries) -> tuple[Row | None, Sessions, dict[str, str]]:
        return (
            await master_reads.user(db, call.user_id),
            await Sessions.read(db, call.user_id),
            await master_reads.profile(db, call.user_id),
        )

    def decide(self, call: UpgradeGuest, step: Step, loaded: tuple[Row | None, Sessions, dict[str, str]]) -> Answer:
        row, sessions, profile = loaded
        account = None if row is None else Account(row)
        if account is None or not account.is_guest or account.deactivated:
            raise forbidden("This is no guest of this server")
        account.is_guest, account.password_hash = False, call.password_hash
        account.write(step, call.user_id)
        list_local(step, call.user_id, profile)
        sessions.remove_devices(step, call.user_id, set(sessions.devices))
        sessions.revoke(step, call.user_id, None)
        if call.session is not None:
            open_session(step, call.user_id, call.session, None)
        return Answer(pos=step.pos)


class SetPasswordDecider:
    def queue(self, call: SetPassword) -> str:
        return user_queue(call.user_id)

    async def load(self, call: SetPassword, db: Queries) -> Row | None:
        return await master_reads.user(db, call.user_id)

    def decide(self, call: SetPassword, step: Step, loaded: Row | None) -> Answer:
        account = _known(loaded, call.user_id)
        account.password_hash = call.password_hash
        return Answer(pos=account.write(step, call.user_id))


def _tie(step: Step, user_id: str, external_id: ExternalId, owners: Owners) -> None:
    owner = owners.get((external_id.provider_id, external_id.subject))
    if owner not in (None, user_id):
        raise MatrixError(400, "M_USER_IN_USE", f"Another account belongs to this person at {external_id.provider_id}")
    step.row(tables.EXTERNAL_ID, external_id.provider_id, external_id.subject, user_id)


class SetExternalIdsDecider:
    """Nobody caches these: the account's item that goes with them only gives the change its position."""

    def queue(self, call: SetExternalIds) -> str:
        return user_queue(call.user_id)

    async def load(self, call: SetExternalIds, db: Queries) -> tuple[Row | None, Owners]:
        return await master_reads.user(db, call.user_id), await _owners(db, call.added)

    def decide(self, call: SetExternalIds, step: Step, loaded: tuple[Row | None, Owners]) -> Answer:
        row, owners = loaded
        account = _known(row, call.user_id)
        for external_id in call.added:
            _tie(step, call.user_id, external_id, owners)
        for external_id in call.removed:
            step.row(tables.EXTERNAL_ID_DELETE, external_id.provider_id, external_id.subject, call.user_id)
        return Answer(pos=account.write(step, call.user_id))


class SetUserStateDecider:
    def queue(self, call: SetUserState) -> str:
        return user_queue(call.user_id)

    async def load(self, call: SetUserState, db: Queries) -> Row | None:
        return await master_reads.user(db, call.user_id)

    def decide(self, call: SetUserState, step: Step, loaded: Row | None) -> Answer:
        account = _known(loaded, call.user_id)
        for name in ("locked", "suspended", "admin"):
            wanted = getattr(call, name)
            if wanted is not None:
                setattr(account, name, wanted)
        if call.consent is not None:
            account.consent = call.consent
        if call.reactivated:
            account.deactivated = account.erased = False
        return Answer(pos=account.write(step, call.user_id))


class DeactivateUserDecider:
    """The account ends at once; leaving its rooms and dropping its key backup is a job that the leader resumes."""

    def queue(self, call: DeactivateUser) -> str:
        return user_queue(call.user_id)

    async def load(
        self, call: DeactivateUser, db: Queries
    ) -> tuple[Row | None, Sessions, dict[str, str], list[CrossSigningKey], list[Row]]:
        return (
            await master_reads.user(db, call.user_id),
            await Sessions.read(db, call.user_id),
            await master_reads.profile(db, call.user_id),
            await cross_signing_keys(db, [call.user_id]),
            await master_reads.tokens_opened_by(db, call.user_id),
        )

    def decide(
        self,
        call: DeactivateUser,
        step: Step,
        loaded: tuple[Row | None, Sessions, dict[str, str], list[CrossSigningKey], list[Row]],
    ) -> Answer:
        row, sessions, profile, keys, as_others = loaded
        account = _known(row, call.user_id)
        account.deactivated, account.password_hash, account.erased = True, None, account.erased or call.erase
        account.write(step, call.user_id)
        sessions.remove_devices(step, call.user_id, set(sessions.devices))
        sessions.revoke(step, call.user_id, None)
        for user_id, token_hash in as_others:
            end_token(step, user_id, bytes(token_hash))
        step.row(tables.PUSHERS_OF_USER_DELETE, call.user_id)
        end_cross_signing(step, keys)
        unlist(step, call.user_id)
        if call.erase:
            step.row(tables.ACCOUNT_DATA_OF_USER_DELETE, call.user_id)
            for field in profile:
                step.row(tables.PROFILE_DELETE, call.user_id, field)
                step.item(ProfileItem(call.user_id, field, None))
            step.profiles[call.user_id] = {}
        write_job(step, call.user_id, DeactivationJob())
        return Answer(pos=step.pos)


class SetProfileDecider:
    def queue(self, call: SetProfile) -> str:
        return user_queue(call.user_id)

    async def load(self, call: SetProfile, db: Queries) -> tuple[Row | None, dict[str, str]]:
        return await master_reads.user(db, call.user_id), await master_reads.profile(db, call.user_id)

    async def load_many(self, calls: Sequence[SetProfile], db: Queries) -> list[tuple[Row | None, dict[str, str]]]:
        """Names and avatars of ghosts, likewise."""
        user_ids = [call.user_id for call in calls]
        users, profiles = await master_reads.users(db, user_ids), await master_reads.profiles(db, user_ids)
        return [(users.get(user_id), profiles.get(user_id, {})) for user_id in user_ids]

    def decide(self, call: SetProfile, step: Step, loaded: tuple[Row | None, dict[str, str]]) -> Answer:
        row, profile = loaded
        account = _known(row, call.user_id)
        value = None if call.value is None else call.value.decode()
        if profile.get(call.field) == value:
            return Answer(pos=step.pos)
        _check_profile_size({**profile, call.field: value or ""})
        pos = step.item(ProfileItem(call.user_id, call.field, call.value))
        if value is None:
            step.row(tables.PROFILE_DELETE, call.user_id, call.field)
        else:
            step.row(tables.PROFILE, call.user_id, call.field, value, pos)
        if call.field in MEMBER_FIELDS:
            step.profiles[call.user_id] = _in_member_events({**profile, call.field: value})
            if not (account.is_guest or account.deactivated):
                list_local(step, call.user_id, {**profile, call.field: value or "null"})
            write_job(step, call.user_id, ProfileJob())
        return Answer(pos=step.pos)


def _in_member_events(profile: Mapping[str, str | bytes | None]) -> Profile:
    """Of a profile's fields, as JSON; None: it is no longer set."""
    return {field: orjson.loads(value) for field in MEMBER_FIELDS if (value := profile.get(field)) is not None}


def _check_profile_size(profile: dict[str, Any]) -> None:
    # Each field with its quotes, colon and comma; the braces of the whole.
    size = 2 + sum(len(field.encode()) + 4 + len(value.encode()) for field, value in profile.items())
    if size > MAXIMUM_PROFILE_BYTES:
        raise MatrixError(400, "M_PROFILE_TOO_LARGE", f"A profile may have {MAXIMUM_PROFILE_BYTES} bytes in all")


class SetAccountDataDecider:
    def queue(self, call: SetAccountData) -> str:
        return f"account data {call.user_id} {call.room_id} {call.type}"

    async def load(self, call: SetAccountData, db: Queries) -> int:
        if call.expected_pos is None:
            return 0
        return await master_reads.account_data_pos(db, call.user_id, call.room_id, call.type)

    def decide(self, call: SetAccountData, step: Step, loaded: int) -> Answer:
        if call.expected_pos is not None and call.expected_pos != loaded:
            raise MatrixError(409, "M_CONFLICT", "The account data changed meanwhile")
        pos = step.item(AccountDataItem(call.user_id, call.room_id, call.type, call.content))
        key = (call.user_id, call.room_id, call.type)
        step.upsert(tables.ACCOUNT_DATA, key, *key, call.content.decode(), pos)
        return Answer(pos=pos)
