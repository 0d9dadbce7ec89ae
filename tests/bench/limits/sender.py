"""Senders that do not give up: a refused message is sent again, by the same transaction, when the server says so.

What they were told is what an audit asks for afterwards: every message that was acknowledged, in order.
"""

import asyncio
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote

import orjson

from tests.bench.http_client import Answer, BrokenAnswerError
from tests.bench.matrix_client import Client

WELCOME_REFUSALS: Final = (429, 503)
"""How a server may say that it is too much now."""
LEFT_OVER_S: Final = 60.0
"""In which a message that was under way when the load ended has to be acknowledged."""
_UNASKED_PAUSE_S = 1.0  # before the next attempt, where the server does not say
_LONGEST_PAUSE_S = 10.0
_OPENED_PER_S = 2_000  # connections, so that the kernel's queue of them does not overflow
_TEXT = "The quick brown fox jumps over the lazy dog."


@dataclass(slots=True)
class Tally:
    """What senders met with: latencies of requests that were answered with 200, refusals, and what should not be."""

    latencies_ms: list[float] = field(default_factory=list)
    refused: dict[int, int] = field(default_factory=dict)  # by status
    retry_after_ms: list[int] = field(default_factory=list)
    faults: dict[str, int] = field(default_factory=dict)
    unknown: int = 0  # messages that nobody knows of whether they were sent

    def fault(self, name: str) -> None:
        """Count what a server must not do."""
        self.faults[name] = self.faults.get(name, 0) + 1

    def refuse(self, answer: Answer) -> float:
        """Count an answer that is not 200; the seconds after which to try again."""
        if answer.status not in WELCOME_REFUSALS:
            self.fault(f"{answer.status} {answer.body[:100]!r}")
            return _UNASKED_PAUSE_S
        self.refused[answer.status] = self.refused.get(answer.status, 0) + 1
        retry_after_ms = _retry_after_ms(answer.body)
        if retry_after_ms is None:
            if answer.status == 429:
                self.fault("429 without retry_after_ms")
            return _UNASKED_PAUSE_S
        self.retry_after_ms.append(retry_after_ms)
        return min(retry_after_ms / 1000, _LONGEST_PAUSE_S)


def _retry_after_ms(body: bytes) -> int | None:
    try:
        found = orjson.loads(body).get("retry_after_ms")
    except (orjson.JSONDecodeError, AttributeError):
        return None
    return found if isinstance(found, int) and found >= 0 else None


class Sender:
    """Sends one message after the other into a room. `name` tells its transactions from those of others. The service
    hears of what is sent into a ghost's room."""

    def __init__(self, user: Client, room_id: str, name: str, is_ghost: bool = True) -> None:
        self.room_id = room_id
        self.is_ghost = is_ghost
        self.user = user
        self.acknowledged: list[str] = []
        self._path = f"/_matrix/client/v3/rooms/{quote(room_id, safe='')}/send/m.room.message/{name}."
        self._numbers = itertools.count()

    async def run(self, over: asyncio.Event, tally: Tally, delay_s: float = 0.0) -> None:
        """Until the load is over and the last message acknowledged."""
        await asyncio.sleep(delay_s)
        while not over.is_set():
            self.acknowledged.append(await self._send(next(self._numbers), tally))

    async def _send(self, number: int, tally: Tally) -> str:
        body = {"msgtype": "m.text", "body": f"{number} {_TEXT}"}
        while True:
            began_s = time.monotonic()
            try:
                answer = await self.user.attempt("PUT", f"{self._path}{number}", body)
            except (BrokenAnswerError, OSError, TimeoutError) as error:
                tally.fault(f"{type(error).__name__}: {error}")
                await asyncio.sleep(_UNASKED_PAUSE_S)
                continue
            if answer.status == 200:
                tally.latencies_ms.append((time.monotonic() - began_s) * 1000)
                return str(orjson.loads(answer.body)["event_id"])
            await asyncio.sleep(tally.refuse(answer))

    def close(self) -> None:
        """End its connections."""
        self.user.close()


async def load(senders: Sequence[Sender], seconds: float, tally: Tally) -> float:
    """Have all send for so long; the seconds that it took until the last message was acknowledged."""
    over = asyncio.Event()
    began_s = time.monotonic()
    tasks = [
        asyncio.create_task(sender.run(over, tally, number / _OPENED_PER_S)) for number, sender in enumerate(senders)
    ]
    await asyncio.sleep(seconds + len(senders) / _OPENED_PER_S)
    over.set()
    done, unfinished = await asyncio.wait(tasks, timeout=LEFT_OVER_S)
    for task in unfinished:
        task.cancel()
    await asyncio.gather(*unfinished, return_exceptions=True)
    for task in done:
        task.result()
    tally.unknown += len(unfinished)
    for sender in senders:
        sender.close()
    return time.monotonic() - began_s
