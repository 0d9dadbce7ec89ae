"""Whether what was acknowledged is there: once, and in order, for those who read rooms and for the service. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class Audit:
    """How many messages were looked for, and what is wrong with them."""

    acknowledged: int = 0
    lost: int = 0
    twice: int = 0
    out_of_order: int = 0

    @property
    def is_well(self) -> bool:
        """Whether nothing is wrong."""
        return not (self.lost or self.twice or self.out_of_order)

    def __add__(self, other: "Audit") -> "Audit":
        return Audit(
            self.acknowledged + other.acknowledged,
            self.lost + other.lost,
            self.twice + other.twice,
            self.out_of_order + other.out_of_order,
        )


def audit(acknowledged: Iterable[Sequence[str]], found: Sequence[str]) -> Audit:
    """`acknowledged`: each sender's events as it was told of them; `found`: the room's, or the service's, in order."""
    places: Mapping[str, int] = {event_id: place for place, event_id in enumerate(found)}
    times = Counter(found)
    total = Audit()
    for events in acknowledged:
        there = [places[event_id] for event_id in events if event_id in places]
        total += Audit(
            acknowledged=len(events),
            lost=len(events) - len(there),
            twice=sum(times[event_id] > 1 for event_id in events),
            out_of_order=sum(first >= second for first, second in pairwise(there)),
        )
    return total
