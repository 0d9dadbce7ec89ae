"""The parts of one worker of the role, put together. Where they come from is `wiring`'s business, and the tests'."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from random import Random
from typing import Final

from hs_common.config.push import Push
from hs_common.email.mailer import Mailer
from hs_common.email.unsubscribing import Unsubscribing
from hs_common.matrix.pushers import EMAIL, HTTP
from hs_common.process.shares import Timing
from hs_common.reading.reader_settings import ReaderSettings
from hs_common.replication.clock import Clock
from hs_common.replication.link_interface import Link
from hs_common.storage.queries import Queries
from hs_workers.push.badges import Badges
from hs_workers.push.email_push import EmailPush
from hs_workers.push.event_reading import EventReading
from hs_workers.push.gateway import Egress, Gateways
from hs_workers.push.held_pushers import HeldPushers
from hs_workers.push.http_push import HttpPush
from hs_workers.push.judge import LogJudge
from hs_workers.push.judging import Judging
from hs_workers.push.pushing import Pushing
from hs_workers.push.senders import Senders, Work

REMEMBERED_SETTINGS: Final = 50_000
"""Users whose rules are remembered: more than a worker should push for. Who has no rules of his own costs little."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a worker uses of its process. `me` and `members`: as in `ShareKeeper`; `position`: of its follower."""

    db: Queries
    master: Link
    egress: Egress
    clock: Clock
    random: Random
    now_ms: Callable[[], int]
    position: Callable[[], int]
    me: str
    members: Callable[[], Collection[str]]
    settings: Push
    mailer: Mailer | None = None
    unsubscribing: Unsubscribing | None = None
    timing: Timing | None = None


class PushWorker:
    """`judge` is what follows the log, and what is started and stopped."""

    def __init__(self, near: Surroundings) -> None:
        held, readers = HeldPushers(), ReaderSettings(near.db, REMEMBERED_SETTINGS)
        self.badges = Badges(near.db, readers, near.position)
        self.gateways = Gateways(near.egress)
        pushing = Pushing(
            db=near.db,
            master=near.master,
            badges=self.badges,
            events=EventReading(near.db, near.clock.seconds),
            settings=near.settings,
            clock=near.clock,
            random=near.random,
            now_ms=near.now_ms,
            position=near.position,
        )
        works: dict[str, Work] = {HTTP: HttpPush(pushing, self.gateways)}
        if near.mailer is not None and near.unsubscribing is not None:
            works[EMAIL] = EmailPush(pushing, near.mailer, near.unsubscribing)
        self.senders = Senders(near.clock, lambda: self.judge.keeper.may_start(), works)
        self.judge = LogJudge(
            db=near.db,
            clock=near.clock,
            me=near.me,
            members=near.members,
            position=near.position,
            held=held,
            settings=readers,
            badges=self.badges,
            judging=Judging(near.db, held, readers, self.badges, near.now_ms, near.settings.keep_ms),
            senders=self.senders,
            timing=near.timing,
        )
