"""What of the log may concern users with pushers, in one form for both sources: items as they come, and tables."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hs_common.replication import items
from hs_common.replication.items import LocalMembership
from hs_common.storage.queries import Row


@dataclass(frozen=True, slots=True)
class SeenEvent:
    """An event that entered a timeline. `memberships`: of local users, that began with it (items alone tell them)."""

    pos: int
    room_id: str
    event_id: str
    room_version: str
    sender: str
    type: str
    state_key: str | None
    thread_root: str | None
    rule_bits: int
    state_pos: int
    origin_server_ts: int
    json: str | bytes
    mentions: Sequence[str]
    memberships: Sequence[LocalMembership] = ()
    redacts: bool = False


@dataclass(frozen=True, slots=True)
class SeenInvite:
    """An invite to a room that this server is not in."""

    pos: int
    room_id: str
    user_id: str
    event_id: str
    sender: str


@dataclass(frozen=True, slots=True)
class SeenRead:
    """A user read something, or left a room: his counts may be lower."""

    pos: int
    room_id: str
    user_id: str


Seen = SeenEvent | SeenInvite | SeenRead


def of_item(pos: int, item: items.Item) -> Iterator[Seen]:
    """What an item of the log at a position says."""
    if isinstance(item, items.EventItem):
        if item.order_sub == 0:
            yield _event(item)
    elif isinstance(item, items.MembershipItem):
        membership = item.membership
        if membership.membership == "invite":
            yield SeenInvite(pos, item.room_id, membership.user_id, membership.event_id, membership.sender)
    elif isinstance(item, items.ReceiptItem):
        yield SeenRead(pos, item.room_id, item.user_id)


def _event(item: items.EventItem) -> SeenEvent:
    return SeenEvent(
        item.order_pos,
        item.room_id,
        item.event_id,
        item.room_version,
        item.sender,
        item.type,
        item.state_key,
        item.thread_root,
        item.rule_bits,
        item.state_pos,
        item.origin_server_ts,
        item.json,
        item.mentions,
        item.memberships,
        bool(item.redacted),
    )


def of_event_row(row: Row) -> SeenEvent:
    """A row of `push_queue.missed_events`."""
    room_id, pos, event_id, version, sender, event_type, state_key, root, bits, state_pos, ts, json, mentions = row
    return SeenEvent(
        pos, room_id, event_id, version, sender, event_type, state_key, root, bits, state_pos, ts, json, mentions
    )
