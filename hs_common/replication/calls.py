"""The calls that workers make to the master, and its answers. The master is the only writer of what has a position.

Rules: a call is all or nothing; its `key` (given beside it, 16 bytes) makes it happen once however often it is
repeated; unknown *fields* in a call are refused, since a call asks for an effect. Errors come back as MatrixError.
Every answer that changed the log carries `pos`, the position after which every follower shows the change.
JSON contents travel as values (dict) where the master looks into them, and as bytes (JSON) where it only keeps them.
"""

from typing import Any, ClassVar, Final, Literal

import msgspec

from hs_common.replication.call import Answer as Answer
from hs_common.replication.call import Call as Call
from hs_common.replication.delayed_calls import DELAYED_CALLS
from hs_common.replication.encryption_calls import ENCRYPTION_CALLS
from hs_common.replication.federation_calls import FEDERATION_CALLS
from hs_common.replication.import_calls import IMPORT_CALLS
from hs_common.replication.remote_calls import REMOTE_CALLS
from hs_common.replication.room_calls import ROOM_CALLS
from hs_common.replication.sign_on_calls import SIGN_ON_CALLS, ExternalId

# --- events -------------------------------------------------------------------------------------------------------


class Intent(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """An event that a local user wants to send; the master chooses prev events, depth and auth events and signs."""

    room_id: str
    sender: str
    type: str
    content: dict[str, Any]
    state_key: str | None = None  # None: not a state event
    redacts: str | None = None
    timestamp_ms: int | None = None  # application services' massaged timestamp
    device_id: str | None = None
    txn_id: str | None = None
    joins_here: bool = False  # a join: nothing for who is in the room; M_NOT_FOUND if this server is not
    with_profile: bool = False  # of a membership: its user's name and avatar are added by the master, who has them


class AppendedEvents(Answer, frozen=True, kw_only=True):
    event_ids: list[str]  # as the intents; unchanged state answers the current event's id


class AppendEvents(Call, frozen=True, kw_only=True):
    """Append local events, in order, all or none. Several rooms may be named.

    Errors: M_FORBIDDEN (auth rules), M_NOT_FOUND (room unknown here), M_TOO_LARGE, M_DUPLICATE_ANNOTATION, M_BAD_STATE.
    """

    answer: ClassVar[type[Answer]] = AppendedEvents
    intents: list[Intent]


class NewRoomEvent(msgspec.Struct, frozen=True, kw_only=True):
    type: str
    state_key: str
    content: dict[str, Any]


class RoomCreated(Answer, frozen=True, kw_only=True):
    room_id: str
    event_ids: list[str]


class CreateRoom(Call, frozen=True, kw_only=True):
    """Make a room: the create event, then the given state events in order, in one commit.

    `room_id` is given for versions whose room id is not the hash of the create event (made by the worker at random).
    Errors: as AppendEvents; M_ROOM_IN_USE when the alias is taken; M_UNSUPPORTED_ROOM_VERSION.
    """

    answer: ClassVar[type[Answer]] = RoomCreated
    sender: str
    room_version: str
    room_id: str | None
    create_content: dict[str, Any]
    events: list[NewRoomEvent]
    alias: str | None = None
    is_public: bool = False


class RoomUpgraded(Answer, frozen=True, kw_only=True):
    room_id: str  # of the room that replaces the old one


class UpgradeRoom(Call, frozen=True, kw_only=True):
    """Replace a room by a new one, in one commit: the new room, its first state, the old one's tombstone and end.

    The caller read the old room's state at `state_pos`; if that has changed since, 409 M_CONFLICT (never shown to a
    client: the worker reads again). `predecessor` and `replacement_room` are written here, as one of the rooms' ids is
    known only when it is made. Errors: as CreateRoom.
    """

    answer: ClassVar[type[Answer]] = RoomUpgraded
    old_room_id: str
    sender: str
    state_pos: int
    room_version: str
    room_id: str | None  # as in CreateRoom
    create_content: dict[str, Any]
    events: list[NewRoomEvent]  # of the new room
    tombstone: dict[str, Any] | None  # content but for `replacement_room`; None: the caller sends it himself
    last_events: list[NewRoomEvent]  # of the old room after its tombstone; what the rules refuse is left out
    aliases: list[str]  # of the old room, to lead to the new one
    is_public: bool  # the old room is in the directory; the new one takes its place
    carry_on: bool  # more bans and children of a space than fit are carried over afterwards


class ComposedEvent(Answer, frozen=True, kw_only=True):
    event_id: str
    pdu: bytes  # canonical JSON, hashed and signed by this server; empty: the current state event is just like it


class ComposeEvent(Call, frozen=True, kw_only=True):
    """Compose and sign an event without appending it, so that somebody else can sign it too."""

    answer: ClassVar[type[Answer]] = ComposedEvent
    intent: Intent


class AppendReady(Call, frozen=True, kw_only=True):
    """The second door: append a complete event (composed here, signed elsewhere too)."""

    answer: ClassVar[type[Answer]] = AppendedEvents
    room_id: str
    pdu: bytes
    device_id: str | None = None
    txn_id: str | None = None


class ForgetRoom(Call, frozen=True, kw_only=True):
    """Forget a left room. Errors: M_UNKNOWN when the user is still joined or invited."""

    user_id: str
    room_id: str


class SetAlias(Call, frozen=True, kw_only=True):
    """Errors: M_UNKNOWN 409 when the alias exists; M_NOT_FOUND when the room is unknown."""

    alias: str
    room_id: str
    creator: str


class DeleteAlias(Call, frozen=True, kw_only=True):
    """Errors: M_NOT_FOUND."""

    alias: str


class SetDirectory(Call, frozen=True, kw_only=True):
    """List a room in the public directory, or take it off. Errors: M_NOT_FOUND."""

    room_id: str
    is_public: bool


class ReceiptMark(msgspec.Struct, frozen=True, kw_only=True):
    receipt_type: Literal["m.read", "m.read.private"]
    event_id: str
    thread_id: str = ""  # '' unthreaded, 'main', or a thread root


class SetReceipts(Call, frozen=True, kw_only=True):
    """Move a user's receipts and, when given, the fully read marker. Receipts never go back in a thread.

    Errors: M_NOT_FOUND for an event that is not in the room.
    """

    room_id: str
    user_id: str
    receipts: list[ReceiptMark]
    fully_read: str | None = None  # event id for m.fully_read
    timestamp_ms: int | None = None


# --- accounts -----------------------------------------------------------------------------------------------------


class NewSession(msgspec.Struct, frozen=True, kw_only=True):
    """A device with its tokens. Tokens come as SHA-256 digests. An existing device's old tokens are revoked."""

    device_id: str
    display_name: str | None = None  # of a new device; an existing one keeps its name
    token_hash: bytes
    expires_at_ms: int | None = None
    refresh_hash: bytes | None = None
    refresh_expires_at_ms: int | None = None


class RegisterUser(Call, frozen=True, kw_only=True):
    """Make an account, with its first session unless None. Errors: M_USER_IN_USE."""

    user_id: str
    password_hash: str | None
    is_guest: bool = False
    admin: bool = False
    appservice_id: str | None = None
    profile: dict[str, bytes] = msgspec.field(default_factory=dict)  # field → JSON
    session: NewSession | None = None
    consent: str | None = None  # policies that were accepted
    external_id: ExternalId | None = None  # whose it is; nobody may have an account by it yet


class UpgradeGuest(Call, frozen=True, kw_only=True):
    """Make an account of a guest, who keeps name and rooms. His sessions end; the first of the account begins, unless
    it is None. Errors: M_FORBIDDEN (no such guest)."""

    user_id: str
    password_hash: str | None
    session: NewSession | None = None


class OpenSession(Call, frozen=True, kw_only=True):
    """Log in. Errors: M_UNKNOWN_TOKEN … M_FORBIDDEN when the account is unknown or deactivated; M_USER_LOCKED."""

    user_id: str
    session: NewSession


class RefreshSession(Call, frozen=True, kw_only=True):
    """Exchange a refresh token. It stays valid until the new access or refresh token is first used.

    `user_id` is whose it is: it waits in line with whatever else changes his sessions, or one could outlive a logout.

    Errors: M_UNKNOWN_TOKEN (401) when unknown, expired or already superseded.
    """

    user_id: str
    refresh_hash: bytes
    token_hash: bytes
    expires_at_ms: int | None
    new_refresh_hash: bytes
    refresh_expires_at_ms: int | None = None


class ConfirmRefresh(Call, frozen=True, kw_only=True):
    """An access token made by RefreshSession was used for the first time: what it replaced dies."""

    user_id: str
    token_hash: bytes


class CloseSessions(Call, frozen=True, kw_only=True):
    """Log out and delete devices: those named, or all (None), but never `except_device`.

    An administrator's session as the user has no device: `token_hash` closes it; all does not, but ends the user's own.
    """

    user_id: str
    device_ids: list[str] | None
    except_device: str | None = None
    token_hash: bytes | None = None


class RenameDevice(Call, frozen=True, kw_only=True):
    """Errors: M_NOT_FOUND."""

    user_id: str
    device_id: str
    display_name: str


class MakeDevice(Call, frozen=True, kw_only=True):
    """Make a device without a token, for an application service's user; one that is there stays as it is.

    Errors: M_NOT_FOUND (no such user).
    """

    user_id: str
    device_id: str
    display_name: str | None = None


class SetPassword(Call, frozen=True, kw_only=True):
    """Errors: M_NOT_FOUND."""

    user_id: str
    password_hash: str | None


class SetUserState(Call, frozen=True, kw_only=True):
    """Change an account's flags; None leaves one as it is. `reactivated`: it was deactivated and comes back.

    Errors: M_NOT_FOUND.
    """

    user_id: str
    locked: bool | None = None
    suspended: bool | None = None
    admin: bool | None = None
    reactivated: bool = False
    consent: str | None = None


class DeactivateUser(Call, frozen=True, kw_only=True):
    """Deactivate: sessions closed, password gone, rooms left by a job that resumes. Errors: M_NOT_FOUND."""

    user_id: str
    erase: bool = False


class SetProfile(Call, frozen=True, kw_only=True):
    """Set or remove (None) one profile field. displayname and avatar_url fan out to joined rooms by a job.

    Errors: M_NOT_FOUND (no such user), M_PROFILE_TOO_LARGE (over 64 KiB in all).
    """

    user_id: str
    field: str
    value: bytes | None  # JSON


class SetAccountData(Call, frozen=True, kw_only=True):
    """Set account data. With `expected_pos`, only if the stored row has that position (0: no row), else 409 M_CONFLICT
    (never shown to a client: the worker reads again and retries)."""

    user_id: str
    room_id: str = ""
    type: str
    content: bytes  # JSON object
    expected_pos: int | None = None


# --- push notifications ----------------------------------------------------------------------------------------------


class SetPusher(Call, frozen=True, kw_only=True):
    """Make a pusher, or change the one of this user, app and key. Others' of that app and key go, unless `append`.

    Errors: M_UNKNOWN_TOKEN (401) when the device is gone, M_INVALID_PARAM when the user has too many pushers.
    """

    user_id: str
    app_id: str
    pushkey: str
    kind: str
    device_id: str | None
    app_display_name: str
    device_display_name: str
    profile_tag: str | None
    lang: str
    data: bytes  # JSON object
    append: bool = False


class RemovePusher(Call, frozen=True, kw_only=True):
    """Delete a pusher, if there is one; with `set_ms` only if it was not set again since then."""

    user_id: str
    app_id: str
    pushkey: str
    set_ms: int | None = None


# --- application services -------------------------------------------------------------------------------------------


class SetAppService(Call, frozen=True, kw_only=True):
    """Register an application service, or change its registration; its own user is made if it is missing.

    Errors: M_INVALID_PARAM when another service has the same token or the same user.
    """

    registration: bytes  # JSON, see hs_common.matrix.appservice
    as_token_hash: bytes
    hs_token: str
    source: Literal["file", "command"]


class RemoveAppService(Call, frozen=True, kw_only=True):
    """`deactivate_users`: the accounts that the service made end too, by a job. Errors: M_NOT_FOUND."""

    service_id: str
    deactivate_users: bool = False


class PauseAppService(Call, frozen=True, kw_only=True):
    """Stop sending to a service, or go on; what is for it waits meanwhile. Errors: M_NOT_FOUND."""

    service_id: str
    paused: bool


class WakeAppService(Call, frozen=True, kw_only=True):
    """The service can be reached again: whoever sends to it tries at once. Errors: M_NOT_FOUND."""

    service_id: str


# --- ephemeral (no position in the log) -----------------------------------------------------------------------------


class SetTyping(Call, frozen=True, kw_only=True):
    room_id: str
    user_id: str
    timeout_ms: int  # 0: stopped


class SetPresence(Call, frozen=True, kw_only=True):
    user_id: str
    presence: Literal["online", "offline", "unavailable"]
    status_msg: str | None = None
    status_msg_given: bool = False  # /sync changes presence and leaves the message as it is
    by_sync: bool = False
    device_id: str = ""  # that syncs


_CALLS: Final[tuple[type[Call], ...]] = (
    AppendEvents, CreateRoom, UpgradeRoom, ComposeEvent, AppendReady, ForgetRoom, SetAlias, DeleteAlias, SetDirectory,
    SetReceipts, RegisterUser, UpgradeGuest, OpenSession, RefreshSession, ConfirmRefresh, CloseSessions, RenameDevice,
    MakeDevice, SetPassword, SetUserState, DeactivateUser, SetProfile, SetAccountData, SetTyping, SetPresence,
    SetAppService, RemoveAppService, PauseAppService, WakeAppService, SetPusher, RemovePusher,
    *FEDERATION_CALLS, *REMOTE_CALLS, *IMPORT_CALLS, *DELAYED_CALLS, *ROOM_CALLS, *SIGN_ON_CALLS, *ENCRYPTION_CALLS,
)  # fmt: skip
CALLS: Final[dict[str, type[Call]]] = {call.__name__: call for call in _CALLS}

_encoder = msgspec.msgpack.Encoder()
_call_decoders = {name: msgspec.msgpack.Decoder(call) for name, call in CALLS.items()}
_answer_decoders = {call: msgspec.msgpack.Decoder(call.answer) for call in CALLS.values()}


def encode(value: Call | Answer) -> bytes:
    """The call or answer as msgpack; the call's name travels beside it."""
    return _encoder.encode(value)


def decode_call(name: str, body: bytes | msgspec.Raw) -> Call:
    """Raises KeyError for an unknown name, msgspec.ValidationError for a body that does not fit."""
    return _call_decoders[name].decode(body)


def decode_answer(call: type[Call], body: bytes | msgspec.Raw) -> Answer:
    return _answer_decoders[call].decode(body)
