"""Whose turn it is: queues of calls by lane and origin, so that a flood of one delays no other.

Between lanes by deficit round robin in µs of deciding, 6 : 3 : 1: a lane that waits gets its share of the time however
much the others have, and what one does not use the others may. Within a lane the origins (a service, a user, a server)
take turns of about a millisecond, and the queues of an origin go round. Pure: knows neither calls nor clocks.

Failure rules, section 6.
"""

from collections import OrderedDict, deque
from collections.abc import Iterator
from typing import Final, Protocol

INTERACTIVE: Final = "interactive"
WEIGHTS: Final = {INTERACTIVE: 6, "federation": 3, "bulk": 1}
QUANTUM_US: Final = 1_000
"""What a lane of weight 1 gets each round: a round is then half of a batch, so every lane is in every batch."""
ORIGIN_TURN_US: Final = 1_000
DEBT_LIMIT_US: Final = 20_000
"""One dear call is not held against its lane for longer than a batch."""


class Queued(Protocol):
    """What takes turns: its name is unique; `lane` and `origin` stay the same while it is in."""

    name: str
    lane: str
    origin: str


class _Origin:
    __slots__ = ("left_us", "queues")

    def __init__(self) -> None:
        self.queues: OrderedDict[str, Queued] = OrderedDict()
        self.left_us = float(ORIGIN_TURN_US)


class _Lane:
    __slots__ = ("credit_us", "is_new_round", "origins", "quantum_us", "queues")

    def __init__(self, weight: int) -> None:
        self.origins: OrderedDict[str, _Origin] = OrderedDict()  # one without queues goes when its turn comes
        self.queues = 0
        self.quantum_us = weight * QUANTUM_US
        self.credit_us = 0.0
        self.is_new_round = True


class Lanes:
    """Queues that may have something to take."""

    def __init__(self) -> None:
        self._lanes = {name: _Lane(weight) for name, weight in WEIGHTS.items()}
        self._turn = deque(self._lanes.values())
        self._inside: dict[str, _Lane] = {}

    def __len__(self) -> int:
        return len(self._inside)

    def __contains__(self, name: str) -> bool:
        return name in self._inside

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._inside))

    def add(self, queue: Queued) -> None:
        """It waits for its turn, behind the others of its origin. One that is in already stays where it is."""
        if queue.name in self._inside:
            return
        lane = self._lanes.get(queue.lane) or self._lanes[INTERACTIVE]
        self._inside[queue.name] = lane
        lane.queues += 1
        lane.origins.setdefault(queue.origin, _Origin()).queues[queue.name] = queue

    def discard(self, queue: Queued) -> None:
        """It has nothing to take."""
        lane = self._inside.pop(queue.name, None)
        if lane is not None:
            lane.queues -= 1
            del lane.origins[queue.origin].queues[queue.name]

    def pop(self) -> Queued | None:
        """Takes out the queue whose turn it is; None if there is none."""
        if not self._inside:
            return None
        lane = self._next_lane()
        while not (origin := next(iter(lane.origins.values()))).queues:
            lane.origins.popitem(last=False)
        queue = next(iter(origin.queues.values()))
        self.discard(queue)
        return queue

    def spend(self, queue: Queued, microseconds: float) -> None:
        """What was taken from a queue costs so much."""
        lane = self._lanes.get(queue.lane) or self._lanes[INTERACTIVE]
        lane.credit_us = max(lane.credit_us - microseconds, -DEBT_LIMIT_US)
        origin = lane.origins.get(queue.origin)
        if origin is not None:
            origin.left_us -= microseconds
            if origin.left_us <= 0:
                origin.left_us = ORIGIN_TURN_US
                lane.origins.move_to_end(queue.origin)

    def clear(self) -> None:
        """Nothing waits."""
        for lane in self._turn:
            lane.origins.clear()
            lane.queues = 0
        self._inside.clear()

    def _next_lane(self) -> _Lane:
        busy = [lane for lane in self._turn if lane.queues]
        if len(busy) == 1:
            busy[0].credit_us = 0.0  # nobody to be fair to
            return busy[0]
        while True:
            lane = self._turn[0]
            if not lane.queues:
                lane.credit_us = 0.0
                lane.origins.clear()
            else:
                if lane.is_new_round:
                    lane.credit_us += lane.quantum_us
                    lane.is_new_round = False
                if lane.credit_us > 0:
                    return lane
            lane.is_new_round = True
            self._turn.rotate(-1)
