"""Accounts as administrators look at them. Reads only."""

from dataclasses import asdict, dataclass
from typing import Final

from hs_common.storage.queries import Queries

ORDERS: Final = {
    "name": "user_id",
    "is_guest": "is_guest",
    "admin": "admin",
    "deactivated": "deactivated",
    "locked": "locked",
    "suspended": "suspended",
    "displayname": "displayname",
    "avatar_url": "avatar_url",
    "creation_ts": "created_ts",
    "last_seen_ts": "last_seen_ts",
}
"""What a list may be ordered by, as tools name it, and the column."""


@dataclass(frozen=True, slots=True)
class AdminUser:
    """One account. `displayname` and `avatar_url` are JSON, or None."""

    user_id: str
    created_ts: int
    is_guest: bool
    admin: bool
    locked: bool
    suspended: bool
    deactivated: bool
    erased: bool
    appservice_id: str | None
    displayname: str | None
    avatar_url: str | None
    last_seen_ts: int | None


@dataclass(frozen=True, slots=True)
class UserFilter:
    """Which accounts. `name` is looked for in localparts and display names; None of a flag: either."""

    name: str = ""
    user_id: str = ""
    guests: bool | None = None
    deactivated: bool | None = False
    locked: bool | None = None
    admins: bool | None = None


_FILTERED: Final = """
    WITH listed AS (
        SELECT users.user_id, created_ts, is_guest, admin, locked, suspended, deactivated, erased, appservice_id,
               (SELECT value FROM profiles WHERE profiles.user_id = users.user_id AND field = 'displayname')
                   AS displayname,
               (SELECT value FROM profiles WHERE profiles.user_id = users.user_id AND field = 'avatar_url')
                   AS avatar_url
          FROM users
         WHERE (%(guests)s::boolean IS NULL OR is_guest = %(guests)s)
           AND (%(deactivated)s::boolean IS NULL OR deactivated = %(deactivated)s)
           AND (%(locked)s::boolean IS NULL OR locked = %(locked)s)
           AND (%(admins)s::boolean IS NULL OR admin = %(admins)s)
           AND position(lower(%(user_id)s) IN lower(users.user_id)) > 0
    ), found AS (
        SELECT * FROM listed
         WHERE position(lower(%(name)s) IN lower(split_part(user_id, ':', 1))) > 0
            OR position(lower(%(name)s) IN lower(coalesce(displayname, ''))) > 0
    )
"""


async def admin_users(
    db: Queries, wanted: UserFilter, *, order: str = "name", backwards: bool = False, start: int = 0, limit: int = 100
) -> list[AdminUser]:
    """A page of the list. `order` is one of ORDERS."""
    direction = "DESC" if backwards else "ASC"
    sql = f"""{_FILTERED}
        SELECT found.*, (SELECT max(ts) FROM device_seen WHERE device_seen.user_id = found.user_id) AS last_seen_ts
          FROM found
         ORDER BY {ORDERS[order]} {direction} NULLS LAST, user_id {direction}
        OFFSET %(start)s LIMIT %(limit)s
        """
    rows = await db.fetch(sql, {**asdict(wanted), "start": start, "limit": limit})
    return [AdminUser(*row) for row in rows]


async def count_admin_users(db: Queries, wanted: UserFilter) -> int:
    """How many the whole list has."""
    row = await db.fetch_one(f"{_FILTERED} SELECT count(*) FROM found", asdict(wanted))
    assert row is not None, "a count is one row"
    return int(row[0])


async def admin_user(db: Queries, user_id: str) -> AdminUser | None:
    row = await db.fetch_one(
        """
        SELECT user_id, created_ts, is_guest, admin, locked, suspended, deactivated, erased, appservice_id,
               (SELECT value FROM profiles WHERE profiles.user_id = users.user_id AND field = 'displayname'),
               (SELECT value FROM profiles WHERE profiles.user_id = users.user_id AND field = 'avatar_url'),
               (SELECT max(ts) FROM device_seen WHERE device_seen.user_id = users.user_id)
          FROM users
         WHERE user_id = %s
        """,
        (user_id,),
    )
    return None if row is None else AdminUser(*row)
