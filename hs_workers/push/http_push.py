"""Works off the queue of an http pusher: one notification at a time, in the order of the log, until the gateway has it.

What was read or redacted meanwhile is not pushed; counts are told as they are now, and alone only if nothing else tells
them. A gateway that fails is asked again, ever later; what is too old by then is dropped.

Spec: push-gateway-api/#homeserver-behaviour.
"""

from typing import Any, Final, NamedTuple

import orjson
from twisted.logger import Logger

from hs_common.replication.calls import RemovePusher
from hs_common.replication.clock import pause
from hs_common.storage import push_queue
from hs_common.storage.push_queue import PushState, QueuedPush
from hs_common.storage.pushers import Pusher
from hs_common.storage.queries import DatabaseError
from hs_workers.push.badges import Badge
from hs_workers.push.gateway import Gateways, Refused
from hs_workers.push.notification import counts_notification, event_notification
from hs_workers.push.pushing import Pushing
from hs_workers.push.senders import Lost, Task

ROWS: Final = 50
"""Read at once: most have one or two, and one that was away has many that were read elsewhere."""
QUEUE_LIMIT: Final = 1_000
"""Kept for a gateway that fails; nobody looks at more notifications than that."""
DATABASE_RETRY_S: Final = 1.0

_log = Logger()


class _Wanted(NamedTuple):
    body: dict[str, Any]
    badge: int


class HttpPush:
    """Of pushers of the kind `http`."""

    def __init__(self, pushing: Pushing, gateways: Gateways) -> None:
        self._pushing = pushing
        self._gateways = gateways

    async def step(self, task: Task) -> bool:
        """Pushes one thing, if one waits that is worth it; whether more may wait. Raises Lost."""
        rows = await self._pushing.waiting(task, ROWS)
        passed: list[int] = []
        for number, row in enumerate(rows):
            passed.append(row.pos)
            wanted = await self._wanted(task, row, rows[number + 1 :])
            if wanted is not None:
                await self._push(task, passed, wanted)
                return True
        await self._pushing.settle(task, passed)
        return bool(rows)

    # --- what is worth pushing ---

    async def _wanted(self, task: Task, row: QueuedPush, later: list[QueuedPush]) -> _Wanted | None:
        pusher = task.pusher
        if row.at_ms < self._pushing.now_ms() - self._pushing.settings.keep_ms:
            return None
        try:
            if row.event_id is not None:
                return await self._event(pusher, row)
            return None if later else await self._counts(task, row.pos)
        except DatabaseError:
            raise
        except Exception:
            _log.failure("a notification of {event} cannot be made and is left out", event=row.event_id)
            return None

    async def _event(self, pusher: Pusher, row: QueuedPush) -> _Wanted | None:
        if await self._pushing.is_read(pusher.user_id, row):
            return None
        event = await self._pushing.event(pusher.user_id, row)
        if event is None:
            return None
        badge = await self._pushing.badges.of(pusher.user_id, row.pos)
        unread = self._unread(badge)
        tweaks = orjson.loads(row.tweaks)
        include = self._pushing.settings.include_content
        body = event_notification(pusher, event, tweaks, unread, badge.missed_calls, include_content=include)
        return _Wanted(body, unread)

    async def _counts(self, task: Task, pos: int) -> _Wanted | None:
        badge = await self._pushing.badges.of(task.pusher.user_id, pos)
        unread = self._unread(badge)
        if task.state is not None and unread == (task.state.badge or 0):
            return None
        return _Wanted(counts_notification(task.pusher, unread, badge.missed_calls), unread)

    def _unread(self, badge: Badge) -> int:
        return badge.rooms if self._pushing.settings.badge == "rooms" else badge.messages

    # --- pushing ---

    async def _push(self, task: Task, positions: list[int], wanted: _Wanted) -> None:
        """Pushes, and waits for a while if that fails. The rows at the positions go when it is done."""
        pusher, url = task.pusher, task.pusher.data["url"]
        turn = await self._gateways.turn(url)
        task.is_away = True
        try:
            outcome = await self._gateways.notify(url, wanted.body)
            if not isinstance(outcome, Refused):
                await self._pushed(task, positions, wanted.badge)
        finally:
            turn.release()
            task.is_away = False
        if isinstance(outcome, Refused):
            await self._failed(task, outcome)
        elif pusher.pushkey in outcome.rejected:
            _log.info("the gateway of {app} rejects a pusher of {user}", app=pusher.app_id, user=pusher.user_id)
            await self._pushing.master.call(
                RemovePusher(user_id=pusher.user_id, app_id=pusher.app_id, pushkey=pusher.pushkey, set_ms=pusher.set_ms)
            )

    async def _pushed(self, task: Task, positions: list[int], badge: int) -> None:
        task.state = PushState(badge, 0)
        while True:  # what was pushed must be noted, or it is pushed again
            try:
                held = await push_queue.pushed(
                    self._pushing.db,
                    task.shard,
                    task.term,
                    task.pusher.pusher_id,
                    positions,
                    badge,
                    self._pushing.now_ms(),
                )
            except DatabaseError as error:
                _log.warn("what was pushed is noted when the database answers: {error}", error=error)
                await pause(self._pushing.clock, DATABASE_RETRY_S)
            else:
                break
        if not held:
            raise Lost

    async def _failed(self, task: Task, outcome: Refused) -> None:
        pusher_id, state = task.pusher.pusher_id, task.state
        failures = 1 + (0 if state is None else state.failures)
        task.state = PushState(None if state is None else state.badge, failures)
        await push_queue.failed(self._pushing.db, pusher_id, failures, outcome.why)
        await push_queue.drop_old(
            self._pushing.db, pusher_id, self._pushing.now_ms() - self._pushing.settings.keep_ms, QUEUE_LIMIT
        )
        _log.warn(
            "the gateway of {app} takes no notification ({count}): {why}",
            app=task.pusher.app_id,
            count=failures,
            why=outcome.why,
        )
        await self._pushing.pause_after(failures, outcome.retry_after_s)
