"""What the master looks up for the calls about accounts, aliases and receipts, just before it decides. Reads only."""

from collections.abc import Sequence

from hs_common.storage.queries import Queries, Row


async def user(db: Queries, user_id: str) -> Row | None:
    """(created_ts, password_hash, is_guest, admin, locked, suspended, deactivated, erased, appservice_id,
    consent)."""
    return await db.fetch_one(
        "SELECT created_ts, password_hash, is_guest, admin, locked, suspended, deactivated, erased, appservice_id, "
        "consent FROM users WHERE user_id = %s",
        [user_id],
    )


async def restricted_users(db: Queries) -> list[Row]:
    """(user_id, locked, suspended) of those who are either."""
    return await db.fetch("SELECT user_id, locked, suspended FROM users WHERE locked OR suspended")


async def users(db: Queries, user_ids: Sequence[str]) -> dict[str, Row]:
    """User id → the same, of several."""
    rows = await db.fetch(
        "SELECT created_ts, password_hash, is_guest, admin, locked, suspended, deactivated, erased, appservice_id, "
        "consent, user_id FROM users WHERE user_id = ANY(%s)",
        [list(user_ids)],
    )
    return {row[10]: row[:10] for row in rows}


async def profiles(db: Queries, user_ids: Sequence[str]) -> dict[str, dict[str, str]]:
    """User id → field → JSON, of several; whoever has none is left out."""
    rows = await db.fetch("SELECT user_id, field, value FROM profiles WHERE user_id = ANY(%s)", [list(user_ids)])
    found: dict[str, dict[str, str]] = {}
    for user_id, field, value in rows:
        found.setdefault(user_id, {})[field] = value
    return found


async def users_of_external_ids(db: Queries, external_ids: Sequence[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """(provider_id, subject) → user id, for those of them by whom an account is used."""
    rows = await db.fetch(
        "SELECT old.provider_id, old.subject, old.user_id FROM external_ids AS old JOIN unnest(%s::text[], %s::text[]) "
        "AS wanted (provider_id, subject) ON old.provider_id = wanted.provider_id AND old.subject = wanted.subject",
        [[provider_id for provider_id, _ in external_ids], [subject for _, subject in external_ids]],
    )
    return {(provider_id, subject): user_id for provider_id, subject, user_id in rows}


async def device(db: Queries, user_id: str, device_id: str) -> Row | None:
    """(display_name, created_ts)."""
    return await db.fetch_one(
        "SELECT display_name, created_ts FROM devices WHERE user_id = %s AND device_id = %s", [user_id, device_id]
    )


async def device_ids(db: Queries, user_id: str) -> list[str]:
    rows = await db.fetch("SELECT device_id FROM devices WHERE user_id = %s", [user_id])
    return [device_id for (device_id,) in rows]


async def access_tokens(db: Queries, user_id: str) -> list[Row]:
    """Rows (token_hash, device_id, refresh_hash) of all the user's access tokens."""
    return await db.fetch("SELECT token_hash, device_id, refresh_hash FROM access_tokens WHERE user_id = %s", [user_id])


async def tokens_opened_by(db: Queries, admin_id: str) -> list[Row]:
    """(user_id, token_hash) of the tokens by which an administrator acts as others."""
    return await db.fetch("SELECT user_id, token_hash FROM access_tokens WHERE opened_by = %s", [admin_id])


async def tokens_as(db: Queries, user_id: str) -> list[Row]:
    """(token_hash, expires_at_ms) of the tokens by which administrators act as this user."""
    return await db.fetch(
        "SELECT token_hash, expires_at_ms FROM access_tokens WHERE user_id = %s AND opened_by IS NOT NULL", [user_id]
    )


async def refresh_tokens(db: Queries, user_id: str) -> list[Row]:
    """Rows (token_hash, device_id, next_hash) of all the user's refresh tokens."""
    return await db.fetch("SELECT token_hash, device_id, next_hash FROM refresh_tokens WHERE user_id = %s", [user_id])


async def refresh_token(db: Queries, token_hash: bytes) -> Row | None:
    """(user_id, device_id, next_hash, expires_at_ms)."""
    return await db.fetch_one(
        "SELECT user_id, device_id, next_hash, expires_at_ms FROM refresh_tokens WHERE token_hash = %s", [token_hash]
    )


async def access_token(db: Queries, token_hash: bytes) -> Row | None:
    """(user_id, device_id, refresh_hash)."""
    return await db.fetch_one(
        "SELECT user_id, device_id, refresh_hash FROM access_tokens WHERE token_hash = %s", [token_hash]
    )


async def predecessor(db: Queries, refresh_hash: bytes) -> bytes | None:
    """The refresh token that was exchanged for this one and still lives."""
    row = await db.fetch_one("SELECT token_hash FROM refresh_tokens WHERE next_hash = %s", [refresh_hash])
    return None if row is None else bytes(row[0])


async def profile(db: Queries, user_id: str) -> dict[str, str]:
    """Field → JSON."""
    return dict(await db.fetch("SELECT field, value FROM profiles WHERE user_id = %s", [user_id]))


async def account_data_pos(db: Queries, user_id: str, room_id: str, data_type: str) -> int:
    """The position of the row; 0 when there is none."""
    row = await db.fetch_one(
        "SELECT pos FROM account_data WHERE user_id = %s AND room_id = %s AND type = %s", [user_id, room_id, data_type]
    )
    return 0 if row is None else int(row[0])


async def event_places(db: Queries, room_id: str, event_ids: Sequence[str]) -> dict[str, tuple[int, int]]:
    """The places (order_pos, order_sub) of those of the events that are in the room's timeline."""
    rows = await db.fetch(
        "SELECT event_id, order_pos, order_sub FROM timeline WHERE room_id = %s AND event_id = ANY(%s)",
        [room_id, list(event_ids)],
    )
    return {event_id: (order_pos, order_sub) for event_id, order_pos, order_sub in rows}


async def receipts(db: Queries, room_id: str, user_id: str) -> dict[tuple[str, str], tuple[int, int]]:
    """(receipt_type, thread_id) → place of the receipt's event."""
    rows = await db.fetch(
        "SELECT receipt_type, thread_id, order_pos, order_sub FROM receipts WHERE room_id = %s AND user_id = %s",
        [room_id, user_id],
    )
    return {(receipt_type, thread_id): (pos, sub) for receipt_type, thread_id, pos, sub in rows}


async def receipts_of(
    db: Queries, room_id: str, user_ids: Sequence[str], receipt_type: str
) -> dict[tuple[str, str], tuple[int, int, int]]:
    """(user_id, thread_id) → time and place of the event, of one kind of receipts of some users."""
    rows = await db.fetch(
        "SELECT user_id, thread_id, ts, order_pos, order_sub FROM receipts"
        " WHERE room_id = %s AND user_id = ANY(%s) AND receipt_type = %s",
        [room_id, list(user_ids), receipt_type],
    )
    return {(user_id, thread_id): (ts, pos, sub) for user_id, thread_id, ts, pos, sub in rows}


async def account_data(db: Queries, user_id: str, room_id: str, data_type: str) -> str | None:
    row = await db.fetch_one(
        "SELECT content FROM account_data WHERE user_id = %s AND room_id = %s AND type = %s",
        [user_id, room_id, data_type],
    )
    return None if row is None else str(row[0])
