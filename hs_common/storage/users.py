"""Accounts as logging in and registering look at them. Written by the master alone; here they are only read."""

from collections.abc import Sequence
from dataclasses import dataclass

from hs_common.storage.queries import Queries


@dataclass(frozen=True, slots=True)
class Account:
    """One row of `users`. `password_hash` is None for an account that no password opens."""

    user_id: str
    password_hash: str | None
    is_guest: bool
    admin: bool
    locked: bool
    suspended: bool
    deactivated: bool
    erased: bool
    consent: str | None = None


async def accounts(db: Queries, user_ids: Sequence[str]) -> dict[str, Account]:
    """Those of the accounts that exist, by user id."""
    rows = await db.fetch(
        """
        SELECT user_id, password_hash, is_guest, admin, locked, suspended, deactivated, erased, consent
          FROM users
         WHERE user_id = ANY(%s)
        """,
        (list(user_ids),),
    )
    return {row[0]: Account(*row) for row in rows}


async def account(db: Queries, user_id: str) -> Account | None:
    """The account, deactivated or not, or None if there never was one."""
    return (await accounts(db, [user_id])).get(user_id)


async def erasures(db: Queries, user_ids: Sequence[str]) -> dict[str, int]:
    """Those of the users whose content was to be erased, with the position at which that was asked for."""
    rows = await db.fetch("SELECT user_id, pos FROM users WHERE erased AND user_id = ANY(%s)", (list(user_ids),))
    return {row[0]: row[1] for row in rows}


async def share_a_room(db: Queries, user_id: str, other_user_id: str) -> bool:
    """Whether a user of this server and another, of whatever server, are both joined to some room."""
    row = await db.fetch_one(
        """
        SELECT 1
          FROM local_membership AS mine JOIN state AS theirs USING (room_id)
         WHERE mine.user_id = %s AND mine.membership = 'join' AND mine.to_pos = 9223372036854775807
           AND theirs.type = 'm.room.member' AND theirs.state_key = %s AND theirs.membership = 'join'
           AND theirs.to_pos = 9223372036854775807
         LIMIT 1
        """,
        (user_id, other_user_id),
    )
    return row is not None


async def is_joined(db: Queries, user_id: str, room_id: str) -> bool:
    """Whether a user of this server is joined to the room."""
    row = await db.fetch_one(
        """
        SELECT 1
          FROM local_membership
         WHERE user_id = %s AND to_pos = 9223372036854775807 AND room_id = %s AND membership = 'join'
        """,
        (user_id, room_id),
    )
    return row is not None
