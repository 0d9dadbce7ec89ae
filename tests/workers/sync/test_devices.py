"""Messages to devices come once each, in order, whatever is lost and whichever worker is asked; key counts are told."""

from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from hs_common.matrix.errors import MatrixError
from hs_common.matrix.tokens import SyncToken, parse_sync_token
from hs_common.replication.calls import CloseSessions, NewSession, OpenSession, RegisterUser
from hs_common.replication.encryption_calls import SendToDevice
from hs_common.replication.ephemeral import KeyCounts, encode_message
from hs_common.replication.items import ToDeviceItem
from hs_common.replication.keys import client_key
from hs_common.storage import one_time_keys
from hs_common.storage.one_time_keys import PublicKey
from hs_workers.sync.answer import Answer
from hs_workers.sync.devices import COUNTS_KEPT_S, MAXIMUM_DEVICES, MAXIMUM_MESSAGES
from hs_workers.sync.parameters import Reader, Wishes
from tests.workers.sync.conftest import Play
from tests.workers.sync.live import Live
from tests.workers.sync.world import ALICE, BOB, World

PHONE, LAPTOP = "PHONE", "LAPTOP"
DEVICES = (PHONE, LAPTOP)


async def with_devices(w: World, user_id: str = ALICE) -> None:
    """An account with two devices."""
    sessions = [NewSession(device_id=name, token_hash=f"{user_id} {name}".encode()) for name in DEVICES]
    await w.m.call(RegisterUser(user_id=user_id, password_hash=None, session=sessions[0]))
    await w.m.call(OpenSession(user_id=user_id, session=sessions[1]))


async def send(w: World, number: int, *device_ids: str, user_id: str = ALICE) -> None:
    """Sends a message with this number, under the transaction id of this number."""
    message = orjson.dumps({"type": "org.x", "sender": BOB, "content": {"number": number}})
    key = client_key(BOB, "D", "PUT", "/sendToDevice/org.x", str(number))
    call = SendToDevice(sender=BOB, messages={user_id: dict.fromkeys(device_ids, message)})
    await w.m.call(call, key)


def numbers(body: Any) -> list[int]:
    """The numbers of the messages in an answer."""
    return [event["content"]["number"] for event in body.get("to_device", {}).get("events", ())]


class Client:
    """A device's client."""

    def __init__(self, device_id: str = PHONE, user_id: str = ALICE) -> None:
        self.reader = Reader(user_id, device_id)
        self.token: SyncToken | None = None
        self.received: list[int] = []

    async def sync(self, live: Live, *, is_lost: bool = False, waits: bool = True) -> Any:
        """Asks a worker; the body, which a client to whom it is lost does not get."""
        answering = live.parts.answering
        answer: Answer
        if self.token is None or not waits:
            answer = await answering.at_once(self.reader, Wishes(), self.token)
        else:
            answer = await answering.waiting(self.reader, Wishes(), self.token, 0, lambda: None)
        body = orjson.loads(answer.body)
        if not is_lost:
            self.token = parse_sync_token(body["next_batch"])
            self.received += numbers(body)
        return body

    async def try_sync(self, live: Live, choice: int) -> None:
        """The same, by a worker that may be behind the token: then the client has to ask again."""
        try:
            await self.sync(live, is_lost=choice in (2, 3), waits=choice > 3)
        except MatrixError as error:
            if error.status != 503:
                raise


steps = st.one_of(
    st.tuples(
        st.just("send"), st.sampled_from([("*",), (PHONE,), (LAPTOP,), DEVICES, ("*", PHONE)]), st.integers(1, 3)
    ),
    st.tuples(st.just("follow"), st.integers(0, 1), st.just(0)),
    st.tuples(st.just("sync"), st.integers(0, 1), st.integers(0, 7)),
)


