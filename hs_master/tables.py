"""The statements by which the master writes, each a bulk statement over the columns of a batch.

One name for each statement; a transaction runs those that have rows in the order in which they stand here (`ORDER`):
what ends before what begins, rows before what refers to them. Only here, in `encryption_tables`,
`delayed_tables`, `found_tables`, `redaction_tables` and `purge_tables` are the master's tables written.
"""

from typing import Final

from hs_master import delayed_tables as delayed
from hs_master import encryption_tables as encryption
from hs_master import found_tables as found
from hs_master import purge_tables as purge
from hs_master import redaction_tables as redactions
from hs_master.bulk import insert as _insert
from hs_master.bulk import with_rows as _with_rows
from hs_master.log_store.types import Write
from hs_master.step import IntervalTable

_ROOM: Final = (("room_id", "text"),)
_SPAN: Final = (("from_pos", "bigint"), ("to_pos", "bigint"))
_STATE_KEY: Final = (*_ROOM, ("type", "text"), ("state_key", "text"))
_MEMBER_KEY: Final = (("user_id", "text"), *_ROOM)
_SERVER_KEY: Final = (*_ROOM, ("server", "text"))

# --- rooms --------------------------------------------------------------------------------------------------------

ROOM = _insert(
    "room",
    "rooms",
    (
        *_ROOM,
        *(("version", "text"), ("creator", "text"), ("pos", "bigint"), ("is_public", "boolean"), ("room_type", "text")),
    ),
)
ROOM_DIRECTORY = _with_rows(
    "room_directory",
    (*_ROOM, ("is_public", "boolean")),
    "UPDATE rooms SET is_public = new.is_public FROM {new} WHERE rooms.room_id = new.room_id",
)
EVENT = _insert(
    "event",
    "events",
    (
        ("event_id", "text"),
        *_ROOM,
        ("pos", "bigint"),
        ("status", "smallint"),
        ("replaces_state", "text"),
        ("redacted_by", "text"),
        ("json", "text"),
    ),
)
# Of other servers: an event that was kept without state may enter its room later.
EVENT_RECEIVED = _insert(
    "event_received",
    "events",
    EVENT.columns,
    "ON CONFLICT (event_id) DO UPDATE SET pos = excluded.pos, status = excluded.status, "
    "replaces_state = excluded.replaces_state, redacted_by = excluded.redacted_by, json = excluded.json "
    "WHERE events.status IN (3, 5)",
)
# An event that was kept for its user alone becomes one of the room when its auth events have come.
EVENT_STORED = _with_rows(
    "event_stored",
    EVENT.columns,
    "WITH stored AS (SELECT * FROM {new}), raised AS (UPDATE events SET pos = stored.pos, status = stored.status "
    "FROM stored WHERE events.event_id = stored.event_id AND events.status = 5) "
    "INSERT INTO events (event_id, room_id, pos, status, replaces_state, redacted_by, json) "
    "SELECT event_id, room_id, pos, status, replaces_state, redacted_by, json FROM stored "
    "ON CONFLICT (event_id) DO NOTHING",
)
EVENT_STATE = _insert(
    "event_state",
    "event_state",
    (
        *(("event_id", "text"), *_ROOM, ("state_pos", "bigint"), ("delta_id", "bigint")),
        *(("absent", "text"), ("is_partial", "boolean")),
    ),
    "ON CONFLICT (event_id) DO NOTHING",
)
STATE_DELTA = _insert(
    "state_delta",
    "state_delta",
    (("delta_id", "bigint"), ("type", "text"), ("state_key", "text"), ("event_id", "text")),
)
OUTGOING_EVENT = _insert(
    "outgoing_event", "outgoing_events", (*_ROOM, ("pos", "bigint"), ("event_id", "text"), ("target", "text"))
)
OUTGOING_EDU = _insert("outgoing_edu", "outgoing_edus", (("destination", "text"), ("pos", "bigint"), ("edu", "text")))
# The events wanted, one space between them; none: the gap is closed.
GAP = _with_rows(
    "gap",
    (
        *_ROOM,
        ("before_pos", "bigint"),
        ("next_sub", "integer"),
        ("wanted", "text"),
        ("in_vain", "smallint"),
        ("again_ms", "bigint"),
    ),
    "WITH gaps AS (SELECT * FROM {new}), ended AS (DELETE FROM room_gap USING gaps "
    "WHERE room_gap.room_id = gaps.room_id AND room_gap.before_pos = gaps.before_pos AND gaps.wanted = '') "
    "INSERT INTO room_gap (room_id, before_pos, next_sub, wanted, in_vain, again_ms) "
    "SELECT room_id, before_pos, next_sub, string_to_array(wanted, ' '), in_vain, again_ms "
    "FROM gaps WHERE wanted <> '' "
    "ON CONFLICT (room_id, before_pos) DO UPDATE SET next_sub = excluded.next_sub, wanted = excluded.wanted, "
    "in_vain = excluded.in_vain, again_ms = excluded.again_ms",
)
TIMELINE = _insert(
    "timeline",
    "timeline",
    (
        *_ROOM,
        ("order_pos", "bigint"),
        ("order_sub", "integer"),
        ("event_id", "text"),
        ("sender", "text"),
        ("type", "text"),
        ("state_key", "text"),
        ("origin_server_ts", "bigint"),
        ("thread_root", "text"),
        ("rule_bits", "bigint"),
        ("state_pos", "bigint"),
        ("delta_id", "bigint"),
        ("device_id", "text"),
        ("txn_id", "text"),
    ),
)
STATE_CLOSE = _with_rows(
    "state_close",
    (*_STATE_KEY, ("to_pos", "bigint")),
    "UPDATE state SET to_pos = new.to_pos FROM {new} WHERE state.room_id = new.room_id AND state.type = new.type "
    "AND state.state_key = new.state_key AND state.to_pos = 9223372036854775807",
)
STATE_BEGIN = _insert("state_begin", "state", (*_STATE_KEY, ("event_id", "text"), ("membership", "text"), *_SPAN))
MEMBERSHIP_CLOSE = _with_rows(
    "membership_close",
    (*_MEMBER_KEY, ("to_pos", "bigint")),
    "UPDATE local_membership AS old SET to_pos = new.to_pos FROM {new} WHERE old.user_id = new.user_id "
    "AND old.room_id = new.room_id AND old.to_pos = 9223372036854775807",
)
MEMBERSHIP_BEGIN = _insert(
    "membership_begin",
    "local_membership",
    (
        *_MEMBER_KEY,
        ("membership", "text"),
        ("event_id", "text"),
        ("sender", "text"),
        ("stripped_state", "text"),
        ("out_of_band", "boolean"),
        *_SPAN,
    ),
)
MEMBERSHIP_FORGET = _with_rows(
    "membership_forget",
    _MEMBER_KEY,
    "UPDATE local_membership AS old SET forgotten = true FROM {new} WHERE old.user_id = new.user_id "
    "AND old.room_id = new.room_id AND old.to_pos = 9223372036854775807",
)
SERVER_CLOSE = _with_rows(
    "server_close",
    (*_SERVER_KEY, ("to_pos", "bigint")),
    "UPDATE room_servers AS old SET to_pos = new.to_pos FROM {new} WHERE old.room_id = new.room_id "
    "AND old.server = new.server AND old.to_pos = 9223372036854775807",
)
SERVER_BEGIN = _insert("server_begin", "room_servers", (*_SERVER_KEY, *_SPAN))
# The newest of a batch for each room; no ids: the room is not forked any more.
FORK = _with_rows(
    "fork",
    (*_ROOM, ("event_ids", "text"), ("depth", "bigint")),
    "WITH forks AS (SELECT * FROM {new}), ended AS ("
    "DELETE FROM room_fork USING forks WHERE room_fork.room_id = forks.room_id AND forks.event_ids = '') "
    "INSERT INTO room_fork (room_id, event_ids, depth) "
    "SELECT room_id, string_to_array(event_ids, ' '), depth FROM forks WHERE event_ids <> '' "
    "ON CONFLICT (room_id) DO UPDATE SET event_ids = excluded.event_ids, depth = excluded.depth",
)
RELATION = _insert(
    "relation",
    "relations",
    (
        ("event_id", "text"),
        *_ROOM,
        ("parent_id", "text"),
        ("rel_type", "text"),
        ("sender", "text"),
        ("type", "text"),
        ("key", "text"),
        ("order_pos", "bigint"),
        ("order_sub", "integer"),
    ),
)
MENTION = _insert(
    "mention",
    "mentions",
    (("user_id", "text"), *_ROOM, ("order_pos", "bigint"), ("order_sub", "integer"), ("event_id", "text")),
)
ALIAS = _insert("alias", "aliases", (("alias", "text"), *_ROOM, ("creator", "text"), ("pos", "bigint")))
ALIAS_DELETE = _with_rows(
    "alias_delete", (("alias", "text"),), "DELETE FROM aliases USING {new} WHERE aliases.alias = new.alias"
)
ALIAS_MOVE = _with_rows(
    "alias_move",
    (("alias", "text"), ("old_room_id", "text"), *_ROOM, ("pos", "bigint")),
    "UPDATE aliases SET room_id = new.room_id, pos = new.pos FROM {new} "
    "WHERE aliases.alias = new.alias AND aliases.room_id = new.old_room_id",
)
RECEIPT = _insert(
    "receipt",
    "receipts",
    (
        *_ROOM,
        ("user_id", "text"),
        ("receipt_type", "text"),
        ("thread_id", "text"),
        ("event_id", "text"),
        ("order_pos", "bigint"),
        ("order_sub", "integer"),
        ("ts", "bigint"),
        ("pos", "bigint"),
    ),
    "ON CONFLICT (room_id, user_id, receipt_type, thread_id) DO UPDATE SET event_id = excluded.event_id, "
    "order_pos = excluded.order_pos, order_sub = excluded.order_sub, ts = excluded.ts, pos = excluded.pos",
)

