"""Hears from the log in which rooms one kind of state event was set anew, for who keeps what it says of each room."""

from collections.abc import Callable, Sequence

from hs_common.replication import items
from hs_common.replication.entry import Entry, EntryItem
from hs_common.replication.subscription import Subscription


def settings_subscription(
    name: str, event_type: str, forget: Callable[[str], None], forget_all: Callable[[], None]
) -> Subscription:
    """`forget` is called with each room where such an event came or that was deleted, `forget_all` at a new start."""
    mark = event_type.encode()

    def apply(batch: Sequence[EntryItem], entry: Entry) -> None:
        for one in batch:
            # Few events are of this type, and decoding each would cost more than all else here.
            if one.kind == "room_deleted" or mark in bytes(one.body):
                item = items.decode(one.kind, one.body)
                if isinstance(item, items.RoomDeletedItem) or (
                    isinstance(item, items.EventItem) and _sets(item, event_type)
                ):
                    forget(item.room_id)

    return Subscription(name, ("event", "room_deleted"), apply, lambda pos: forget_all())


def _sets(event: items.EventItem, event_type: str) -> bool:
    """Whether it is of that type, or brings back one that is: where a room's forks meet."""
    return event.type == event_type or any(change.type == event_type for change in event.changes)