@settings(max_examples=25)
@given(history=st.lists(steps, min_size=4, max_size=30))
def test_each_message_comes_once_to_each_device(play: Play, history: list[tuple[str, Any, int]]) -> None:
    async def scenario(w: World) -> None:
        await with_devices(w)
        lives = [Live(w), Live(w)]
        for live in lives:
            live.start()
        clients = {name: Client(name) for name in DEVICES}
        expected: dict[str, list[int]] = {name: [] for name in DEVICES}
        for number, (kind, what, choice) in enumerate(history):
            if kind == "send":
                for _ in range(choice):  # a client that gets no answer repeats its request
                    await send(w, number, *what)
                for name in DEVICES:
                    expected[name] += [number] if name in what or "*" in what else []
            elif kind == "follow":
                lives[what].follow()
            else:
                client = clients[DEVICES[choice % 2]]
                await client.try_sync(lives[what], choice)
        for name, client in clients.items():
            await client.sync(lives[0], waits=False)
            await client.sync(lives[1], waits=False)
            assert client.received == expected[name]
        assert await w.m.db.fetch("SELECT 1 FROM inbox") == []

    play(scenario)


def test_a_client_that_waits_is_woken_by_a_message_to_its_device(play: Play) -> None:
    async def scenario(w: World) -> None:
        await with_devices(w)
        live, phone, laptop = Live(w), Client(PHONE), Client(LAPTOP)
        live.start()
        polls = []
        for client in (phone, laptop):
            await client.sync(live)
            await client.sync(live)
            assert client.token is not None
            waiting = live.parts.answering.waiting(client.reader, Wishes(), client.token, 30, lambda: None)
            polls.append(Deferred.fromCoroutine(waiting))
        await send(w, 1, PHONE)
        live.follow()
        answer: Answer = await polls[0]
        assert numbers(orjson.loads(answer.body)) == [1]
        assert not polls[1].called
        live.parts.end()
        body = orjson.loads((await polls[1]).body)
        assert (numbers(body), body["device_one_time_keys_count"]) == ([], {"signed_curve25519": 0})

    play(scenario)


def test_what_was_received_elsewhere_does_not_come_again_with_an_old_token(play: Play) -> None:
    async def scenario(w: World) -> None:
        await with_devices(w)
        lives, phone = [Live(w), Live(w)], Client()
        for live in lives:
            live.start()
        await phone.sync(lives[0])
        old = phone.token
        await send(w, 1, PHONE)
        for live in lives:
            live.follow()
        assert numbers(await phone.sync(lives[0], is_lost=True)) == [1]
        assert numbers(await phone.sync(lives[0])) == [1]  # he never got the answer
        await phone.sync(lives[1])
        phone.token = old
        assert numbers(await phone.sync(lives[0])) == []
        assert phone.received == [1]

    play(scenario)


def test_many_messages_come_in_parts(play: Play) -> None:
    async def scenario(w: World) -> None:
        await with_devices(w)
        live, phone = Live(w), Client()
        live.start()
        await phone.sync(live)
        sent = list(range(2 * MAXIMUM_MESSAGES + 50))
        for number in sent:
            await send(w, number, PHONE)
        live.follow()
        sizes = [len(numbers(await phone.sync(live))) for _ in range(4)]
        assert sizes == [MAXIMUM_MESSAGES, MAXIMUM_MESSAGES, 50, 0]
        assert phone.received == sent

    play(scenario)


def test_a_first_sync_tells_all_that_waits_and_deletes_nothing(play: Play) -> None:
    async def scenario(w: World) -> None:
        await with_devices(w)
        live = Live(w)
        await send(w, 1, "*")
        live.start()
        for _ in range(2):
            phone = Client()
            await phone.sync(live)
            assert phone.received == [1]

    play(scenario)


def test_messages_end_with_their_device(play: Play) -> None:
    async def scenario(w: World) -> None:
        await with_devices(w)
        await send(w, 1, "*")
        await w.m.call(CloseSessions(user_id=ALICE, device_ids=[PHONE]))
        await send(w, 2, "*", "GONE")
        rows = await w.m.db.fetch("SELECT device_id FROM inbox ORDER BY pos")
        assert rows == [(LAPTOP,), (LAPTOP,)]

    play(scenario)