# --- accounts -----------------------------------------------------------------------------------------------------

USER = _insert(
    "user",
    "users",
    (
        ("user_id", "text"),
        ("created_ts", "bigint"),
        ("password_hash", "text"),
        ("is_guest", "boolean"),
        ("admin", "boolean"),
        ("locked", "boolean"),
        ("suspended", "boolean"),
        ("deactivated", "boolean"),
        ("erased", "boolean"),
        ("appservice_id", "text"),
        ("consent", "text"),
        ("pos", "bigint"),
    ),
    "ON CONFLICT (user_id) DO UPDATE SET password_hash = excluded.password_hash, is_guest = excluded.is_guest, "
    "admin = excluded.admin, locked = excluded.locked, suspended = excluded.suspended, "
    "deactivated = excluded.deactivated, erased = excluded.erased, consent = excluded.consent, pos = excluded.pos",
)
_EXTERNAL_ID: Final = (("provider_id", "text"), ("subject", "text"), ("user_id", "text"))
EXTERNAL_ID_DELETE = _with_rows(
    "external_id_delete",
    _EXTERNAL_ID,
    "DELETE FROM external_ids AS old USING {new} WHERE old.provider_id = new.provider_id "
    "AND old.subject = new.subject AND old.user_id = new.user_id",
)
# Who is first in a batch has it: the decisions of one batch do not see each other's.
EXTERNAL_ID = _insert("external_id", "external_ids", _EXTERNAL_ID, "ON CONFLICT (provider_id, subject) DO NOTHING")
DEVICE_DELETE = _with_rows(
    "device_delete",
    (("user_id", "text"), ("device_id", "text")),
    "DELETE FROM devices USING {new} WHERE devices.user_id = new.user_id AND devices.device_id = new.device_id",
)
DEVICE = _insert(
    "device",
    "devices",
    (("user_id", "text"), ("device_id", "text"), ("display_name", "text"), ("created_ts", "bigint"), ("pos", "bigint")),
    "ON CONFLICT (user_id, device_id) DO UPDATE SET display_name = excluded.display_name, pos = excluded.pos",
)
ACCESS_TOKEN_DELETE = _with_rows(
    "access_token_delete",
    (("token_hash", "bytea"),),
    "DELETE FROM access_tokens USING {new} WHERE access_tokens.token_hash = new.token_hash",
)
ACCESS_TOKEN = _insert(
    "access_token",
    "access_tokens",
    (
        ("token_hash", "bytea"),
        ("user_id", "text"),
        ("device_id", "text"),
        ("expires_at_ms", "bigint"),
        ("refresh_hash", "bytea"),
        ("pos", "bigint"),
        ("opened_by", "text"),
    ),
)
REFRESH_TOKEN_DELETE = _with_rows(
    "refresh_token_delete",
    (("token_hash", "bytea"),),
    "DELETE FROM refresh_tokens USING {new} WHERE refresh_tokens.token_hash = new.token_hash",
)
REFRESH_TOKEN = _insert(
    "refresh_token",
    "refresh_tokens",
    (
        ("token_hash", "bytea"),
        ("user_id", "text"),
        ("device_id", "text"),
        ("next_hash", "bytea"),
        ("expires_at_ms", "bigint"),
        ("pos", "bigint"),
    ),
    "ON CONFLICT (token_hash) DO UPDATE SET next_hash = excluded.next_hash, pos = excluded.pos",
)
PROFILE_DELETE = _with_rows(
    "profile_delete",
    (("user_id", "text"), ("field", "text")),
    "DELETE FROM profiles USING {new} WHERE profiles.user_id = new.user_id AND profiles.field = new.field",
)
PROFILE = _insert(
    "profile",
    "profiles",
    (("user_id", "text"), ("field", "text"), ("value", "text"), ("pos", "bigint")),
    "ON CONFLICT (user_id, field) DO UPDATE SET value = excluded.value, pos = excluded.pos",
)
ACCOUNT_DATA = _insert(
    "account_data",
    "account_data",
    (("user_id", "text"), *_ROOM, ("type", "text"), ("content", "text"), ("pos", "bigint")),
    "ON CONFLICT (user_id, room_id, type) DO UPDATE SET content = excluded.content, pos = excluded.pos",
)
ACCOUNT_DATA_OF_USER_DELETE = _with_rows(
    "account_data_of_user_delete",
    (("user_id", "text"),),
    "DELETE FROM account_data AS old USING {new} WHERE old.user_id = new.user_id",
)
DEVICE_LIST_CHANGE = _insert(
    "device_list_change", "device_list_changes", (("pos", "bigint"), ("user_id", "text"), ("device_ids", "text"))
)
JOB_DELETE = _with_rows(
    "job_delete", (("job_id", "bigint"),), "DELETE FROM jobs USING {new} WHERE jobs.job_id = new.job_id"
)
JOB = _insert(
    "job",
    "jobs",
    (("job_id", "bigint"), ("kind", "text"), ("user_id", "text"), ("body", "bytea"), ("progress", "text")),
    "ON CONFLICT (job_id) DO UPDATE SET progress = excluded.progress",
)

