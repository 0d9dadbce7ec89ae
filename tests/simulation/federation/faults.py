"""What goes wrong in a world of servers, drawn from the seed: which kinds, how often, for how long."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Final

from tests.simulation.clock import VirtualClock
from tests.simulation.federation.homeserver import Homeserver
from tests.simulation.federation.wire import Link, Wire

KINDS: Final = ("cut", "one way", "down", "kill master", "kill inbound", "kill sender", "database", "slow")


@dataclass(frozen=True, slots=True)
class Profile:
    """Which kinds of faults a world knows, and how its links always are."""

    kinds: tuple[str, ...]
    mean_gap_s: float
    link: Link
    call_loss: float
    commit_fault_chance: float


def draw_profile(random: Random) -> Profile:
    kinds = tuple(kind for kind in KINDS if random.random() < 0.4)
    link = Link(
        loss=random.choice((0.0, 0.05, 0.3)),
        answer_loss=random.choice((0.0, 0.05, 0.3)),
        repeat=random.choice((0.0, 0.1)),
        slow=random.choice((0.0, 0.1, 0.3)),
    )
    call_loss, commit_faults = random.choice((0.0, 0.0, 0.03)), random.choice((0.0, 0.0, 0.02))
    return Profile(kinds, random.uniform(2.0, 20.0), link, call_loss, commit_faults)


class Misfortune:
    """Makes faults happen until it is ended; `end` mends everything."""

    def __init__(
        self,
        clock: VirtualClock,
        random: Random,
        profile: Profile,
        homes: list[Homeserver],
        wire: Wire,
        counts: Counter[str],
    ) -> None:
        self._clock = clock
        self._random = random
        self._profile = profile
        self._homes = homes
        self._wire = wire
        self._counts = counts
        self._ended = False
        self._acts: dict[str, Callable[[Homeserver], None]] = {
            "cut": self._cut,
            "one way": self._cut_one_way,
            "down": self._down,
            "kill master": self._kill_master,
            "kill inbound": self._kill_inbound,
            "kill sender": self._kill_sender,
            "database": self._restart_database,
            "slow": self._slow,
        }

    def start(self) -> None:
        profile = self._profile
        for home in self._homes:
            home.site.call_loss, home.commit_fault_chance = profile.call_loss, profile.commit_fault_chance
            for other in self._homes:
                link, mine = self._wire.link(home.name, other.name), profile.link
                link.loss, link.answer_loss, link.repeat, link.slow = (
                    mine.loss,
                    mine.answer_loss,
                    mine.repeat,
                    mine.slow,
                )
        self._next()

    def end(self) -> None:
        self._ended = True
        self._wire.heal()
        for home in self._homes:
            home.site.call_loss = home.commit_fault_chance = 0.0
            home.world.slowness = 1.0
            home.database.away = False
            home.start()

    def _next(self) -> None:
        if self._ended or not self._profile.kinds:
            return
        kind = self._random.choice(self._profile.kinds)
        self._counts[f"fault: {kind}"] += 1
        self._acts[kind](self._random.choice(self._homes))
        self._clock.callLater(self._random.expovariate(1.0) * self._profile.mean_gap_s, self._next)

    def _mend_later(self, longest_s: float, mend: Callable[[], None]) -> None:
        seconds = self._random.uniform(0.1, longest_s)
        self._clock.callLater(seconds, lambda: None if self._ended else mend())

    def _cut(self, home: Homeserver) -> None:
        """A server is parted from one other, or from all."""
        others = [other for other in self._homes if other is not home]
        for other in others if self._random.random() < 0.4 else [self._random.choice(others)]:
            links = [self._wire.link(home.name, other.name), self._wire.link(other.name, home.name)]
            for link in links:
                link.is_cut = True
            self._mend_later(150.0, partial(_join_up, links))

    def _cut_one_way(self, home: Homeserver) -> None:
        link = self._wire.link(home.name, self._random.choice(self._homes).name)
        link.is_cut = True
        self._mend_later(60.0, partial(_join_up, [link]))

    def _down(self, home: Homeserver) -> None:
        home.kill()
        self._mend_later(120.0, home.start)

    def _kill_master(self, home: Homeserver) -> None:
        home.kill_master()
        self._mend_later(15.0, home.start_master)

    def _kill_inbound(self, home: Homeserver) -> None:
        home.kill_inbound()
        self._mend_later(15.0, home.start_inbound)

    def _kill_sender(self, home: Homeserver) -> None:
        number = self._random.randrange(len(home.senders))
        home.kill_sender(number)
        self._mend_later(30.0, partial(home.start_sender, number))

    def _restart_database(self, home: Homeserver) -> None:
        home.database.end_all_sessions()
        home.database.away = True
        self._mend_later(5.0, lambda: setattr(home.database, "away", False))

    def _slow(self, home: Homeserver) -> None:
        home.world.slowness = self._random.choice((10.0, 50.0))
        self._mend_later(20.0, lambda: setattr(home.world, "slowness", 1.0))


def _join_up(links: list[Link]) -> None:
    for link in links:
        link.is_cut = False