def test_a_poll_without_messages_asks_nothing_of_the_database(play: Play) -> None:
    async def scenario(w: World) -> None:
        await with_devices(w)
        live, phone = Live(w), Client()
        live.start()
        await phone.sync(live)
        await phone.sync(live)
        assert phone.token is not None
        assert live.parts.devices.from_memory(phone.reader, phone.token) is not None
        live.apply_item(ToDeviceItem({ALICE: [LAPTOP]}))
        assert live.parts.devices.from_memory(phone.reader, phone.token) is not None
        live.apply_item(ToDeviceItem({ALICE: ["*"]}))
        assert live.parts.devices.from_memory(phone.reader, phone.token) is None

    play(scenario)


async def add_key(w: World, key_id: str) -> None:
    await one_time_keys.add_one_time_keys(w.m.db, ALICE, PHONE, [PublicKey("signed_curve25519", key_id, "{}")])


def test_key_counts_are_told_when_they_change(play: Play) -> None:
    async def scenario(w: World) -> None:
        await with_devices(w)
        live, phone = Live(w), Client()
        live.start()
        body = await phone.sync(live)
        assert body["device_one_time_keys_count"] == {"signed_curve25519": 0}
        assert body["device_unused_fallback_key_types"] == []
        assert phone.token is not None
        waiting = live.parts.answering.waiting(phone.reader, Wishes(), phone.token, 60, lambda: None)
        poll = Deferred.fromCoroutine(waiting)
        await w.m.send(await w.m.create_room(BOB), BOB, "elsewhere")
        live.follow()
        await add_key(w, "A")
        live.hear(encode_message(KeyCounts(ALICE, "OTHER")))
        live.hear(encode_message(KeyCounts(ALICE, PHONE)))
        answer: Answer = await poll
        assert orjson.loads(answer.body)["device_one_time_keys_count"] == {"signed_curve25519": 1}

    play(scenario)


def test_without_a_hint_keys_are_counted_after_a_while(play: Play) -> None:
    async def scenario(w: World) -> None:
        await with_devices(w)
        live, phone = Live(w), Client()
        live.start()
        await phone.sync(live)
        await add_key(w, "A")
        fallback = [PublicKey("signed_curve25519", "F", "{}")]
        await one_time_keys.set_fallback_keys(w.m.db, ALICE, PHONE, fallback)
        assert (await phone.sync(live))["device_one_time_keys_count"] == {"signed_curve25519": 0}
        live.clock.advance(COUNTS_KEPT_S + 1)
        body = await phone.sync(live)
        assert body["device_one_time_keys_count"] == {"signed_curve25519": 1}
        assert body["device_unused_fallback_key_types"] == ["signed_curve25519"]

    play(scenario)


def test_what_acts_without_a_device_has_no_messages(play: Play) -> None:
    async def scenario(w: World) -> None:
        await with_devices(w)
        live, service = Live(w), Client()
        live.start()
        service.reader = Reader(ALICE, None)
        await send(w, 1, "*")
        live.follow()
        for _ in range(2):
            assert "to_device" not in await service.sync(live)

    play(scenario)


def test_memory_is_bounded(play: Play) -> None:
    async def scenario(w: World) -> None:
        live = Live(w)
        live.start()
        devices = live.parts.devices
        for number in range(3):
            await devices.read(Reader(ALICE, f"D{number}"), None, 0)
        for number in range(MAXIMUM_DEVICES):
            devices._device(BOB, str(number))
        assert devices.from_memory(Reader(ALICE, "D0"), SyncToken(0)) is None
        devices.apply(1, ToDeviceItem({ALICE: ["*", "D0"], BOB: ["1"]}))
        assert len(devices._known) == MAXIMUM_DEVICES

    play(scenario)
