"""Judges what the log brings for the users who have pushers: whom it notifies, and how. Nobody else is visited.

An event's stored bits answer for the predefined rules; it is looked into only for rules that ask for its content.
Ignored users notify nobody, and nothing that a user sent himself notifies him. Old events (history that comes late) are
no news.

Spec: client-server API, #push-rules, #ignoring-users, #receiving-notifications.
"""

from collections.abc import Callable, Iterable, Sequence

import orjson

from hs_common.matrix.push_actions import Actions
from hs_common.matrix.push_conditions import EventFacts
from hs_common.matrix.push_rule_evaluation import Reader
from hs_common.matrix.push_rules import reader_bits, rule_bits
from hs_common.matrix.pushers import HTTP
from hs_common.reading.push_facts import MEMBER, RoomFacts, room_facts
from hs_common.reading.reader_settings import ReaderSettings
from hs_common.reading.settings import Settings
from hs_common.reading.unread import MAIN, UNTHREADED
from hs_common.storage.push_queue import QueuedPush
from hs_common.storage.pushers import Pusher
from hs_common.storage.queries import Queries
from hs_workers.push.badges import Badges
from hs_workers.push.held_pushers import HeldPushers
from hs_workers.push.members import RoomMembers
from hs_workers.push.seen import Seen, SeenEvent, SeenInvite, SeenRead

NO_TWEAKS = "{}"
# What the rule for invites asks of the event, beside whom it is for.
_INVITE_BITS = rule_bits(EventFacts({"type": MEMBER, "content": {"membership": "invite"}}, 0, 0, {}))


class Judging:
    """`now_ms` is the time of day; events older than `news_ms` notify nobody."""

    def __init__(
        self,
        db: Queries,
        held: HeldPushers,
        settings: ReaderSettings,
        badges: Badges,
        now_ms: Callable[[], int],
        news_ms: int,
    ) -> None:
        self._db = db
        self._held = held
        self._settings = settings
        self._badges = badges
        self._now_ms = now_ms
        self._news_ms = news_ms

    async def judge(self, seen: Iterable[Seen], members: RoomMembers) -> list[QueuedPush]:
        """What is to be pushed, in order."""
        queued: list[QueuedPush] = []
        for one in seen:
            if isinstance(one, SeenEvent):
                queued += await self._event(one, members)
            elif isinstance(one, SeenInvite):
                queued += await self._invite(one)
            else:
                queued += self._read(one)
        return queued

    # --- events ---

    async def _event(self, event: SeenEvent, members: RoomMembers) -> list[QueuedPush]:
        users = await members.at(event.room_id, event.pos, event.state_pos) if len(self._held) else []
        queued: list[QueuedPush] = []
        if event.sender in self._held:
            queued += self._read(SeenRead(event.pos, event.room_id, event.sender))
        for user_id in users if event.redacts else ():
            self._badges.touched(user_id, event.room_id)
        if event.origin_server_ts > self._now_ms() - self._news_ms:
            thread = event.thread_root or MAIN
            for user_id, actions in await self._notified(event, users):
                queued += self._push(event, user_id, actions, thread)
                self._badges.touched(user_id, event.room_id)
            queued += await self._invited(event, users)
        for membership in event.memberships:
            if membership.user_id in self._held:
                members.changed(event.room_id, membership, event.pos)
                queued += self._read(SeenRead(event.pos, event.room_id, membership.user_id))
        return queued

    async def _notified(self, event: SeenEvent, user_ids: Sequence[str]) -> list[tuple[str, Actions]]:
        judged: list[tuple[str, Actions]] = []
        undecided: list[tuple[str, Settings]] = []
        readers = [user_id for user_id in user_ids if user_id != event.sender and self._held.of(user_id)]
        for user_id, settings in (await self._settings.of_many(readers)).items():
            if event.sender in settings.ignored:
                continue
            actions = settings.push_rules.judge(
                self._bits(event, user_id), event.room_id, event.sender, Reader(user_id)
            )
            if actions is None:
                undecided.append((user_id, settings))
            elif actions.notify:
                judged.append((user_id, actions))
        if undecided:
            judged += await self._looking_inside(event, undecided)
        return judged

    def _bits(self, event: SeenEvent, user_id: str) -> int:
        is_target = event.type == MEMBER and event.state_key == user_id
        return event.rule_bits | reader_bits(mentioned=user_id in event.mentions, is_target=is_target)

    async def _looking_inside(
        self, event: SeenEvent, readers: Sequence[tuple[str, Settings]]
    ) -> list[tuple[str, Actions]]:
        user_ids = [user_id for user_id, _ in readers]
        versions = {event.room_id: event.room_version}
        facts: RoomFacts = (await room_facts(self._db, [event.room_id], user_ids, versions, event.state_pos))[
            event.room_id
        ]
        seen = facts.of({**orjson.loads(event.json), "event_id": event.event_id, "room_id": event.room_id})
        judged = []
        for user_id, settings in readers:
            reader = facts.reader(user_id)
            actions = settings.push_rules.judge(self._bits(event, user_id), event.room_id, event.sender, reader, seen)
            if actions is not None and actions.notify:
                judged.append((user_id, actions))
        return judged

    # --- invites: the invited user is not in the room ---

    async def _invited(self, event: SeenEvent, members: Sequence[str]) -> list[QueuedPush]:
        user_id = event.state_key
        if event.type != MEMBER or user_id is None or user_id not in self._held or user_id in members:
            return []
        if orjson.loads(event.json)["content"].get("membership") != "invite":
            return []
        return await self._invite(SeenInvite(event.pos, event.room_id, user_id, event.event_id, event.sender))

    async def _invite(self, invite: SeenInvite) -> list[QueuedPush]:
        user_id = invite.user_id
        if user_id not in self._held or user_id == invite.sender:
            return []
        settings = await self._settings.of(user_id)
        if settings.hides_invite(invite.sender):
            return []
        bits = _INVITE_BITS | reader_bits(mentioned=False, is_target=True)
        actions = settings.push_rules.judge(bits, invite.room_id, invite.sender, Reader(user_id))
        if actions is None or not actions.notify:
            return []
        return self._push(invite, user_id, actions, UNTHREADED)

    # --- rows ---

    def _push(self, seen: SeenEvent | SeenInvite, user_id: str, actions: Actions, thread: str) -> list[QueuedPush]:
        tweaks = orjson.dumps(dict(actions.tweaks)).decode()
        return [
            QueuedPush(one.pusher_id, seen.pos, seen.room_id, seen.event_id, thread, tweaks, self._now_ms())
            for one in self._newer(user_id, seen.pos)
        ]

    def _read(self, read: SeenRead) -> list[QueuedPush]:
        """His counts may be lower now: to be told, unless there was nothing to read."""
        if read.user_id not in self._held or not self._badges.may_have_unread(read.user_id, read.room_id):
            return []
        self._badges.touched(read.user_id, read.room_id)
        return [
            QueuedPush(one.pusher_id, read.pos, read.room_id, None, UNTHREADED, NO_TWEAKS, self._now_ms())
            for one in self._newer(read.user_id, read.pos)
            if one.kind == HTTP
        ]

    def _newer(self, user_id: str, pos: int) -> list[Pusher]:
        """The user's pushers that were there already."""
        return [one for one in self._held.of(user_id) if one.pusher_id < pos]
