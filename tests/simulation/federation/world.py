"""One world of servers from its seed to its end.

Users act, faults come and end, everything is delivered, and each server says a last word in each room, so that all
branches come together.
"""

from collections import Counter
from hashlib import sha256
from random import Random
from typing import Final

from tests.simulation.clock import VirtualClock
from tests.simulation.federation.actions import Actions, draw_style
from tests.simulation.federation.faults import Misfortune, draw_profile
from tests.simulation.federation.homeserver import Homeserver
from tests.simulation.federation.wire import Wire

SETTLE_LIMIT_S: Final = 4 * 3600.0
"""After the last fault: staged events are tried again for more than an hour."""
PASSES_S: Final = 90.0
"""Typing ends after half a minute."""
ACTS: Final = (60, 150, 150, 400)
"""How much users do at most in a world: what comes late costs more, as states grow and branches get longer."""
NAMES: Final = ("one", "two", "three", "four")


class World:
    """See the module. After `run`, everything that the checkers look at is here."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.random = Random(seed)
        self.clock = VirtualClock()
        self.counts: Counter[str] = Counter()
        self.violations: list[str] = []
        self.wire = Wire(self.clock, self.random, self.counts)
        names = NAMES[: self.random.choice((2, 3, 3, 3, 4))]
        senders = self.random.choice((1, 1, 2))
        self.homes = [Homeserver(self.random.getrandbits(64), self.clock, self.wire, name, senders) for name in names]
        self.style = draw_style(self.random)
        self.profile = draw_profile(self.random)
        self.actions = Actions(self.random, self.homes, self.style, self.counts, self.violation)
        self.has_rested = False  # at its end nothing was left to do
        self._acts_left = 0

    @property
    def fingerprint(self) -> str:
        """Equal for equal runs."""
        digest = sha256(f"{self.clock.calls} {self.random.random()}".encode())
        for home in self.homes:
            for written in home.database.history:
                digest.update(written.batch.body)
        return digest.hexdigest()

    def violation(self, text: str) -> None:
        self.violations.append(f"at {self.clock.now:.3f} s: {text}")

    def run(self) -> None:
        for home in self.homes:
            home.start()
        self._live(2.0)
        misfortune = Misfortune(self.clock, self.random, self.profile, self.homes, self.wire, self.counts)
        misfortune.start()
        self._acts_left = self.random.choice(ACTS)
        self._act(self.random.choice((0.3, 1.0, 4.0)))
        self._live(self.random.uniform(30.0, 240.0))
        self._acts_left = 0
        misfortune.end()
        if self._settled():
            self._look_for_lost()
            self._say_last_words()
            self._read_everything()
            self._read_on()

    def _look_for_lost(self) -> None:
        """Before any last word, since what a last word builds on is fetched with it."""
        by_name = {home.name: home for home in self.homes}
        for home in self.homes:
            for room_id, event_id, origin in home.site.received.lost(home.tables):
                other = by_name[origin]
                if home.is_with(other, room_id) and not home.is_kept_from(other, room_id):
                    self.violation(f"{home.name} answered {origin} that it has received {event_id}, and has lost it")

    def _say_last_words(self) -> None:
        """Twice, since what is said first may be refused elsewhere."""
        for _ in range(2):
            for room in self.actions.rooms:
                for home in self.homes:
                    if home.is_in(room.room_id) and self.actions.say(home, room) and not self._settled():
                        return

    def _read_everything(self) -> None:
        """Until there is no gap in any timeline, or reading changes nothing more."""
        before: object = None
        while before != (before := [home.tables.gaps.copy() for home in self.homes]):
            for room in self.actions.rooms:
                for home in self.homes:
                    if home.is_in(room.room_id):
                        self.actions.read_back(home, room, 10_000)
            if not self._settled():
                return

    def _read_on(self) -> None:
        """And wait until what passes has passed."""
        for room in self.actions.rooms:
            for home in self.homes:
                if home.is_in(room.room_id):
                    self.actions.read_on(home, room)
        if self._settled():
            self._live(PASSES_S)
            self.has_rested = True

    def _act(self, pause_s: float) -> None:
        if self._acts_left > 0:
            self._acts_left -= 1
            self.actions.next()
            self.clock.callLater(self.random.expovariate(1.0) * pause_s, self._act, pause_s)

    def _live(self, seconds: float) -> None:
        self.clock.run_until(self.clock.now + seconds)

    def _settled(self) -> bool:
        """Lives until nothing is under way anywhere; false if that never comes."""
        limit, quiet = self.clock.now + SETTLE_LIMIT_S, 0
        while quiet < 3:
            if self.clock.now > limit:
                self.violation(f"it never comes to rest: {self._restless()}")
                return False
            self._live(1.0)
            quiet = 0 if self._restless() else quiet + 1
        return True

    def _restless(self) -> list[str]:
        found = ["users"] if self.actions.busy() else []
        for home in self.homes:
            workers = home.database.workers
            found += [f"{home.name} has {row.event_id} staged" for row in workers.staged.values()]
            found += [
                f"{home.name} is behind for {name}" for name, row in workers.destinations.items() if row.is_behind
            ]
            found += [f"{home.name} is joining {room_id}" for room_id, row in workers.joining.items() if row[2] > 1e9]
            # Of whom died with it, others notice only after some seconds that a share is nobody's.
            found += [f"nobody of {home.name} has a share of {one}" for one in home.orphaned_duties()]
            edus = home.tables.outgoing_edus
            found += [f"{home.name} has messages for {name}" for name, waiting in edus.items() if waiting]
        return found
