"""Bodies that are received and sent piece by piece: within bounds, at the other side's pace, through a forward too."""

from collections.abc import Callable, Sequence
from hashlib import sha256
from itertools import pairwise
from random import Random
from typing import Any

import orjson
import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs

from hs_common.http.body_stream import BUFFERED_BYTES, BodyDiscarded, BodyStream
from hs_common.http.endpoint import Auth, endpoint
from hs_common.http.json_pages import paged_json
from hs_common.http.reply import Reply, Streamed
from hs_common.http.request import Request
from hs_common.http.streaming import STALL_LIMIT_S, Sending
from hs_common.matrix.errors import too_large
from tests.common.http.served import Answer, Served, compose, serving
from tests.reactor import run, sleep, until

V3 = "/_matrix/client/v3"
LIMIT = 3_000_000
PAGE, LONG = 2, 10_000
GOOD = {"Authorization": "Bearer good"}


class Source:
    """So many bytes, read in pieces, which may wait."""

    def __init__(self, size: int) -> None:
        self.left = size
        self.closed = 0
        self.reads = 0

    async def read(self, size: int) -> bytes:
        self.reads += 1
        taken = min(self.left, size)
        self.left -= taken
        return b"x" * taken

    def close(self) -> None:
        self.closed += 1


class Streaming:
    """Endpoints that receive and send piece by piece."""

    def __init__(self) -> None:
        self.sources: list[Source] = []
        self.received = 0
        self.gate: Deferred[None] | None = None
        self.ended: list[str] = []

    @endpoint("POST", f"{V3}/receive", auth=Auth.USER, spec="#receive", streams=True)
    async def receive(self, request: Request) -> Reply:
        try:
            while data := await request.stream.read():
                self.received += len(data)
                if self.received > LIMIT:
                    raise too_large()
                if self.gate is not None:
                    await self.gate
        except CancelledError:
            self.ended.append("cancelled")
            raise
        return {"size": self.received, "announced": request.stream.length}

    @endpoint("POST", f"{V3}/digest", auth=Auth.USER, spec="#digest", streams=True)
    async def digest(self, request: Request) -> Reply:
        digest = sha256()
        while data := await request.stream.read():
            digest.update(data)
        return {"digest": digest.hexdigest()}

    @endpoint("GET", f"{V3}/send/{{size}}/{{really}}", auth=Auth.NONE, spec="#send", waits=True)
    async def send(self, request: Request) -> Reply:
        source = Source(int(request.path["really"]))
        self.sources.append(source)
        return Streamed(200, {"Content-Type": "x/y"}, int(request.path["size"]), source)

    @endpoint("GET", f"{V3}/list/{{entries}}/{{broken}}", auth=Auth.NONE, spec="#list")
    async def list(self, request: Request) -> Reply:
        entries, broken = int(request.path["entries"]), int(request.path["broken"])
        read = 0

        async def pages() -> Sequence[bytes] | None:
            nonlocal read
            if 0 <= broken <= read + PAGE:
                raise RuntimeError("the source fails")
            page = [orjson.dumps("x" * LONG)] * min(PAGE, entries - read)
            read += len(page)
            return page or None

        return await paged_json(b'{"list":[', pages, b"]}")


def played(play: Callable[[Served, Streaming], Any], through_another: bool, *, breaks: bool = False) -> Any:
    """The play with a worker that serves the endpoints, or with one that forwards to it; failures are logged only
    where something `breaks`."""

    async def perform() -> Any:
        sample = Streaming()
        async with serving(sample, trusted=lambda address: True) as right:
            right.accounts.add("good")
            if not through_another:
                return await play(right, sample)
            here = ("127.0.0.1", right.port)
            async with serving(elsewhere={Streaming: "client"}, find_workers=lambda role: [here]) as wrong:
                return await play(wrong, sample)

    with capturedLogs() as logs:
        result = run(perform())
    assert bool([event for event in logs if "log_failure" in event]) == breaks
    return result


both_ways = pytest.mark.parametrize("through_another", [False, True], ids=["direct", "forwarded"])


@both_ways
def test_a_body_arrives_whole(through_another: bool) -> None:
    async def play(served: Served, sample: Streaming) -> Answer:
        return await served.ask("POST", f"{V3}/receive", b"x" * 2_500_000, GOOD)

    answer = played(play, through_another)
    assert (answer.status, answer.json) == (200, {"size": 2_500_000, "announced": 2_500_000})


@pytest.mark.parametrize("seed", range(6))
def test_bodies_arrive_as_they_were_wherever_they_are_cut(seed: int) -> None:
    """Several on one connection, one behind the other, with requests between them that have none."""
    random = Random(seed)
    sizes = [1, 64, 4_096, 70_000, 262_144, 262_145, 900_000]
    random.shuffle(sizes)
    bodies = [random.randbytes(size) for size in sizes]

    async def play(served: Served, sample: Streaming) -> None:
        head = {**GOOD, "Expect": ""} if seed % 2 else GOOD
        sent = b"".join(
            compose("POST", f"{V3}/digest", body, head) + compose("GET", f"{V3}/list/1/-1", b"") for body in bodies
        )
        cuts = sorted(random.choices(range(len(sent)), k=3**seed))
        connection = await served.connect()
        for begin, end in pairwise([0, *cuts, len(sent)]):
            connection.write(sent[begin:end])
            if random.random() < 0.2:
                await sleep(0)
        for body in bodies:
            assert (await connection.answer()).json == {"digest": sha256(body).hexdigest()}
            assert (await connection.answer()).status == 200
        await connection.close()

    played(play, False)