# --- push notifications ----------------------------------------------------------------------------------------------

_PUSHER_KEY: Final = (("user_id", "text"), ("app_id", "text"), ("pushkey", "text"))
PUSHER_DELETE = _with_rows(
    "pusher_delete",
    _PUSHER_KEY,
    "DELETE FROM pushers AS old USING {new} WHERE old.user_id = new.user_id AND old.app_id = new.app_id "
    "AND old.pushkey = new.pushkey",
)
PUSHERS_OF_DEVICE_DELETE = _with_rows(
    "pushers_of_device_delete",
    (("user_id", "text"), ("device_id", "text")),
    "DELETE FROM pushers AS old USING {new} WHERE old.user_id = new.user_id AND old.device_id = new.device_id",
)
PUSHERS_OF_USER_DELETE = _with_rows(
    "pushers_of_user_delete",
    (("user_id", "text"),),
    "DELETE FROM pushers AS old USING {new} WHERE old.user_id = new.user_id",
)
PUSHER_TAKE = _with_rows(
    "pusher_take",
    _PUSHER_KEY,
    "DELETE FROM pushers AS old USING {new} WHERE old.app_id = new.app_id AND old.pushkey = new.pushkey "
    "AND old.user_id <> new.user_id",
)
PUSHER = _insert(
    "pusher",
    "pushers",
    (
        ("pusher_id", "bigint"),
        *_PUSHER_KEY,
        ("kind", "text"),
        ("device_id", "text"),
        ("shard", "smallint"),
        ("app_display_name", "text"),
        ("device_display_name", "text"),
        ("profile_tag", "text"),
        ("lang", "text"),
        ("data", "text"),
        ("set_ms", "bigint"),
        ("pos", "bigint"),
    ),
    "ON CONFLICT (user_id, app_id, pushkey) DO UPDATE SET kind = excluded.kind, device_id = excluded.device_id, "
    "app_display_name = excluded.app_display_name, device_display_name = excluded.device_display_name, "
    "profile_tag = excluded.profile_tag, lang = excluded.lang, data = excluded.data, set_ms = excluded.set_ms, "
    "pos = excluded.pos",
)

