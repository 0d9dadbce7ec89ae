"""A real master, a real database, workers of the role in this process, and a push gateway over real HTTP."""

import uuid
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP
from random import Random
from typing import Any

import orjson

from hs_common.config.egress import Egress
from hs_common.config.email import Email
from hs_common.config.push import Push
from hs_common.email.mail import MailFailed
from hs_common.email.mailer import Mailer
from hs_common.email.templates import Templates
from hs_common.email.unsubscribing import Unsubscribing
from hs_common.http.egress.making import make_egress
from hs_common.process.metrics import Metrics
from hs_common.process.shares import SHARDS
from hs_common.replication.calls import (
    MakeDevice,
    ReceiptMark,
    RegisterUser,
    SetAccountData,
    SetPusher,
    SetReceipts,
)
from hs_common.replication.entry import Entry, decode_body
from hs_common.replication.subscription import hand_out
from hs_common.storage.database import Database
from hs_workers.push.worker import PushWorker, Surroundings
from tests.master.harness import START_MS, TestMaster
from tests.reactor import reactor, sleep
from tests.workers.client.test_with_the_master import NearLink
from tests.workers.following import QUICK, WorldOfWorkers, followed_master
from tests.workers.push.gateway import FakeGateway

ALICE, BOB, CAROL = "@alice:test", "@bob:test", "@carol:test"


class Worker:
    """One process of the role. `deaf`: it hears nothing of the log."""

    def __init__(
        self,
        database_url: str,
        near: TestMaster,
        seed: int,
        members: list[str],
        settings: Push,
        now_ms: Callable[[], int],
        mails: "Mails",
    ) -> None:
        random = Random(seed)
        self.id = str(uuid.UUID(int=random.getrandbits(128)))
        self.db = Database(database_url, reactor, random.random, size=2)
        self.egress = make_egress(reactor, Egress(allow=("127.0.0.0/8",)), Metrics())
        self.position = near.entries[-1].pos if near.entries else 0
        self.deaf = False
        self.parts = PushWorker(
            Surroundings(
                db=self.db,
                master=NearLink(near),
                egress=self.egress.client,
                clock=reactor,
                random=random,
                now_ms=now_ms,
                position=lambda: self.position,
                me=self.id,
                members=lambda: members,
                settings=settings,
                mailer=Mailer(
                    Email(sender="Example <noreply@example.org>"),
                    Templates("Example", "test"),
                    mails,
                    now_ms,
                    random.randbytes,
                ),
                unsubscribing=Unsubscribing("secret", "https://example.org/"),
                timing=QUICK,
            )
        )
        self._subscription = self.parts.judge.subscription()
        self.parts.judge.start()

    def hear(self, entry: Entry) -> None:
        if not self.deaf:
            hand_out([self._subscription], entry, decode_body(entry))
            self.position = entry.pos

    def begin_anew(self, pos: int) -> None:
        """The follower dropped everything and starts at the head."""
        self.deaf = False
        self.position = pos
        self._subscription.reset(pos)

    async def stop(self) -> None:
        await self.parts.judge.stop()
        await self._end()

    async def kill(self) -> None:
        """Ends without any of what a process does at its end; its connections break."""
        self.deaf = True
        self.parts.judge.abandon()
        await self._end()

    async def _end(self) -> None:
        await self.egress.close()
        await self.db.close()


class Mails:
    """Takes mails. `failures` meet the next ones."""

    def __init__(self) -> None:
        self.taken: list[EmailMessage] = []
        self.failures: list[MailFailed] = []

    async def deliver(self, sender: str, recipient: str, content: bytes) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.taken.append(message_from_bytes(content, policy=SMTP))

    @property
    def texts(self) -> list[str]:
        return [_text(mail, "plain") for mail in self.taken]

    @property
    def pages(self) -> list[str]:
        return [_text(mail, "html") for mail in self.taken]


def _text(mail: EmailMessage, kind: str) -> str:
    body = mail.get_body((kind,))
    assert isinstance(body, EmailMessage)
    return str(body.get_content())


class World(WorldOfWorkers[Worker]):
    def __init__(self, database_url: str, near: TestMaster) -> None:
        super().__init__(near)
        self.m = near
        self.gateway = FakeGateway()
        self.settings = Push()
        self.mails = Mails()
        self.now_ms = START_MS
        self._database_url = database_url

    def start_worker(self) -> Worker:
        seed = next(self.seeds)
        return self.started(
            Worker(self._database_url, self.m, seed, self.members, self.settings, lambda: self.now_ms, self.mails)
        )

    async def end(self) -> None:
        await super().end()
        await self.gateway.stop()

    async def user(self, user_id: str) -> None:
        await self.m.call(RegisterUser(user_id=user_id, password_hash=None))
        await self.m.call(MakeDevice(user_id=user_id, device_id="PHONE"))

    async def pusher(self, user_id: str, pushkey: str = "key", **changes: Any) -> None:
        """A pusher to the gateway; `data` beside its url."""
        data = {"url": self.gateway.url, **changes.pop("data", {})}
        fields: dict[str, Any] = {
            "user_id": user_id,
            "app_id": "org.app",
            "pushkey": pushkey,
            "kind": "http",
            "device_id": "PHONE",
            "app_display_name": "App",
            "device_display_name": "Phone",
            "profile_tag": None,
            "lang": "en",
            "data": orjson.dumps(data),
        }
        await self.m.call(SetPusher(**{**fields, **changes}))

    async def room(self, *members: str, creator: str = ALICE, **options: Any) -> str:
        """A room of several users."""
        room = await self.m.create_room(creator, **options)
        for user_id in members:
            await self.m.member(room, user_id, "join")
        return room

    async def read(self, user_id: str, room_id: str, event_id: str, thread: str = "", kind: Any = "m.read") -> None:
        mark = ReceiptMark(receipt_type=kind, event_id=event_id, thread_id=thread)
        await self.m.call(SetReceipts(room_id=room_id, user_id=user_id, receipts=[mark]))

    async def set_data(self, user_id: str, data_type: str, content: Any) -> None:
        await self.m.call(SetAccountData(user_id=user_id, type=data_type, content=orjson.dumps(content)))

    async def queued(self) -> int:
        [[count]] = await self.m.db.fetch("SELECT count(*) FROM push_queue")
        return int(count)

    async def settled(self) -> None:
        """Waits until all that was said is judged and nothing waits to be pushed."""
        await self.settled_but_for(0)

    async def settled_but_for(self, waiting: int | None) -> None:
        """Waits until all is judged and so much waits to be pushed; None: however much."""
        head = self.m.entries[-1].pos
        for _ in range(1000):
            judges = [worker.parts.judge for worker in self.workers]
            is_judged = all(judge.judged_to >= head and not judge.waiting for judge in judges)
            held = sum(len(judge.shards) for judge in judges)
            if is_judged and held == SHARDS and waiting in (None, await self.queued()):
                return
            await sleep(0.02)
        raise AssertionError("something still waits to be pushed")


def world(database_url: str) -> AbstractAsyncContextManager[World]:
    return followed_master(database_url, lambda near: World(database_url, near))
