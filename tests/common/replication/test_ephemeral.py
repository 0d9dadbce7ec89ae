"""Typing and presence: what the master tells, and that workers end with what it holds whatever is lost."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from hs_common.replication import ephemeral
from hs_common.replication.ephemeral import (
    IDLE_MS,
    OFFLINE_MS,
    PRESENCE_REFRESH_MS,
    TYPING_REFRESH_MS,
    TYPISTS_LIMIT,
    EphemeralState,
    KeyCounts,
    Message,
    Presence,
    Typing,
    decode_message,
    encode_message,
)
from hs_common.replication.ephemeral_view import FORGET_MS, UNHEARD, Changes, EphemeralView


def told(messages: list[tuple[int, Message]]) -> list[Message]:
    return [message for _, message in messages]


def feed(view: EphemeralView, messages: list[tuple[int, Message]], now_ms: int = 0) -> list[Message | None]:
    return [view.apply(counter, encode_message(message), now_ms) for counter, message in messages]


def test_typing_is_told_as_a_whole_and_only_on_change() -> None:
    state = EphemeralState(0, 100)
    assert state.set_typing("!r", "@a", 30_000, 0) == [(100, Typing("!r", ("@a",)))]
    assert state.set_typing("!r", "@b", 30_000, 0) == [(101, Typing("!r", ("@a", "@b")))]
    assert state.set_typing("!r", "@a", 30_000, 5_000) == []
    assert state.set_typing("!r", "@b", 0, 6_000) == [(102, Typing("!r", ("@a",)))]
    assert state.set_typing("!r", "@b", 0, 6_000) == []
    assert state.set_typing("!other", "@b", 0, 6_000) == []


def test_typing_ends_and_is_told_again_until_then() -> None:
    state = EphemeralState(0, 1)
    state.set_typing("!r", "@a", 15_000, 0)
    assert state.pass_time(TYPING_REFRESH_MS - 1) == []
    assert told(state.pass_time(TYPING_REFRESH_MS)) == [Typing("!r", ("@a",))]
    assert told(state.pass_time(15_000)) == [Typing("!r", ())]
    assert state.pass_time(60_000) == []


def test_who_types_is_known_until_it_ends() -> None:
    state = EphemeralState(0, 1)
    assert not state.is_typing("!r", "@a")
    state.set_typing("!r", "@a", 15_000, 0)
    assert state.is_typing("!r", "@a")
    assert not state.is_typing("!r", "@b")
    assert not state.is_typing("!s", "@a")
    state.pass_time(15_000)
    assert not state.is_typing("!r", "@a")


def test_a_room_has_a_limit_of_typists() -> None:
    state = EphemeralState(0, 1)
    for number in range(TYPISTS_LIMIT):
        assert len(state.set_typing("!r", f"@{number}", 1000, 0)) == 1
    assert state.set_typing("!r", "@more", 1000, 0) == []


def test_counters_only_go_up_over_leaders() -> None:
    first = EphemeralState(0, 1000)
    (counter, _) = first.hint_key_counts("@a", "D")[0]
    assert EphemeralState(counter, 5).hint_key_counts("@a", "D")[0][0] == counter + 1
    assert EphemeralState(counter, 9000).hint_key_counts("@a", "D")[0][0] == 9000


def test_presence_is_told_on_change_and_keeps_its_status() -> None:
    state = EphemeralState(0, 1)
    online = Presence("@a", "online", 10, True, "busy")
    assert told(state.set_presence("@a", "online", 10, "busy", status_msg_given=True)) == [online]
    assert state.set_presence("@a", "online", 20) == []
    assert told(state.set_presence("@a", "unavailable", 30)) == [Presence("@a", "unavailable", 20, False, "busy")]
    cleared = told(state.set_presence("@a", "unavailable", 40, None, status_msg_given=True))
    assert cleared == [Presence("@a", "unavailable", 20, False, None)]


def test_presence_decays() -> None:
    state = EphemeralState(0, 1)
    state.set_presence("@idle", "unavailable", 0)
    state.set_presence("@gone", "online", 0)
    assert state.pass_time(OFFLINE_MS - 1) == []
    assert {message.presence for message in told(state.pass_time(OFFLINE_MS)) if isinstance(message, Presence)} == {
        "offline"
    }
    assert state.pass_time(OFFLINE_MS + PRESENCE_REFRESH_MS) == []  # offline is not told again


def test_presence_is_told_again_while_it_lasts() -> None:
    state = EphemeralState(0, 1)
    said: list[Message] = []
    for now_ms in range(0, PRESENCE_REFRESH_MS + 1, OFFLINE_MS // 2):
        said += told(state.set_presence("@a", "unavailable", now_ms))
        said += told(state.pass_time(now_ms))
    assert said == [Presence("@a", "unavailable", 0, False, None)] * 2


def test_online_without_activity_becomes_unavailable() -> None:
    user = ephemeral._User(Presence("@a", "online", 0, True, None), seen_ms=IDLE_MS, told_ms=0)
    assert ephemeral._decay(user, IDLE_MS) == "unavailable"
    assert ephemeral._decay(user, IDLE_MS - 1) == "online"


def test_who_only_polls_becomes_idle_and_comes_back_when_he_does_something() -> None:
    state = EphemeralState(0, 0)
    assert told(state.set_presence("@a", "online", 0, by_sync=True)) == [Presence("@a", "online", 0, True, None)]
    idle = Presence("@a", "unavailable", 0, False, None)
    said: list[Message] = []
    for now_ms in range(OFFLINE_MS // 2, IDLE_MS + OFFLINE_MS, OFFLINE_MS // 2):
        said += told(state.set_presence("@a", "online", now_ms, by_sync=True))
        said += told(state.pass_time(now_ms))
    assert [message for message in said if message != Presence("@a", "online", 0, True, None)] == [idle]
    back = IDLE_MS + OFFLINE_MS
    assert told(state.active("@a", back)) == [Presence("@a", "online", back, True, None)]
    assert state.active("@a", back + 1) == []
    assert told(state.set_presence("@a", "unavailable", back + 2, by_sync=True)) == [
        Presence("@a", "unavailable", back + 1, False, None)
    ]
    assert told(state.set_presence("@a", "online", back + 3, by_sync=True)) == [
        Presence("@a", "online", back + 3, True, None)
    ]


def test_a_device_that_is_idle_does_not_speak_for_one_that_is_online() -> None:
    state = EphemeralState(0, 0)
    online = Presence("@a", "online", 0, True, None)
    assert told(state.set_presence("@a", "online", 0, by_sync=True, device_id="PHONE")) == [online]
    said: list[Message] = []
    for now_ms in range(0, 3 * OFFLINE_MS, OFFLINE_MS // 4):
        said += told(state.set_presence("@a", "unavailable", now_ms, by_sync=True, device_id="DESK"))
        said += told(state.pass_time(now_ms))
        if now_ms < OFFLINE_MS:
            said += told(state.set_presence("@a", "online", now_ms, by_sync=True, device_id="PHONE"))
    assert said == [Presence("@a", "unavailable", 0, False, None)], "once the other device has been gone for long"
    assert told(state.set_presence("@a", "online", now_ms, by_sync=True, device_id="DESK")) == [
        Presence("@a", "online", now_ms, True, None)
    ]
    assert told(state.set_presence("@a", "unavailable", now_ms, by_sync=True, device_id="DESK")) == [
        Presence("@a", "unavailable", now_ms, False, None)
    ]


def test_nothing_is_made_up_of_who_was_never_there() -> None:
    state = EphemeralState(0, 0)
    assert state.active("@ghost", 0) == []
    state.set_presence("@gone", "offline", 0)
    assert state.active("@gone", 1) == []


def test_the_longest_silent_is_forgotten() -> None:
    state = EphemeralState(0, 1)
    for number in range(ephemeral.USERS_LIMIT + 1):
        state.set_presence(f"@{number}", "offline", 0)
    assert len(state._users) == ephemeral.USERS_LIMIT
    assert "@0" not in state._users


@given(st.text(), st.lists(st.text()), st.integers(0, 2**53), st.booleans(), st.none() | st.text())
def test_messages_come_back(name: str, names: list[str], time: int, flag: bool, status: str | None) -> None:
    for message in (Typing(name, tuple(names)), Presence(name, "online", time, flag, status), KeyCounts(name, name)):
        assert decode_message(encode_message(message)) == message


def test_unknown_messages_are_skipped() -> None:
    unknown = msgspec.msgpack.encode(["weather", "sunny"])
    view = EphemeralView()
    assert view.apply(5, unknown, 0) is None
    assert view.position == 5


def test_a_view_tells_what_a_token_has_not_seen() -> None:
    state, view = EphemeralState(0, 10), EphemeralView()
    feed(view, state.set_typing("!a", "@u", 9000, 0))
    token = view.next_token(0)
    feed(view, state.set_typing("!b", "@u", 9000, 0))
    feed(view, state.set_presence("@u", "online", 0))
    assert view.changes_since(token) == Changes(["!b"], ["@u"], is_full=False)
    assert view.changes_since(view.position) == Changes([], [], is_full=False)
    assert view.changes_since(0) == Changes(["!b", "!a"], ["@u"], is_full=True)
    assert (view.typing_in("!a"), view.typing_in("!none")) == (("@u",), ())
    assert view.presence_of("@none") is None


def test_a_value_told_again_changes_nothing() -> None:
    view = EphemeralView()
    value = Typing("!r", ("@a",))
    assert feed(view, [(5, value), (6, value)]) == [value, None]
    assert feed(view, [(6, Typing("!r", ()))]) == [None]  # a repeat of a counter
    assert view.changes_since(5) == Changes([], [], is_full=False)
    active = Presence("@a", "online", 1, True, None)
    assert feed(view, [(7, active), (8, msgspec.structs.replace(active, last_active_ms=2))]) == [active, None]
    presence = view.presence_of("@a")
    assert presence is not None
    assert presence.last_active_ms == 2


def test_a_token_from_a_worker_that_heard_more_never_goes_back() -> None:
    view = EphemeralView()
    assert view.next_token(70) == 70
    assert view.changes_since(70) == Changes([], [], is_full=False)
    feed(view, [(5, Typing("!r", ("@a",)))])
    assert view.next_token(70) == 70


def test_a_dead_master_freezes_nothing() -> None:
    view = EphemeralView()
    feed(view, [(5, Typing("!r", ("@a",))), (6, Presence("@a", "online", 1, True, "x"))])
    token = view.position
    late = int(UNHEARD * TYPING_REFRESH_MS) + 1
    assert view.pass_time(late - 1) == []
    assert view.pass_time(late) == [Typing("!r", ())]
    assert view.changes_since(token) == Changes(["!r"], [], is_full=False)
    late = int(UNHEARD * PRESENCE_REFRESH_MS) + 1
    assert view.pass_time(late) == [Presence("@a", "offline", 1, False, "x")]
    assert view.pass_time(late) == []


def test_news_after_an_end_found_here_is_news() -> None:
    view = EphemeralView()
    feed(view, [(5, Typing("!r", ("@a",)))])
    view.pass_time(int(UNHEARD * TYPING_REFRESH_MS) + 1)
    token = view.position
    again = Typing("!r", ("@b",))
    assert feed(view, [(6, again)]) == [again]
    assert view.changes_since(token).room_ids == ["!r"]


def test_an_end_forgotten_gives_old_tokens_a_full_answer() -> None:
    view = EphemeralView()
    feed(view, [(5, Typing("!r", ("@a",))), (6, Typing("!r", ()))])
    view.pass_time(FORGET_MS + 1)
    assert view.changes_since(5) == Changes([], [], is_full=True)
    assert view.changes_since(6) == Changes([], [], is_full=False)


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["type", "stop", "online", "offline", "time"]),
        st.sampled_from(["a", "b", "c"]),
        st.sampled_from(["!r", "!s"]),
        st.booleans(),
    ),
    max_size=40,
)


@given(ACTIONS)
def test_whatever_is_lost_the_view_ends_with_the_truth(actions: list[tuple[str, str, str, bool]]) -> None:
    state, view, now_ms = EphemeralState(0, 1), EphemeralView(), 0
    for action, user, room, is_lost in actions:
        match action:
            case "type" | "stop":
                messages = state.set_typing(room, user, 30_000 if action == "type" else 0, now_ms)
            case "time":
                now_ms += 4000
                messages = state.pass_time(now_ms)
            case _:
                messages = state.set_presence(user, action, now_ms)
        if not is_lost:
            feed(view, messages, now_ms)
    for _ in range(3):  # nothing is lost any more
        now_ms += TYPING_REFRESH_MS
        feed(view, state.pass_time(now_ms), now_ms)
        view.pass_time(now_ms)
    for room in ("!r", "!s"):
        held = state._rooms.get(room)
        assert set(view.typing_in(room)) == (set(held.until_ms) if held else set())
