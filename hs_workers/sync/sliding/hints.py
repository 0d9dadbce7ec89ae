"""What the newest part of the log says that need not be asked for: most answers tell one message, and nothing else.

Only what is certain: where the log does not reach back far enough, everything has to be asked for.
"""

from typing import Final, NamedTuple

from hs_common.replication import items
from hs_workers.sync.recent_log import RecentLog

MAXIMUM_ITEMS: Final = 2_000  # more take longer to look at than asking does
MEMBER: Final = "m.room.member"


class Hints(NamedTuple):
    """Of the items since the last answer. `receipts`: the rooms in which somebody read something, None if unknown."""

    receipts: frozenset[str] | None = None
    account_data: bool = True
    devices: bool = True


UNKNOWN: Final = Hints()


def hints(recent: RecentLog, user_id: str, since: int) -> Hints:
    """What may have changed for the user."""
    found = recent.since(since, MAXIMUM_ITEMS)
    if found is None:
        return UNKNOWN
    receipts: set[str] = set()
    account_data = devices = False
    for one in found:
        item = one.item
        if isinstance(item, items.ReceiptItem):
            receipts.add(item.room_id)
        elif isinstance(item, items.AccountDataItem):
            account_data |= item.user_id == user_id
        elif isinstance(item, items.EventItem):
            devices |= any(change.type == MEMBER for change in item.changes)
        else:
            devices = True
    return Hints(frozenset(receipts), account_data, devices)
