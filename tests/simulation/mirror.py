"""What a worker derives from the log: timelines, the state of rooms, account data, and what to tell clients.

`fresh` builds the same from the tables at a position; a follower that is right holds exactly that (invariant 5).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from hs_common.replication import items
from hs_common.replication.entry import Entry, EntryItem
from hs_common.replication.subscription import Subscription
from tests.simulation.database import SimulatedLog

News = tuple[int, str]
"""A position, and what is new there: an event's id, or an account datum and its content."""


@dataclass
class Derived:
    """What is known at a position."""

    news: list[News] = field(default_factory=list)  # by rising position
    state: dict[tuple[str, str, str], str] = field(default_factory=dict)  # (room, type, state key) → event id
    account_data: dict[tuple[str, str, str], str] = field(default_factory=dict)

    def between(self, after: int, upto: int) -> list[News]:
        return [one for one in self.news if after < one[0] <= upto]


def fresh(database: SimulatedLog, pos: int) -> Derived:
    """From the rows at or below a position."""
    tables, derived = database.tables, Derived()
    for room_id, timeline in tables.timeline.items():
        derived.news += [(row.order_pos, row.event_id) for row in timeline if row.order_pos <= pos]
        for (event_type, state_key), event_id in tables.state_at(room_id, pos).items():
            derived.state[room_id, event_type, state_key] = event_id
    for key, versions in tables.account_data.items():
        for version, content in versions:
            if version <= pos:
                derived.account_data[key] = content
                derived.news.append((version, content))
    derived.news.sort()
    return derived


class Mirror:
    """A subscriber that keeps `Derived` up to date by what it hears."""

    def __init__(self, database: SimulatedLog) -> None:
        self.derived = Derived()
        self._database = database

    def subscription(self) -> Subscription:
        return Subscription("mirror", {"event", "account_data"}, self._apply, self._reset)

    def _apply(self, batch: Sequence[EntryItem], entry: Entry) -> None:
        derived = self.derived
        for item in batch:
            decoded = items.decode(item.kind, item.body)
            if isinstance(decoded, items.EventItem):
                derived.news.append((item.pos, decoded.event_id))
                for change in decoded.changes:
                    assert change.new_event_id is not None, "local events only ever set an entry of the state"
                    derived.state[decoded.room_id, change.type, change.state_key] = change.new_event_id
            elif isinstance(decoded, items.AccountDataItem):
                content = decoded.content.decode()
                derived.account_data[decoded.user_id, decoded.room_id, decoded.type] = content
                derived.news.append((item.pos, content))

    def _reset(self, pos: int) -> None:
        self.derived = fresh(self._database, pos)
