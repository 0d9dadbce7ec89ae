"""Who in a process wants which items of the log: an explicit list, called in its order.

A subscriber keeps something derived from the log (a cache, an index, a wake-up). If it fails, what it derived is wrong,
so it is told to drop it: a bug in one costs that one's cache and is logged, nobody else's work. Must not know carriers.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from twisted.logger import Logger

from hs_common.replication.entry import Body, Entry, EntryItem

_log = Logger()


@dataclass(frozen=True)
class Subscription:
    """One subscriber.

    `apply` takes those items of a commit that are of its `kinds`, still encoded, and the commit's entry.
    `reset` takes the position of the head at which the follower starts (again): forget everything derived before.
    """

    name: str
    kinds: Collection[str]
    apply: Callable[[Sequence[EntryItem], Entry], None]
    reset: Callable[[int], None]


def hand_out(subscriptions: Sequence[Subscription], entry: Entry, body: Body) -> int:
    """Gives each subscriber its items of one commit. Returns how many subscribers failed and were reset."""
    failures = 0
    for subscription in subscriptions:
        batch = [item for item in body.items if item.kind in subscription.kinds]
        if not batch:
            continue
        try:
            subscription.apply(batch, entry)
        except Exception:
            _log.failure("subscriber {name} failed at position {pos}", name=subscription.name, pos=entry.pos)
            failures += 1
            subscription.reset(entry.pos)
    return failures


def reset_all(subscriptions: Sequence[Subscription], pos: int) -> None:
    """Tells every subscriber to begin anew at `pos`."""
    for subscription in subscriptions:
        subscription.reset(pos)