# --- application services -------------------------------------------------------------------------------------------

_AS_ROOM_KEY: Final = (("service_id", "text"), *_ROOM, ("cause", "text"))
APPSERVICE_DELETE = _with_rows(
    "appservice_delete",
    (("service_id", "text"),),
    "DELETE FROM appservices USING {new} WHERE appservices.service_id = new.service_id",
)
APPSERVICE = _insert(
    "appservice",
    "appservices",
    (
        ("service_id", "text"),
        ("registration", "text"),
        ("as_token_hash", "bytea"),
        ("hs_token", "text"),
        ("source", "text"),
        ("paused", "boolean"),
        ("made_pos", "bigint"),
        ("pos", "bigint"),
    ),
    "ON CONFLICT (service_id) DO UPDATE SET registration = excluded.registration, "
    "as_token_hash = excluded.as_token_hash, hs_token = excluded.hs_token, source = excluded.source, "
    "paused = excluded.paused, pos = excluded.pos",
)
AS_ROOM_END = _with_rows(
    "as_room_end",
    (("service_id", "text"), ("to_pos", "bigint")),
    "UPDATE as_room AS old SET to_pos = new.to_pos FROM {new} WHERE old.service_id = new.service_id "
    "AND old.to_pos = 9223372036854775807",
)
AS_ROOM_CLOSE = _with_rows(
    "as_room_close",
    (*_AS_ROOM_KEY, ("to_pos", "bigint")),
    "UPDATE as_room AS old SET to_pos = new.to_pos FROM {new} WHERE old.room_id = new.room_id "
    "AND old.service_id = new.service_id AND old.cause = new.cause AND old.to_pos = 9223372036854775807",
)
AS_ROOM_BEGIN = _insert("as_room_begin", "as_room", (*_AS_ROOM_KEY, *_SPAN))
SERVICE_EVENT = _insert(
    "service_event",
    "service_events",
    (("service_id", "text"), ("pos", "bigint"), ("event_id", "text"), ("at_ms", "bigint")),
)