@both_ways
def test_an_empty_and_a_chunked_body_arrive(through_another: bool) -> None:
    async def play(served: Served, sample: Streaming) -> list[Answer]:
        connection = await served.connect()
        connection.write(compose("POST", f"{V3}/receive", b"", {**GOOD, "Content-Length": "0"}))
        answers = [await connection.answer()]
        connection.write(compose("POST", f"{V3}/receive", b"", {**GOOD, "Transfer-Encoding": "chunked"}))
        for _ in range(3):
            connection.write(b"5\r\nhello\r\n")
        connection.write(b"0\r\n\r\n")
        answers.append(await connection.answer())
        await connection.close()
        return answers

    empty, chunked = played(play, through_another)
    assert (empty.status, empty.json["size"]) == (200, 0)
    assert (chunked.status, chunked.json) == (200, {"size": 15, "announced": None})


@both_ways
def test_a_body_that_grows_too_large_is_refused_while_it_comes(through_another: bool) -> None:
    async def play(served: Served, sample: Streaming) -> Answer:
        connection = await served.connect()
        connection.write(compose("POST", f"{V3}/receive", b"x" * (LIMIT + 1), {**GOOD, "Content-Length": "9000000"}))
        answer = await connection.answer()
        connection.abort()
        return answer

    answer = played(play, through_another)
    assert (answer.status, answer.errcode, answer.headers["connection"]) == (413, "M_TOO_LARGE", "close")


@both_ways
def test_who_is_not_let_in_is_told_before_the_body(through_another: bool) -> None:
    async def play(served: Served, sample: Streaming) -> Answer:
        connection = await served.connect()
        headers = {"Authorization": "Bearer bad", "Content-Length": "2000000"}
        connection.write(compose("POST", f"{V3}/receive", b"x", headers))
        answer = await connection.answer()
        connection.abort()
        assert sample.received == 0
        return answer

    assert played(play, through_another).errcode == "M_UNKNOWN_TOKEN"


def test_a_connection_outlives_a_refusal_whose_body_still_comes() -> None:
    """Not for another request: but until the client has sent what it wanted to and read the answer."""

    async def play(served: Served, sample: Streaming) -> Answer:
        connection = await served.connect()
        connection.write(compose("POST", f"{V3}/receive", b"", {**GOOD, "Content-Length": "9000000"}))
        for _ in range(90):
            connection.write(b"x" * 100_000)
        answer = await connection.answer()
        await connection.ended()
        return answer

    assert played(play, False).status == 413


@both_ways
def test_a_slow_reader_slows_the_client_down(through_another: bool) -> None:
    async def play(served: Served, sample: Streaming) -> int:
        sample.gate = Deferred()
        connection = await served.connect()
        connection.write(compose("POST", f"{V3}/receive", b"x" * 2_900_000, GOOD))
        await until(lambda: sample.received)
        gate, sample.gate = sample.gate, None
        gate.callback(None)
        answer = await connection.answer()
        await connection.close()
        return int(answer.json["size"])

    assert played(play, through_another) == 2_900_000


@both_ways
def test_a_client_that_goes_away_within_its_body_is_noticed(through_another: bool) -> None:
    async def play(served: Served, sample: Streaming) -> list[str]:
        connection = await served.connect()
        connection.write(compose("POST", f"{V3}/receive", b"x" * 1000, {**GOOD, "Content-Length": "2000"}))
        await until(lambda: sample.received == 1000)
        connection.abort()
        await until(lambda: sample.ended)
        return sample.ended

    assert played(play, through_another) == ["cancelled"]


def test_what_waits_is_bounded() -> None:
    said: list[str] = []
    stream = BodyStream(None, lambda: said.append("pause"), lambda: said.append("resume"))
    stream.feed([b"x" * (BUFFERED_BYTES - 1)], BUFFERED_BYTES - 1)
    assert said == []
    stream.feed([b"xx", b"yy"], 4)
    stream.feed([b"zz"], 2)
    assert said == ["pause"]
    assert [len(run(stream.read())) for _ in range(3)] == [BUFFERED_BYTES - 1, 2, 2]
    assert said == ["pause"]
    assert run(stream.read()) == b"zz"
    assert said == ["pause", "resume"]
    stream.end()
    assert run(stream.read()) == b""


