"""Works off the queue of an email pusher: what stays unread for a while is told in one mail, each room only so often.

A room's first mail waits for the configured time, the next one of the same room twice as long, and so on up to a day.
What the user reads meanwhile is not told.

Spec: client-server API, #post_matrixclientv3pushersset (kind `email`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from twisted.logger import Logger

from hs_common.email.mail import Mail, MailFailed, canonical_address
from hs_common.email.mailer import Mailer
from hs_common.email.unsubscribing import Unsubscribing
from hs_common.replication.calls import RemovePusher
from hs_common.storage import push_queue, threepids
from hs_common.storage.push_queue import MailedRoom, PushState, QueuedPush
from hs_common.storage.pushers import Pusher
from hs_workers.push.mail_text import ROOMS_LIMIT, RoomText, room_text, subject
from hs_workers.push.notification import PushedEvent
from hs_workers.push.pushing import Pushing
from hs_workers.push.senders import Lost, Task

ROWS: Final = 500
"""Looked at together; of more the others come with the next mail."""
LONGEST_WAIT_MS: Final = 86_400_000
FORGET_MS: Final = 2 * LONGEST_WAIT_MS
"""A room that was not mailed of for so long begins anew, and nothing older is told."""
LOOK_S: Final = 600.0

_log = Logger()


class EmailPush:
    """Of pushers of the kind `email`."""

    def __init__(self, pushing: Pushing, mailer: Mailer, unsubscribing: Unsubscribing) -> None:
        self._pushing = pushing
        self._mailer = mailer
        self._unsubscribing = unsubscribing

    async def step(self, task: Task) -> bool:
        """Waits until a mail is due, and sends it; whether more may wait. Raises Lost."""
        rows = await self._pushing.waiting(task, ROWS)
        by_room = await self._unread(task, rows)
        if not by_room:
            return bool(rows)
        mailed = await push_queue.mailed_rooms(self._pushing.db, task.pusher.pusher_id)
        due = {room_id: self._due(room_rows, mailed.get(room_id)) for room_id, room_rows in by_room.items()}
        soonest, now = min(due.values()), self._pushing.now_ms()
        if soonest > now:
            await task.news.wait(min(LOOK_S, (soonest - now) / 1000))
            return True
        chosen = [room_id for room_id in by_room if due[room_id] <= now][:ROOMS_LIMIT]
        await self._mail(task, {room_id: by_room[room_id] for room_id in chosen}, mailed)
        return True

    async def _unread(self, task: Task, rows: Sequence[QueuedPush]) -> dict[str, list[QueuedPush]]:
        """What is still worth telling, by room; the rest goes."""
        user_id, oldest_ms = task.pusher.user_id, self._pushing.now_ms() - FORGET_MS
        by_room: dict[str, list[QueuedPush]] = {}
        passed: list[int] = []
        for row in rows:
            if row.event_id is None or row.at_ms < oldest_ms or await self._pushing.is_read(user_id, row):
                passed.append(row.pos)
            else:
                by_room.setdefault(row.room_id, []).append(row)
        await self._pushing.settle(task, passed)
        return by_room

    def _due(self, rows: Sequence[QueuedPush], mailed: MailedRoom | None) -> int:
        first = rows[0].at_ms + self._pushing.settings.mail_delay_ms
        return first if mailed is None else max(first, mailed.mailed_ms + mailed.wait_ms)

    async def _mail(
        self, task: Task, by_room: Mapping[str, Sequence[QueuedPush]], mailed: Mapping[str, MailedRoom]
    ) -> None:
        pusher = task.pusher
        owner = await threepids.user_of_threepid(self._pushing.db, "email", canonical_address(pusher.pushkey))
        if owner != pusher.user_id:  # he has taken the address from his account, or another has it now
            await self._pushing.master.call(
                RemovePusher(user_id=pusher.user_id, app_id=pusher.app_id, pushkey=pusher.pushkey)
            )
            await self._pushing.settle(task, [row.pos for rows in by_room.values() for row in rows])
            return
        texts = [text for rows in by_room.values() if (text := await self._text(pusher, rows)) is not None]
        positions = [row.pos for rows in by_room.values() for row in rows]
        if not texts:  # all was redacted
            await self._pushing.settle(task, positions)
            return
        mail = self._written(pusher, texts)
        task.is_away = True
        try:
            await self._mailer.send_mail(mail)
            await self._noted(task, positions, by_room, mailed)
        except MailFailed as error:
            failure: MailFailed | None = error
        else:
            failure = None
        finally:
            task.is_away = False
        if failure is not None:
            await self._failed(task, failure, positions)

    async def _text(self, pusher: Pusher, rows: Sequence[QueuedPush]) -> RoomText | None:
        events: list[PushedEvent] = []
        for row in rows:
            event = await self._pushing.event(pusher.user_id, row)
            if event is not None:
                events.append(event)
        if not events:
            return None
        settings = self._pushing.settings
        return room_text(events, link_base=settings.room_link, include_content=settings.include_content)

    def _written(self, pusher: Pusher, texts: Sequence[RoomText]) -> Mail:
        link = self._unsubscribing.link(pusher.user_id, pusher.pushkey)
        values = {
            "subject": subject(texts),
            "rooms": texts,
            "user_id": pusher.user_id,
            "unsubscribe_link": link,
        }
        # RFC 8058: mail programs offer to end it with one press.
        headers = (("List-Unsubscribe", f"<{link}>"), ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"))
        return replace(self._mailer.written("notification", pusher.pushkey, values), headers=headers)

    async def _noted(
        self,
        task: Task,
        positions: Sequence[int],
        room_ids: Mapping[str, object],
        mailed: Mapping[str, MailedRoom],
    ) -> None:
        now = self._pushing.now_ms()
        waits = {room_id: self._next_wait(mailed.get(room_id), now) for room_id in room_ids}
        task.state = PushState(None, 0)
        pusher_id = task.pusher.pusher_id
        await push_queue.mailed(self._pushing.db, pusher_id, waits, now)
        if not await push_queue.pushed(self._pushing.db, task.shard, task.term, pusher_id, positions, None, now):
            raise Lost

    def _next_wait(self, mailed: MailedRoom | None, now: int) -> int:
        if mailed is None or now - mailed.mailed_ms > FORGET_MS:
            return self._pushing.settings.mail_delay_ms
        return min(LONGEST_WAIT_MS, 2 * mailed.wait_ms)

    async def _failed(self, task: Task, error: MailFailed, positions: Sequence[int]) -> None:
        failures = 1 + (0 if task.state is None else task.state.failures)
        task.state = PushState(None, failures)
        _log.warn(
            "no notification by email to {user} ({count}): {why}", user=task.pusher.user_id, count=failures, why=error
        )
        await push_queue.failed(self._pushing.db, task.pusher.pusher_id, failures, str(error))
        if error.is_permanent:
            await self._pushing.settle(task, positions)
        await self._pushing.pause_after(failures)
