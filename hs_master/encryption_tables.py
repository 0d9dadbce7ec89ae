"""The statements by which the master writes what belongs to end-to-end encryption; see `tables`."""

from typing import Final

from hs_master.bulk import insert, with_rows
from hs_master.log_store.types import Write

_DEVICE_COLUMNS: Final = (("user_id", "text"), ("device_id", "text"))
# Messages of one device that wait at most: a phone that is off for weeks in busy rooms gets some thousands. Of more,
# the oldest are dropped, so that a device that comes back can read what is new.
INBOX_LIMIT: Final = 10_000
# Changes of one user's devices that are kept one by one, and likewise of his cross-signing keys. Below what the sender
# looks at (CHANGES_OF_USER_LIMIT), so that it always finds the one that stands for all before.
DEVICE_LIST_CHANGES_LIMIT: Final = 100
# Of the worker-owned tables only rows that nobody holds are deleted: this transaction waits for no other. A row that is
# held is being given out or deleted by its holder, and what is left of a device is deleted when one of its name begins.
DEVICE_KEYS_END = with_rows(
    "device_keys_end",
    _DEVICE_COLUMNS,
    """
    WITH ended AS MATERIALIZED (SELECT * FROM {new}),
    signatures AS (
        DELETE FROM key_signatures AS old USING ended
         WHERE old.user_id = ended.user_id AND old.target = ended.device_id
    ), by_device AS (
        DELETE FROM key_signatures AS old USING ended
         WHERE old.signer_id = ended.user_id AND old.key_id = 'ed25519:' || ended.device_id
    ), one_time AS (
        DELETE FROM one_time_keys AS old USING (
            SELECT held.user_id, held.device_id, held.algorithm, held.key_id FROM one_time_keys AS held
              JOIN ended USING (user_id, device_id) FOR UPDATE OF held SKIP LOCKED) AS free
         WHERE (old.user_id, old.device_id, old.algorithm, old.key_id)
             = (free.user_id, free.device_id, free.algorithm, free.key_id)
    ), fallback AS (
        DELETE FROM fallback_keys AS old USING (
            SELECT held.user_id, held.device_id, held.algorithm FROM fallback_keys AS held
              JOIN ended USING (user_id, device_id) FOR UPDATE OF held SKIP LOCKED) AS free
         WHERE (old.user_id, old.device_id, old.algorithm) = (free.user_id, free.device_id, free.algorithm)
    )
    DELETE FROM device_keys AS old USING ended WHERE old.user_id = ended.user_id AND old.device_id = ended.device_id
    """,
)
DEVICE_KEYS = insert(
    "device_keys",
    "device_keys",
    (*_DEVICE_COLUMNS, ("keys", "text"), ("signatures", "text"), ("pos", "bigint")),
    "ON CONFLICT (user_id, device_id) DO UPDATE SET keys = excluded.keys, signatures = excluded.signatures, "
    "pos = excluded.pos",
)
CROSS_SIGNING_KEYS_END = with_rows(
    "cross_signing_keys_end",
    (("user_id", "text"), ("usage", "text"), ("public_key", "text")),
    """
    WITH ended AS MATERIALIZED (SELECT * FROM {new}),
    of_key AS (
        DELETE FROM key_signatures AS old USING ended
         WHERE old.user_id = ended.user_id AND old.target = ended.public_key
    ), by_key AS (
        DELETE FROM key_signatures AS old USING ended
         WHERE old.signer_id = ended.user_id AND old.key_id = 'ed25519:' || ended.public_key
    )
    DELETE FROM cross_signing_keys AS old USING ended
     WHERE old.user_id = ended.user_id AND old.usage = ended.usage AND old.public_key = ended.public_key
    """,
)
CROSS_SIGNING_KEYS = insert(
    "cross_signing_keys",
    "cross_signing_keys",
    (
        *(("user_id", "text"), ("usage", "text"), ("public_key", "text"), ("keys", "text"), ("signatures", "text")),
        ("pos", "bigint"),
    ),
    "ON CONFLICT (user_id, usage) DO UPDATE SET public_key = excluded.public_key, keys = excluded.keys, "
    "signatures = excluded.signatures, pos = excluded.pos",
)
KEY_SIGNATURE = insert(
    "key_signature",
    "key_signatures",
    (
        *(("user_id", "text"), ("target", "text"), ("signer_id", "text"), ("key_id", "text"), ("signature", "text")),
        ("pos", "bigint"),
    ),
    "ON CONFLICT (user_id, target, signer_id, key_id) DO UPDATE SET signature = excluded.signature, pos = excluded.pos",
)
PRIVATE_KEY_CHANGE = insert(
    "private_key_change",
    "private_key_changes",
    (("reader_id", "text"), ("user_id", "text"), ("pos", "bigint")),
    "ON CONFLICT (reader_id, user_id) DO UPDATE SET pos = excluded.pos",
)
INBOX_END = with_rows(
    "inbox_end",
    _DEVICE_COLUMNS,
    """
    DELETE FROM inbox AS old USING (
        SELECT held.user_id, held.device_id, held.pos FROM inbox AS held
          JOIN {new} ON held.user_id = new.user_id AND held.device_id = new.device_id
           FOR UPDATE OF held SKIP LOCKED) AS free
     WHERE (old.user_id, old.device_id, old.pos) = (free.user_id, free.device_id, free.pos)
    """,
)
INBOX = with_rows(
    "inbox",
    (*_DEVICE_COLUMNS, ("pos", "bigint"), ("message", "text")),
    """
    INSERT INTO inbox (user_id, device_id, pos, seq, message)
    SELECT new.user_id, new.device_id, new.pos, 0, new.message FROM {new} JOIN devices USING (user_id, device_id)
    """,
)
"""Messages to devices by their names."""
INBOX_OF_ALL = with_rows(
    "inbox_of_all",
    (("user_id", "text"), ("pos", "bigint"), ("message", "text"), ("named", "text")),
    """
    INSERT INTO inbox (user_id, device_id, pos, seq, message)
    SELECT new.user_id, known.device_id, new.pos, 0, new.message FROM {new} JOIN devices AS known USING (user_id)
     WHERE NOT new.named::jsonb ? known.device_id
    """,
)
"""A message to all devices of a user but for those that are `named`: a list of ids as JSON."""
INBOX_TRIM = with_rows(
    "inbox_trim",
    (("user_id", "text"),),
    f"""
    WITH newest AS MATERIALIZED (
        SELECT devices.user_id, devices.device_id, last.pos
          FROM (SELECT DISTINCT user_id FROM {{new}}) AS written
          JOIN devices USING (user_id)
         CROSS JOIN LATERAL (
            SELECT pos FROM inbox AS kept WHERE kept.user_id = devices.user_id AND kept.device_id = devices.device_id
             ORDER BY pos DESC OFFSET {INBOX_LIMIT} LIMIT 1) AS last
    ), free AS MATERIALIZED (
        SELECT held.user_id, held.device_id, held.pos
          FROM newest JOIN inbox AS held ON held.user_id = newest.user_id AND held.device_id = newest.device_id
           AND held.pos <= newest.pos FOR UPDATE OF held SKIP LOCKED
    )
    DELETE FROM inbox AS old USING free
     WHERE (old.user_id, old.device_id, old.pos) = (free.user_id, free.device_id, free.pos)
    """,
)
SERVICE_TO_DEVICE = insert(
    "service_to_device",
    "service_to_device",
    (("service_id", "text"), ("pos", "bigint"), ("user_id", "text")),
)
DEVICE_LIST_FOLD = with_rows(
    "device_list_fold",
    (("user_id", "text"),),
    f"""
    WITH edges AS MATERIALIZED (
        SELECT written.user_id, kind.of_keys, edge.pos
          FROM (SELECT DISTINCT user_id FROM {{new}}) AS written
         CROSS JOIN (VALUES (true), (false)) AS kind (of_keys)
         CROSS JOIN LATERAL (
            SELECT pos FROM device_list_changes AS kept
             WHERE kept.user_id = written.user_id AND (kept.device_ids IS NOT DISTINCT FROM '[]') = kind.of_keys
             ORDER BY pos DESC OFFSET {DEVICE_LIST_CHANGES_LIMIT} LIMIT 1) AS edge
    ), folded AS (
        DELETE FROM device_list_changes AS old USING edges
         WHERE old.user_id = edges.user_id AND (old.device_ids IS NOT DISTINCT FROM '[]') = edges.of_keys
           AND old.pos < edges.pos
    )
    UPDATE device_list_changes AS old SET device_ids = NULL FROM edges WHERE NOT edges.of_keys AND old.pos = edges.pos
    """,
)
"""The oldest change that is kept stands for all before: of all devices, or of the keys."""

# Before devices are written, and after.
ENDS: Final[tuple[Write, ...]] = (DEVICE_KEYS_END, INBOX_END, CROSS_SIGNING_KEYS_END)
BEGINS: Final[tuple[Write, ...]] = (
    DEVICE_KEYS, CROSS_SIGNING_KEYS, KEY_SIGNATURE, PRIVATE_KEY_CHANGE,
    INBOX, INBOX_OF_ALL, INBOX_TRIM, SERVICE_TO_DEVICE,
)  # fmt: skip
