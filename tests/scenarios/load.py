"""A steady load by people whose clients try again, and the proof that none of them lost or doubled anything.

Speakers send one message after the other, each under one transaction id until it is acknowledged. Listeners follow
/sync from a first token on, fill gaps by /messages as clients do, and write down every event in the order in which it
came. Requests go to the front door or straight to a worker; what fails is sent again to another one. Any answer that
would make a real client give up (a 4xx), and any request that takes longer than its limit, fails the test.
"""

import asyncio
import itertools
import json
import random
import time
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp

from tests.scenarios.client import Answer, Json, Path, User, event_ids, register, timeline, unique

REQUEST_LIMIT_S: Final = 10.0
LONG_POLL_S: Final = 3.0
SPEAK_EVERY_S: Final = 0.1
RETRY_PAUSE_S: Final = 0.3
CATCH_UP_LIMIT_S: Final = 20.0
TIMELINE_LIMIT: Final = 10
_FILTER: Final = json.dumps({"room": {"timeline": {"limit": TIMELINE_LIMIT}}, "presence": {"types": []}})


@dataclass(slots=True)
class Account:
    """What happened: what was acknowledged, how long requests took, what failed and was sent again."""

    acknowledged: dict[str, str] = field(default_factory=dict)  # event id by text
    said: dict[str, list[str]] = field(default_factory=dict)  # texts by room and speaker, in the order of sending
    slow: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    longest_s: float = 0.0


class Persistent:
    """A user whose requests are repeated until they are answered."""

    def __init__(self, user: User, account: Account) -> None:
        self.user = user
        self._account = account
        self._at = random.choice(user.urls)

    async def call(self, method: str, path: Path, body: object, query: Json | None, limit_s: float) -> Any:
        """The body of a 2xx, however many attempts that takes."""
        while True:
            answer = await self._attempt(method, path, body, query, limit_s)
            if answer is not None and answer.status < 300:
                return answer.body
            if answer is not None and answer.status < 500:
                self._account.refused.append(f"{method} {'/'.join(path)}: {answer.status} {answer.body}")
                raise AssertionError(self._account.refused[-1])
            others = [url for url in self.user.urls if url != self._at]
            self._at = random.choice(others or self.user.urls)
            await asyncio.sleep(RETRY_PAUSE_S)

    async def _attempt(
        self, method: str, path: Path, body: object, query: Json | None, limit_s: float
    ) -> Answer | None:
        """One answer; None if the connection failed. Notes how long it took."""
        account, what = self._account, f"{method} {path[-2] if method == 'PUT' else path[-1]} at {self._at[-5:]}"
        started = time.monotonic()
        try:
            answer = await self.user.ask(method, path, body, query=query, at=self._at)
        except (aiohttp.ClientError, OSError) as error:
            account.failures.append(f"{what}: {type(error).__name__} {error}")
            return None
        finally:
            taken_s = time.monotonic() - started
            account.longest_s = max(account.longest_s, taken_s - limit_s + REQUEST_LIMIT_S)
            if taken_s > limit_s:
                account.slow.append(f"{what}: {taken_s:.1f} s")
        if answer.status >= 500:
            account.failures.append(f"{what}: {answer.status} {answer.body} after {taken_s:.1f} s")
        return answer


class Listener(Persistent):
    """Follows /sync and writes down what came, by room."""

    def __init__(self, user: User, account: Account) -> None:
        super().__init__(user, account)
        self.heard: dict[str, list[Json]] = {}

    async def listen(self) -> None:
        """Until it is cancelled."""
        while True:
            await self.sync()

    async def sync(self) -> None:
        """One sync, and what filled its gaps."""
        since = self.user.since
        query: Json = {"timeout": round(LONG_POLL_S * 1000), "filter": _FILTER}
        if since is not None:
            query["since"] = since
        answer = await self.call("GET", ("sync",), None, query, REQUEST_LIMIT_S + LONG_POLL_S)
        for room_id, room in answer.get("rooms", {}).get("join", {}).items():
            events = timeline(answer, room_id)
            if since is not None and room.get("timeline", {}).get("limited"):
                events = await self._gap(room_id, room["timeline"]["prev_batch"], since) + events
            self.heard.setdefault(room_id, []).extend(events)
        self.user.since = answer["next_batch"]

    async def _gap(self, room_id: str, start: str | None, since: str) -> list[Json]:
        events: list[Json] = []
        while start is not None:
            query: Json = {"dir": "b", "limit": 50, "from": start, "to": since}
            page = await self.call("GET", ("rooms", room_id, "messages"), None, query, REQUEST_LIMIT_S)
            events += page["chunk"]
            start = page.get("end")
        return events[::-1]