def test_all_that_waits_can_be_taken_at_once() -> None:
    said: list[str] = []
    stream = BodyStream(None, lambda: said.append("pause"), lambda: said.append("resume"))
    read: list[Any] = []
    Deferred.fromCoroutine(stream.read_pieces()).addCallback(read.append)
    stream.feed([b"x"], 1)
    assert read == [[b"x"]]
    stream.feed([b"y" * BUFFERED_BYTES, b"z"], BUFFERED_BYTES + 1)
    assert said == ["pause"]
    assert list(map(len, run(stream.read_pieces()))) == [BUFFERED_BYTES, 1]
    assert said == ["pause", "resume"]
    stream.end()
    assert run(stream.read_pieces()) == []
    stream.discard()
    with pytest.raises(BodyDiscarded):
        run(stream.read_pieces())


def test_a_discarded_body_is_read_by_nobody() -> None:
    said: list[str] = []
    stream = BodyStream(None, lambda: said.append("pause"), lambda: said.append("resume"))
    reading = Deferred.fromCoroutine(stream.read())
    stream.discard()
    failures: list[Any] = []
    reading.addErrback(failures.append)
    assert failures[0].check(BodyDiscarded)
    stream.feed([b"x" * BUFFERED_BYTES], BUFFERED_BYTES)
    assert said == []


@both_ways
def test_a_response_arrives_whole(through_another: bool) -> None:
    async def play(served: Served, sample: Streaming) -> None:
        connection = await served.connect()
        for size in (0, 1, 3_000_000):
            connection.write(compose("GET", f"{V3}/send/{size}/{size}"))
            answer = await connection.answer()
            assert (answer.status, len(answer.body), answer.headers["content-type"]) == (200, size, "x/y")
            assert answer.headers["access-control-allow-origin"] == "*"
        connection.write(compose("HEAD", f"{V3}/send/77/77"))
        head = await connection.answer(head_only=True)
        assert (head.headers["content-length"], head.after) == ("77", b"")
        await connection.close()
        assert [source.closed for source in sample.sources] == [1, 1, 1, 1]

    played(play, through_another)


def test_a_source_that_ends_early_breaks_the_connection() -> None:
    async def play() -> None:
        sample = Streaming()
        async with serving(sample) as served:
            connection = await served.connect()
            connection.write(compose("GET", f"{V3}/send/1000000/999999"))
            answer = await connection.answer()
            assert len(answer.body) < 1_000_000
            assert sample.sources[0].closed == 1

    with capturedLogs() as logs:
        run(play())
    assert any("broke off" in event.get("log_format", "") for event in logs)


@both_ways
def test_a_list_of_pages_arrives_whole(through_another: bool) -> None:
    async def play(served: Served, sample: Streaming) -> None:
        connection = await served.connect()
        for entries in (0, 1, 2, 3, 1_000):
            connection.write(compose("GET", f"{V3}/list/{entries}/-1"))
            answer = await connection.answer()
            assert orjson.loads(answer.body) == {"list": ["x" * LONG] * entries}
            assert ("content-length" in answer.headers) == (entries <= PAGE)
            assert answer.headers["content-type"] == "application/json"
        await connection.close()

    played(play, through_another)


@both_ways
def test_a_list_that_fails_midway_breaks_the_connection(through_another: bool) -> None:
    async def play(served: Served, sample: Streaming) -> None:
        connection = await served.connect()
        connection.write(compose("GET", f"{V3}/list/1000/500"))
        with pytest.raises(ValueError, match="base 16"):  # the connection ends without the last, empty chunk
            await connection.answer()
        await connection.close()
        failed = await served.ask("GET", f"{V3}/list/1000/1")
        assert (failed.status, failed.json["errcode"]) == (500, "M_UNKNOWN")  # nothing was sent yet

    played(play, through_another, breaks=True)


def test_a_slow_client_holds_up_its_own_response_alone() -> None:
    async def play(served: Served, sample: Streaming) -> None:
        slow = await served.connect()
        slow.transport.pauseProducing()  # type: ignore[union-attr]
        slow.write(compose("GET", f"{V3}/send/50000000/50000000"))
        await until(lambda: sample.sources and sample.sources[0].reads > 1)
        assert len((await served.ask("GET", f"{V3}/send/100000/100000")).body) == 100_000
        assert sample.sources[0].left > 10_000_000
        slow.abort()
        slow.transport.resumeProducing()  # type: ignore[union-attr]
        await until(lambda: sample.sources[0].closed)
        await slow.ended()

    played(play, False)


class Consumer:
    """Takes one piece and then nothing."""

    def __init__(self) -> None:
        self.producer: Any = None
        self.taken = 0

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None

    def write(self, data: bytes) -> None:
        self.taken += len(data)
        self.producer.pauseProducing()


def test_a_client_that_takes_nothing_for_long_is_cut_off() -> None:
    clock, consumer, source, aborted = Clock(), Consumer(), Source(10_000_000), []
    sending = Sending(consumer, clock.callLater, lambda: aborted.append(True))
    work = Deferred.fromCoroutine(sending.send(source, 10_000_000))
    clock.advance(STALL_LIMIT_S - 1)
    consumer.producer.resumeProducing()
    clock.advance(STALL_LIMIT_S - 1)
    assert aborted == []
    clock.advance(1)
    assert aborted == [True]
    work.addErrback(lambda failure: failure.trap(CancelledError))
    work.cancel()
    assert (source.closed, consumer.producer, clock.getDelayedCalls()) == (1, None, [])
