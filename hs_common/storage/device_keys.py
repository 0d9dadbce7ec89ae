"""Public identity keys of devices, and the signatures that were added to keys later. Reads only: the master writes."""

from collections.abc import Sequence
from dataclasses import dataclass

from hs_common.storage.queries import Queries


@dataclass(frozen=True, slots=True)
class DeviceKeys:
    """A device's identity keys; `keys` is a JSON object without signatures, `signatures` the device's own."""

    user_id: str
    device_id: str
    display_name: str | None
    keys: str
    signatures: str


@dataclass(frozen=True, slots=True)
class KeySignature:
    """`target` is a device id or the public key of a master key of the user."""

    user_id: str
    target: str
    signer_id: str
    key_id: str
    signature: str


_SELECT = """
    SELECT user_id, device_id, display_name, keys, signatures
      FROM device_keys JOIN devices USING (user_id, device_id)
"""


async def keys_of_users(db: Queries, user_ids: Sequence[str]) -> list[DeviceKeys]:
    """All devices of the users that have keys."""
    rows = await db.fetch(_SELECT + "WHERE user_id = ANY(%s)", (list(user_ids),))
    return [DeviceKeys(*row) for row in rows]


async def keys_of_devices(db: Queries, devices: Sequence[tuple[str, str]]) -> list[DeviceKeys]:
    """Those of the (user id, device id) that have keys."""
    if not devices:
        return []
    rows = await db.fetch(
        _SELECT + "WHERE (user_id, device_id) IN (SELECT * FROM unnest(%s::text[], %s::text[]))",
        ([user_id for user_id, _ in devices], [device_id for _, device_id in devices]),
    )
    return [DeviceKeys(*row) for row in rows]


async def known_users(db: Queries, user_ids: Sequence[str]) -> set[str]:
    """Those of the users that have an account here that is not deactivated."""
    rows = await db.fetch("SELECT user_id FROM users WHERE user_id = ANY(%s) AND NOT deactivated", (list(user_ids),))
    return {user_id for (user_id,) in rows}


async def signatures_seen(db: Queries, user_ids: Sequence[str], reader_id: str) -> list[KeySignature]:
    """The signatures of the users' keys that the reader may see: the users' own, and the reader's.

    Spec: client-server-api/#key-and-signature-security.
    """
    rows = await db.fetch(
        "SELECT user_id, target, signer_id, key_id, signature FROM key_signatures"
        " WHERE user_id = ANY(%s) AND (signer_id = user_id OR signer_id = %s)",
        (list(user_ids), reader_id),
    )
    return [KeySignature(*row) for row in rows]


async def own_signatures(db: Queries, user_ids: Sequence[str]) -> list[KeySignature]:
    """The users' own signatures of their keys.

    Spec: client-server-api/#key-and-signature-security.
    """
    rows = await db.fetch(
        "SELECT user_id, target, signer_id, key_id, signature FROM key_signatures"
        " WHERE user_id = ANY(%s) AND signer_id = user_id",
        (list(user_ids),),
    )
    return [KeySignature(*row) for row in rows]


async def head_and_signatures(db: Queries, signer_id: str) -> tuple[int, list[KeySignature]]:
    """The last position of the log, and a user's signatures of others' keys at that position."""
    rows = await db.fetch(
        "SELECT coalesce((SELECT pos FROM outbox ORDER BY pos DESC LIMIT 1), 0), s.* FROM (SELECT) AS always"
        " LEFT JOIN (SELECT user_id, target, signer_id, key_id, signature FROM key_signatures"
        " WHERE signer_id = %s AND user_id <> signer_id) AS s ON true",
        (signer_id,),
    )
    return rows[0][0], [KeySignature(*row[1:]) for row in rows if row[1] is not None]
