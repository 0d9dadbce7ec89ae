"""The items of the log: what changed, one kind each, as every follower reads them.

Rules: an item says what is now so, explicitly (followers never derive state from events); a field is only ever added at
the end, with a default (unknown trailing fields are skipped, unknown kinds are ignored by who does not need them).
Bodies are msgpack arrays, decoded only by who needs them (`decode`). Must not know SQL or the master.
"""

from typing import Final

import msgspec


class StateChange(msgspec.Struct, array_like=True, frozen=True):
    """One changed entry of a room's resolved state. old or new is None where the entry was or is absent."""

    type: str
    state_key: str
    old_event_id: str | None
    new_event_id: str | None
    old_membership: str | None = None  # of m.room.member
    new_membership: str | None = None


class LocalMembership(msgspec.Struct, array_like=True, frozen=True):
    """A local user's membership of a room that begins at the item's position (hard change: not join to join)."""

    user_id: str
    membership: str
    event_id: str
    sender: str
    stripped_state: str | None = None  # JSON array, of invites and knocks
    out_of_band: bool = False


class Relation(msgspec.Struct, array_like=True, frozen=True):
    parent_id: str
    rel_type: str
    key: str | None = None


class EventItem(msgspec.Struct, array_like=True, frozen=True):
    """An event that entered a room's timeline, and everything that changed with it."""

    room_id: str
    event_id: str
    room_version: str
    json: bytes  # the PDU, canonical JSON
    sender: str
    type: str
    state_key: str | None
    order_pos: int
    order_sub: int
    origin_server_ts: int
    state_pos: int  # state before the event
    replaces_state: str | None
    thread_root: str | None
    rule_bits: int
    mentions: list[str]  # joined local users
    changes: list[StateChange]
    memberships: list[LocalMembership]
    servers_joined: list[str]
    servers_left: list[str]
    redacted: list[str]  # ids of events whose content is redacted by this item
    relation: Relation | None
    device_id: str | None  # of the sender's request
    txn_id: str | None
    services: list[str] = []  # application services that are sent the event
    introduced: bool = False  # this server sends it to the others in the room
    redacted_by: str | None = None  # the redaction that came before the event


class MembershipItem(msgspec.Struct, array_like=True, frozen=True):
    """A membership out of band: an invite, knock or rejection in a room that this server is not in."""

    room_id: str
    membership: LocalMembership


class ForgetItem(msgspec.Struct, array_like=True, frozen=True):
    user_id: str
    room_id: str


class ReceiptItem(msgspec.Struct, array_like=True, frozen=True):
    room_id: str
    user_id: str
    receipt_type: str
    thread_id: str  # '' unthreaded, 'main', or a thread root
    event_id: str
    ts: int
    order_pos: int
    order_sub: int


class AccountDataItem(msgspec.Struct, array_like=True, frozen=True):
    user_id: str
    room_id: str  # '' global
    type: str
    content: bytes  # JSON object


class UserItem(msgspec.Struct, array_like=True, frozen=True):
    """An account was made, or its state changed."""

    user_id: str
    locked: bool = False
    suspended: bool = False
    deactivated: bool = False
    created: bool = False


class SessionsItem(msgspec.Struct, array_like=True, frozen=True):
    """Access tokens of a user stopped being valid."""

    user_id: str
    token_hashes: list[bytes]


class DevicesItem(msgspec.Struct, array_like=True, frozen=True):
    """A user's device list changed: devices made, renamed or removed."""

    user_id: str
    device_ids: list[str]
    removed: bool = False


class CrossSigningItem(msgspec.Struct, array_like=True, frozen=True):
    """A user's master or self-signing key changed, or a signature of the master key that everybody may see."""

    user_id: str


class PrivateKeysItem(msgspec.Struct, array_like=True, frozen=True):
    """Keys of these users changed for one reader alone: by his signatures, or his user-signing key."""

    reader_id: str
    user_ids: list[str]


class ToDeviceItem(msgspec.Struct, array_like=True, frozen=True):
    """Messages to devices of local users: user → device ids; `*` is all devices. What they say is in the inbox."""

    devices: dict[str, list[str]]
    services: list[str] = []  # application services that are sent messages


class DestinationsItem(msgspec.Struct, array_like=True, frozen=True):
    """Something waits for other servers; or `woken`: they can be reached again."""

    destinations: list[str]
    woken: bool = False


class ProfileItem(msgspec.Struct, array_like=True, frozen=True):
    user_id: str
    field: str
    value: bytes | None  # JSON; None: removed


class AliasItem(msgspec.Struct, array_like=True, frozen=True):
    alias: str
    room_id: str
    removed: bool = False


class DirectoryItem(msgspec.Struct, array_like=True, frozen=True):
    room_id: str
    is_public: bool


class RoomDeletedItem(msgspec.Struct, array_like=True, frozen=True):
    """Nothing is stored of the room any more."""

    room_id: str


class AppServiceItem(msgspec.Struct, array_like=True, frozen=True):
    """An application service was registered, changed, paused, resumed or removed: its row says what is now so.

    `woken`: nothing changed; it can be reached again, so what waits for it is sent at once.
    """

    service_id: str
    removed: bool = False
    woken: bool = False


class PushersItem(msgspec.Struct, array_like=True, frozen=True):
    """A user's pushers changed: their rows say what is now so. `taken`: others lost theirs of this app and key."""

    user_id: str
    taken: tuple[str, str] | None = None


Item = (
    EventItem
    | MembershipItem
    | ForgetItem
    | ReceiptItem
    | AccountDataItem
    | UserItem
    | SessionsItem
    | DevicesItem
    | CrossSigningItem
    | PrivateKeysItem
    | ToDeviceItem
    | DestinationsItem
    | ProfileItem
    | AliasItem
    | DirectoryItem
    | AppServiceItem
    | RoomDeletedItem
    | PushersItem
)

# The kind tags in an entry. A tag is never given a second meaning.
KINDS: Final[dict[str, type[Item]]] = {
    "event": EventItem,
    "membership": MembershipItem,
    "forget": ForgetItem,
    "receipt": ReceiptItem,
    "account_data": AccountDataItem,
    "user": UserItem,
    "sessions": SessionsItem,
    "devices": DevicesItem,
    "cross_signing": CrossSigningItem,
    "private_keys": PrivateKeysItem,
    "to_device": ToDeviceItem,
    "destinations": DestinationsItem,
    "profile": ProfileItem,
    "alias": AliasItem,
    "directory": DirectoryItem,
    "appservice": AppServiceItem,
    "room_deleted": RoomDeletedItem,
    "pushers": PushersItem,
}
KIND_OF: Final[dict[type[Item], str]] = {item: kind for kind, item in KINDS.items()}

_decoders = {kind: msgspec.msgpack.Decoder(item) for kind, item in KINDS.items()}
_encoder = msgspec.msgpack.Encoder()


def encode(item: Item) -> bytes:
    """The item's body as msgpack, for one place in an entry."""
    return _encoder.encode(item)


def decode(kind: str, body: bytes | msgspec.Raw) -> Item:
    """The item of a known kind. Raises KeyError for an unknown kind, msgspec.DecodeError for a broken body."""
    return _decoders[kind].decode(body)
