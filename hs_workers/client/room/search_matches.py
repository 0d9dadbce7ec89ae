"""What the index found for a search: the matches of a page and their number. Pure.

Not every match is read: most are only counted, by sender. Where all that was said may not be seen, each is here, as it
is to be judged before it is counted.

Spec: client-server API, #server-side-search.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Final, NamedTuple, Self

from hs_common.storage.queries import Row


class Match(NamedTuple):
    """One match. `is_whole`: the reader may see whatever was said in the room. `place`: in the order of all."""

    event_id: str
    room_id: str
    sender: str
    is_whole: bool
    place: int


class Matches:
    """Matches in their order. `head`: the log's last position, None if there are none."""

    def __init__(self, rows: Iterable[Row], first: int, told: int) -> None:
        """`rows` as `hs_common.storage.search.matches` tells them, of `told` places from `first` on."""
        self.first: Final = first
        self.head: int | None = None
        self.total = 0
        self._counted: Counter[str] = Counter()  # by sender, in rooms of which the reader may see everything
        self._rooms: list[str] = []  # one of those rooms for each sender
        each = []
        for event_id, room_id, sender, is_whole, place, count, head in rows:
            self.head = head
            self.total += count
            if event_id is None:
                self._counted[sender] += count
                self._rooms.append(room_id)
            else:
                each.append(Match(event_id, room_id, sender, is_whole, place))
        each.sort(key=lambda match: match.place)
        self.page: Final = [match for match in each if first <= match.place < first + told]
        self._outside: Final = [match for match in each if not first <= match.place < first + told]

    @property
    def end(self) -> int:
        """The place behind the last of the page."""
        return min(self.first, self.total) + len(self.page)

    def others(self, begin: int, end: int) -> "Others":
        """All but those of the page from one place to before another."""
        return Others.of(
            [*self._outside, *(match for match in self.page if not begin <= match.place < end)],
            self._counted,
            self._rooms,
        )


class Others(NamedTuple):
    """Matches that are only counted. `doubtful`: those to be judged first, in their order. `plain`: how many others
    there are, by sender. `room_id`: one of these others' rooms."""

    doubtful: list[Match]
    plain: Counter[str]
    room_id: str | None

    @classmethod
    def of(cls, each: Iterable[Match], counted: Counter[str], rooms: Iterable[str]) -> Self:
        """Of those known one by one, and those counted already."""
        listed = sorted(each, key=lambda match: match.place)
        whole = [match for match in listed if match.is_whole]
        room_ids = [*(match.room_id for match in whole), *rooms]
        return cls(
            [match for match in listed if not match.is_whole],
            counted + Counter(match.sender for match in whole),
            room_ids[0] if room_ids else None,
        )
