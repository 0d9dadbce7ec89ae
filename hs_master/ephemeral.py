"""Takes the calls about typing, presence and key counts: changes values in memory, tells at once, keeps nothing.

A new leader starts with nothing: values are told again by who types, and forgotten otherwise. Nobody types who is not
in the room: a worker has looked, but its call may be late, so who begins is looked for again, and who leaves has
stopped with the commit that says so.
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from hs_common.process.ongoing import Ongoing
from hs_common.replication.calls import Answer, AppendEvents, Call, SetPresence, SetReceipts, SetTyping
from hs_common.replication.clock import Clock, pause
from hs_common.replication.encryption_calls import HintKeyCounts
from hs_common.replication.ephemeral import EphemeralState, Message, encode_message
from hs_common.replication.remote_calls import SetRemotePresence
from hs_master.members import Members

PASS_TIME_S: Final = 1.0
BEGINNERS_LIMIT: Final = 1_000
"""Who begins to type while it is being looked up whether they are there: more only if the database stands still."""


class EphemeralDesk:
    """One leader's typing and presence."""

    def __init__(self, clock: Clock, now_ms: Callable[[], int], publish: Callable[[int, bytes], None]) -> None:
        self._clock = clock
        self._now_ms = now_ms
        self._publish = publish
        # Counters of earlier leaders lie below the clock, as positions do.
        self._state = EphemeralState(0, now_ms() * 1000)
        self._members: Members | None = None
        self._beginners: dict[tuple[str, str], object] = {}  # (room, user) who is being looked for, and by what
        self._passing = Ongoing(clock, "the passing of time for typing and presence", self._pass_time)

    def start(self, members: Members) -> None:
        self._members = members
        self._passing.start()

    def stop(self) -> None:
        self._passing.stop()
        self._beginners.clear()

    def take(self, call: Call) -> Answer | Awaitable[Answer] | None:
        """The answer to an ephemeral call; None for every other."""
        now_ms = self._now_ms()
        if isinstance(call, SetTyping):
            return self._take_typing(call)
        if isinstance(call, SetPresence):
            given = (call.status_msg, call.status_msg_given, call.by_sync, call.device_id)
            self._tell(self._state.set_presence(call.user_id, call.presence, now_ms, *given))
        elif isinstance(call, SetRemotePresence):
            for update in call.updates:
                self._tell(self._state.set_remote_presence(update, now_ms))
        elif isinstance(call, HintKeyCounts):
            for user_id, device_id in call.devices:
                self._tell(self._state.hint_key_counts(user_id, device_id))
        else:
            return None
        return Answer(pos=0)

    def answered(self, call: Call) -> None:
        """The writer has done a call: who sends or reads something is there."""
        users: Iterable[str] = ()
        if isinstance(call, AppendEvents):
            users = {intent.sender for intent in call.intents}
        elif isinstance(call, SetReceipts):
            users = (call.user_id,)
        for user_id in users:
            self._tell(self._state.active(user_id, self._now_ms()))

    def departed(self, members: Iterable[tuple[str, str]]) -> None:
        """(room, user) of those who are in a room no more, by what is committed."""
        for member in members:
            self._beginners.pop(member, None)
            self._tell(self._state.set_typing(*member, 0, self._now_ms()))

    def _take_typing(self, call: SetTyping) -> Answer | Awaitable[Answer]:
        member = (call.room_id, call.user_id)
        self._beginners.pop(member, None)  # what was said before counts no more
        if call.timeout_ms > 0 and not self._state.is_typing(*member):
            is_there = None if self._members is None else self._members.known(*member)
            if is_there is None:
                return self._begin_typing(call)
            if not is_there:
                return Answer(pos=0)
        return self._set_typing(call)

    async def _begin_typing(self, call: SetTyping) -> Answer:
        """Once it is known that the user is there."""
        member, by = (call.room_id, call.user_id), object()
        if self._members is None or len(self._beginners) >= BEGINNERS_LIMIT:
            return Answer(pos=0)
        self._beginners[member] = by
        is_there = False
        try:
            is_there = await self._members.is_joined(*member)
        finally:
            is_current = self._beginners.get(member) is by  # else he has left since it was read, or said otherwise
            if is_current:
                del self._beginners[member]
        return self._set_typing(call) if is_there and is_current else Answer(pos=0)

    def _set_typing(self, call: SetTyping) -> Answer:
        now_ms = self._now_ms()
        self._tell(self._state.set_typing(call.room_id, call.user_id, call.timeout_ms, now_ms))
        if call.timeout_ms > 0:
            self._tell(self._state.active(call.user_id, now_ms))
        return Answer(pos=0)

    def _tell(self, messages: list[tuple[int, Message]]) -> None:
        for counter, message in messages:
            self._publish(counter, encode_message(message))

    async def _pass_time(self) -> None:
        while True:
            await pause(self._clock, PASS_TIME_S)
            self._tell(self._state.pass_time(self._now_ms()))
