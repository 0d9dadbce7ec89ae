"""Takes the calls about typing, presence and key counts: changes values in memory, tells at once, keeps nothing.

A new leader starts with nothing: values are told again by who types, and forgotten otherwise.
"""

from collections.abc import Callable, Iterable

from hs_common.process.ongoing import Ongoing
from hs_common.replication.calls import (
    Answer,
    AppendEvents,
    Call,
    HintKeyCounts,
    SetPresence,
    SetReceipts,
    SetTyping,
)
from hs_common.replication.clock import Clock, pause
from hs_common.replication.ephemeral import EphemeralState, HasLeft, Message, encode_message, nobody_has_left
from hs_common.replication.remote_calls import SetRemotePresence

PASS_TIME_S = 1.0


class EphemeralDesk:
    """One leader's typing and presence."""

    def __init__(self, clock: Clock, now_ms: Callable[[], int], publish: Callable[[int, bytes], None]) -> None:
        self._clock = clock
        self._now_ms = now_ms
        self._publish = publish
        # Counters of earlier leaders lie below the clock, as positions do.
        self._state = EphemeralState(0, now_ms() * 1000)
        self._has_left: HasLeft = nobody_has_left
        self._passing = Ongoing(clock, "the passing of time for typing and presence", self._pass_time)

    def start(self, has_left: HasLeft = nobody_has_left) -> None:
        self._has_left = has_left
        self._passing.start()

    def stop(self) -> None:
        self._passing.stop()

    def take(self, call: Call) -> Answer | None:
        """The answer to an ephemeral call; None for every other."""
        now_ms = self._now_ms()
        if isinstance(call, SetTyping):
            # Who asked may have looked before the user left.
            timeout_ms = 0 if self._has_left(call.room_id, call.user_id) else call.timeout_ms
            self._tell(self._state.set_typing(call.room_id, call.user_id, timeout_ms, now_ms))
            if call.timeout_ms > 0:
                self._tell(self._state.active(call.user_id, now_ms))
        elif isinstance(call, SetPresence):
            given = (call.status_msg, call.status_msg_given, call.by_sync)
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

    def _tell(self, messages: list[tuple[int, Message]]) -> None:
        for counter, message in messages:
            self._publish(counter, encode_message(message))

    async def _pass_time(self) -> None:
        while True:
            await pause(self._clock, PASS_TIME_S)
            self._tell(self._state.pass_time(self._now_ms(), self._has_left))