class Load:
    """Speakers and listeners in some rooms, from `start` to `stop`."""

    def __init__(self, listeners: list[Listener], speakers: list[Persistent], rooms: list[str]) -> None:
        self.account = listeners[0]._account
        self._listeners = listeners
        self._speakers = speakers
        self._rooms = rooms
        self._speaking: list[asyncio.Task[None]] = []
        self._listening: list[asyncio.Task[None]] = []
        self._stop = asyncio.Event()

    @classmethod
    async def prepared(cls, http: aiohttp.ClientSession, urls: list[str], people: int = 4, rooms: int = 2) -> "Load":
        """People who are all in all rooms and have synced once."""
        account = Account()
        users = [await register(http, urls, "speaker") for _ in range(people)]
        room_ids = [await users[0].create_room(preset="public_chat") for _ in range(rooms)]
        for user in users[1:]:
            for room_id in room_ids:
                await user.join(room_id)
        load = cls([Listener(user, account) for user in users], [Persistent(user, account) for user in users], room_ids)
        for listener in load._listeners:
            await listener.sync()
            listener.heard.clear()
        return load

    def start(self) -> None:
        """Begin to speak and to listen."""
        self._listening = [asyncio.create_task(listener.listen()) for listener in self._listeners]
        for number, speaker in enumerate(self._speakers):
            room_id = self._rooms[number % len(self._rooms)]
            self._speaking.append(asyncio.create_task(self._speak(speaker, room_id)))

    async def _speak(self, speaker: Persistent, room_id: str) -> None:
        said = self.account.said.setdefault(f"{room_id} {speaker.user.user_id}", [])
        while not self._stop.is_set():
            text = unique("text")
            said.append(text)
            path = ("rooms", room_id, "send", "m.room.message", unique("t"))
            sent = await speaker.call("PUT", path, {"msgtype": "m.text", "body": text}, None, REQUEST_LIMIT_S)
            self.account.acknowledged[text] = sent["event_id"]
            await asyncio.sleep(SPEAK_EVERY_S)

    async def until_acknowledged(self, more: int, limit_s: float) -> None:
        """Wait until that many more messages are acknowledged than now: the server takes writes again."""
        wanted = len(self.account.acknowledged) + more
        await self._wait_until(lambda: len(self.account.acknowledged) >= wanted, f"{more} more messages", limit_s)

    async def stop(self) -> None:
        """Let the speakers finish and the listeners catch up."""
        self._stop.set()
        await asyncio.wait_for(asyncio.gather(*self._speaking), CATCH_UP_LIMIT_S)
        wanted = set(self.account.acknowledged.values())
        await self._wait_until(lambda: all(wanted <= self._ids(one) for one in self._listeners), "all heard all")
        for task in self._listening:
            task.cancel()
        await asyncio.gather(*self._listening, return_exceptions=True)

    async def _wait_until(self, is_so: Any, what: str, limit_s: float = CATCH_UP_LIMIT_S) -> None:
        deadline = time.monotonic() + limit_s
        while not is_so():
            for task in (*self._speaking, *self._listening):
                if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                    raise error
            assert time.monotonic() < deadline, f"not within {limit_s} s: {what}; {self.summary()}"
            await asyncio.sleep(0.05)

    def _ids(self, listener: Listener) -> set[str]:
        return {event["event_id"] for events in listener.heard.values() for event in events}

    def summary(self) -> str:
        """What to show when something is wrong."""
        missing = [len(set(self.account.acknowledged.values()) - self._ids(listener)) for listener in self._listeners]
        account = self.account
        return (
            f"{len(account.acknowledged)} acknowledged, {missing} of them not heard; "
            f"longest {account.longest_s:.1f} s; failures {account.failures[-12:]}; slow {account.slow[-5:]}; "
            f"refused {account.refused[-5:]}"
        )

    async def check(self) -> None:
        """Every acknowledged event came exactly once to everybody, in one order, and nothing hung."""
        account = self.account
        assert account.slow == [], self.summary()
        assert account.refused == []
        for room_id in self._rooms:
            stories = [event_ids(listener.heard.get(room_id, [])) for listener in self._listeners]
            for story in stories:
                assert len(story) == len(set(story)), "an event came twice"
                assert story == stories[0], "two listeners heard different stories"
            self._check_texts(self._listeners[0].heard.get(room_id, []), room_id)
            history = event_ids(await self._listeners[0].user.history(room_id, page=100))
            assert history[len(history) - len(stories[0]) :] == stories[0], "the history tells another story"

    def _check_texts(self, heard: list[Json], room_id: str) -> None:
        events = {event["content"]["body"]: event["event_id"] for event in heard if event["type"] == "m.room.message"}
        assert len(events) == sum(event["type"] == "m.room.message" for event in heard), "one send became two events"
        for place, said in self.account.said.items():
            if not place.startswith(room_id):
                continue
            assert [text for text in events if text in set(said)] == said, "a speaker's words are out of order"
            assert all(events[text] == self.account.acknowledged[text] for text in said)


def spread(front: str, workers: list[str]) -> list[str]:
    """Where the load's requests go: half of them through the front door."""
    return list(itertools.chain(workers, [front] * len(workers)))