STATE: Final = IntervalTable(STATE_CLOSE, STATE_BEGIN)
MEMBERSHIP: Final = IntervalTable(MEMBERSHIP_CLOSE, MEMBERSHIP_BEGIN)
SERVERS: Final = IntervalTable(SERVER_CLOSE, SERVER_BEGIN)
AS_ROOMS: Final = IntervalTable(AS_ROOM_CLOSE, AS_ROOM_BEGIN)

ORDER: Final[tuple[Write, ...]] = (
    ROOM, ROOM_DIRECTORY, EVENT, EVENT_RECEIVED, EVENT_STORED, EVENT_STATE, STATE_DELTA, OUTGOING_EVENT, OUTGOING_EDU,
    GAP, TIMELINE, STATE_CLOSE, STATE_BEGIN, MEMBERSHIP_FORGET, MEMBERSHIP_CLOSE,
    MEMBERSHIP_BEGIN, SERVER_CLOSE, SERVER_BEGIN, FORK, RELATION, MENTION, *redactions.WRITES, *found.WRITES,
    ALIAS_DELETE, ALIAS, ALIAS_MOVE, RECEIPT, USER, EXTERNAL_ID_DELETE, EXTERNAL_ID, DEVICE_DELETE,
    *encryption.ENDS, DEVICE, *encryption.BEGINS,
    ACCESS_TOKEN_DELETE, ACCESS_TOKEN, REFRESH_TOKEN_DELETE, REFRESH_TOKEN, PROFILE_DELETE, PROFILE, ACCOUNT_DATA,
    ACCOUNT_DATA_OF_USER_DELETE, DEVICE_LIST_CHANGE, encryption.DEVICE_LIST_FOLD, JOB_DELETE, JOB,
    APPSERVICE_DELETE, APPSERVICE, AS_ROOM_END,
    AS_ROOM_CLOSE, AS_ROOM_BEGIN,
    SERVICE_EVENT, PUSHER_DELETE, PUSHERS_OF_DEVICE_DELETE, PUSHERS_OF_USER_DELETE, PUSHER_TAKE, PUSHER,
    *delayed.ORDER,
    *purge.WRITES,
)  # fmt: skip
