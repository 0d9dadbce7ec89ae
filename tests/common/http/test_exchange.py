"""Requests and responses over a real connection."""

from twisted.internet.defer import ensureDeferred
from twisted.logger import LogLevel, capturedLogs

from hs_common.config.rate_limits import Bucket
from hs_common.http.endpoint import Rate
from hs_common.http.exchange import CLIENT_GONE
from hs_common.http.rate_limits import RateLimits
from tests.common.http.endpoints import V3, Sample
from tests.common.http.served import Answer, compose, serving
from tests.reactor import run, until

MIB = 1024 * 1024


def ask(method: str, target: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Answer:
    """One request to the sample endpoints, with `Bearer good` being alice's token."""

    async def play() -> Answer:
        async with serving(Sample()) as served:
            served.accounts.add("good")
            answer = await served.ask(method, target, body, headers)
            assert answer.headers["access-control-allow-origin"] == "*"
            assert answer.after == b""
            return answer

    return run(play())


GOOD = {"Authorization": "Bearer good"}
BAD = {"Authorization": "Bearer bad"}


def test_an_answer_is_json_with_cors() -> None:
    answer = ask("GET", f"{V3}/hello/%E2%9C%93")
    assert (answer.status, answer.json["hello"]) == (200, "✓")
    assert answer.headers["content-type"] == "application/json"
    assert "Authorization" in answer.headers["access-control-allow-headers"]


def test_aliases_lead_to_the_same_endpoint() -> None:
    assert ask("GET", "/_matrix/client/r0/hello/a").json["hello"] == "a"


def test_unknown_paths_methods_and_escapes() -> None:
    for method, path, status, errcode in (
        ("GET", "/", 404, "M_UNRECOGNIZED"),
        ("GET", "/_matrix/client/v3/nothing?a=b", 404, "M_UNRECOGNIZED"),
        ("POST", f"{V3}/hello/a", 405, "M_UNRECOGNIZED"),
        ("BREW", f"{V3}/hello/a", 405, "M_UNRECOGNIZED"),
        ("GET", f"{V3}/hello/%zz", 400, "M_INVALID_PARAM"),
        ("GET", f"{V3}/hello/%00", 400, "M_INVALID_PARAM"),
        ("GET", "http://example.org/", 400, "M_INVALID_PARAM"),
    ):
        answer = ask(method, path)
        assert (answer.status, answer.errcode) == (status, errcode), path
        assert set(answer.json) == {"errcode", "error"}


def test_preflights_are_answered_everywhere() -> None:
    for path in (f"{V3}/name", "/nothing", "*"):
        answer = ask("OPTIONS", path)
        assert (answer.status, answer.body) == (204, b"")
        assert "PUT" in answer.headers["access-control-allow-methods"]


def test_head_is_get_without_the_body() -> None:
    async def play() -> None:
        async with serving(Sample()) as served:
            connection = await served.connect()
            connection.write(compose("HEAD", f"{V3}/reply/struct") + compose("GET", f"{V3}/reply/struct"))
            head, get = await connection.answer(head_only=True), await connection.answer()
            assert head.status == get.status == 200
            assert head.headers["content-length"] == str(len(get.body))
            await connection.close()

    run(play())


def test_every_kind_of_reply() -> None:
    assert ask("GET", f"{V3}/reply/struct").json == {"name": "a"}
    mixed = ask("GET", f"{V3}/reply/mixed").json
    assert mixed == {"struct": {"name": "a"}, "encoded": {"b": 1}, "list": [{"name": "c"}]}
    assert ask("GET", f"{V3}/reply/encoded").body == b'[{"a":1}]'
    status = ask("GET", f"{V3}/reply/status")
    assert (status.status, status.json, status.headers["x-extra"]) == (401, {"flows": []}, "1")
    image = ask("GET", f"{V3}/reply/bytes")
    assert (image.body, image.headers["content-type"]) == (b"\x00\xff", "image/png")
    assert ask("GET", f"{V3}/reply/redirect").headers["location"] == "https://example.org/"


def test_errors_have_their_code_and_fields() -> None:
    forbidden = ask("GET", f"{V3}/raise/matrix")
    assert (forbidden.status, forbidden.json) == (403, {"errcode": "M_FORBIDDEN", "error": "No", "extra": [1]})
    limited = ask("GET", f"{V3}/raise/limited")
    assert (limited.status, limited.json["retry_after_ms"], limited.headers["retry-after"]) == (429, 1500, "2")


def test_operating_faults_are_503_and_say_nothing_of_the_inside() -> None:
    away = ask("GET", f"{V3}/raise/away")
    assert (away.status, away.errcode, "retry-after" in away.headers) == (503, "M_UNKNOWN", True)
    assert b"hunter2" not in away.body
    assert ask("GET", f"{V3}/raise/nul").status == 400


def test_our_own_mistakes_are_500_and_logged_with_the_request_id() -> None:
    with capturedLogs() as logs:
        answers = [ask("GET", f"{V3}/raise/{what}") for what in ("bug", "unique", "nothing")]
    for answer in answers:
        assert (answer.status, answer.errcode) == (500, "M_UNKNOWN")
        assert "request-1" in answer.json["error"]
        assert "this cannot be" not in answer.json["error"]
    failures = [event for event in logs if event["log_level"] is LogLevel.critical]
    assert [event["request_id"] for event in failures] == ["request-1"] * 3


def test_a_header_cannot_be_split() -> None:
    with capturedLogs() as logs:

        async def play() -> None:
            async with serving(Sample()) as served:
                answer = await served.ask("GET", f"{V3}/reply/split")
                assert answer.status == 0
                assert b"Set-Cookie" not in answer.body

        run(play())
    assert any("broke off" in event["log_format"] for event in logs)


def test_tokens_are_looked_at_before_anything_in_the_body() -> None:
    broken = b"{" * 50
    missing = ask("PUT", f"{V3}/name", broken)
    assert (missing.status, missing.errcode) == (401, "M_MISSING_TOKEN")
    unknown = ask("PUT", f"{V3}/name", broken, BAD)
    assert (unknown.status, unknown.errcode) == (401, "M_UNKNOWN_TOKEN")
    assert ask("PUT", f"{V3}/name", broken, GOOD).errcode == "M_NOT_JSON"
    assert ask("PUT", f"{V3}/name", b"{}", GOOD).errcode == "M_MISSING_PARAM"
    assert ask("PUT", f"{V3}/name", b'{"name":1}', GOOD).errcode == "M_BAD_JSON"
    assert ask("PUT", f"{V3}/name?access_token=good", b'{"name":"x"}').json["user"] == "@alice:example.org"


def test_an_optional_token_must_be_good_if_it_is_given() -> None:
    assert ask("GET", f"{V3}/whoami").json == {"user_id": None}
    assert ask("GET", f"{V3}/whoami", headers=GOOD).json == {"user_id": "@alice:example.org"}
    assert ask("GET", f"{V3}/whoami", headers=BAD).errcode == "M_UNKNOWN_TOKEN"


def test_bodies_over_the_limit_are_refused_when_they_are_announced() -> None:
    async def play() -> None:
        async with serving(Sample()) as served:
            connection = await served.connect()
            connection.write(compose("PUT", f"{V3}/name", headers={"Content-Length": str(MIB + 1), **GOOD}))
            answer = await connection.answer()
            assert (answer.status, answer.errcode) == (413, "M_TOO_LARGE")
            assert answer.headers["connection"] == "close"
            connection.write(b"x" * (MIB + 1))
            await connection.ended()
            assert [request.status for request in served.observed.finished] == [413]

    run(play())


def test_a_flood_after_a_refusal_is_cut_off() -> None:
    async def play() -> None:
        async with serving(Sample()) as served:
            connection = await served.connect()
            connection.write(compose("PUT", f"{V3}/name", headers={"Content-Length": str(10**12), **GOOD}))
            assert (await connection.answer()).status == 413
            for _ in range(20):
                connection.write(b"x" * MIB)
            await connection.ended()

    run(play())


def test_chunked_bodies_are_refused_when_they_have_grown_too_large() -> None:
    async def play() -> None:
        async with serving(Sample()) as served:
            connection = await served.connect()
            connection.write(compose("POST", f"{V3}/upload", headers={"Transfer-Encoding": "chunked"}))
            piece = b"%x\r\n%s\r\n" % (MIB, b"x" * MIB)
            connection.write(piece * 2 + b"0\r\n\r\n")
            assert (await connection.answer()).json == {"size": 2 * MIB}
            connection.write(compose("POST", f"{V3}/upload", headers={"Transfer-Encoding": "chunked"}))
            connection.write(piece * 3)
            assert (await connection.answer()).status == 413
            await connection.close()

    run(play())


def test_a_large_body_without_a_token_is_not_read() -> None:
    answer = ask("POST", f"{V3}/users_only", headers={"Content-Length": "2000000"})
    assert (answer.status, answer.errcode) == (401, "M_MISSING_TOKEN")
    assert ask("POST", f"{V3}/users_only", b"x" * 2_000_000, GOOD).json == {"size": 2_000_000}
    assert ask("POST", f"{V3}/services_too", b"x" * 200_000).json == {"size": 200_000}


def test_a_refused_body_is_not_invited() -> None:
    headers = {"Content-Length": str(MIB + 1), "Expect": "100-continue", **GOOD}

    async def play() -> None:
        async with serving(Sample()) as served:
            answer = await served.raw(compose("PUT", f"{V3}/name", headers=headers))
            assert (answer.status, answer.after) == (413, b"")

    run(play())


def test_a_small_body_for_nobody_does_not_cost_the_connection() -> None:
    async def play() -> None:
        async with serving(Sample()) as served:
            connection = await served.connect()
            connection.write(compose("POST", "/nothing", b"{}") + compose("GET", f"{V3}/hello/a"))
            assert (await connection.answer()).status == 404
            assert (await connection.answer()).json["hello"] == "a"
            await connection.close()

    run(play())


def test_pipelined_requests_are_answered_in_order() -> None:
    async def play() -> None:
        async with serving(Sample()) as served:
            connection = await served.connect()
            connection.write(b"".join(compose("GET", f"{V3}/hello/{number}") for number in range(50)))
            assert [(await connection.answer()).json["hello"] for _ in range(50)] == [str(n) for n in range(50)]
            await connection.close()

    run(play())


def test_a_client_that_goes_away_cancels_the_work_in_silence() -> None:
    sample = Sample()

    async def play() -> None:
        async with serving(sample) as served:
            connection = await served.connect()
            connection.write(compose("GET", f"{V3}/wait"))
            await until(lambda: sample.waiting is not None)
            connection.abort()
            await until(lambda: sample.cancelled)
            assert [request.status for request in served.observed.finished] == [CLIENT_GONE]

    with capturedLogs() as logs:
        run(play())
    assert [event for event in logs if event["log_level"] >= LogLevel.warn or "log_failure" in event] == []


def test_reads_wait_for_the_barrier_and_others_do_not() -> None:
    passed = []

    async def barrier() -> bool:
        passed.append(1)
        return True

    async def play() -> None:
        async with serving(Sample(), barrier=barrier) as served:
            served.accounts.add("good")
            await served.ask("GET", f"{V3}/hello/a")
            await served.ask("GET", f"{V3}/reply/struct")
            assert len(passed) == 2
            await served.ask("PUT", f"{V3}/name", b'{"name":"x"}', GOOD)
            await served.ask("GET", "/nothing")
            assert len(passed) == 2

    run(play())


def test_nobody_is_known_from_memory_where_the_barrier_is_not_reached() -> None:
    reached = [True, False]

    async def barrier() -> bool:
        return reached.pop(0)

    async def play() -> None:
        async with serving(Sample(), barrier=barrier) as served:
            served.accounts.add("good")
            assert (await served.ask("GET", f"{V3}/whoami", headers=GOOD)).status == 200
            served.accounts.add("good", locked=True)
            assert (await served.ask("GET", f"{V3}/whoami", headers=GOOD)).json["errcode"] == "M_USER_LOCKED"

    run(play())


def test_the_gate_stands_before_the_body() -> None:
    limits = RateLimits({Rate.MESSAGE: Bucket(per_second=0.001, burst=1)}, lambda: 5.0)

    async def play() -> None:
        async with serving(Sample(), limits=limits) as served:
            served.accounts.add("good")
            statuses = [(await served.ask("PUT", f"{V3}/name", b"{", GOOD)).status for _ in range(2)]
            assert statuses == [400, 429]

    run(play())


def test_tokens_that_are_nobodys_are_limited_before_they_are_looked_up() -> None:
    limits = RateLimits({Rate.UNKNOWN_TOKEN: Bucket(per_second=0.001, burst=2)}, lambda: 5.0)

    async def play() -> None:
        async with serving(Sample(), limits=limits) as served:
            served.accounts.add("good")
            served.accounts.add("late")
            served.accounts.add("expired", expires_at_ms=1)
            put = "PUT", f"{V3}/name", b"{"
            assert [(await served.ask(*put, GOOD)).status for _ in range(3)] == [400] * 3
            expired = {"Authorization": "Bearer expired"}
            assert [(await served.ask(*put, expired)).status for _ in range(3)] == [401] * 3
            asked = served.accounts.asked
            guesses = [{"Authorization": f"Bearer guess{number}"} for number in range(5)]
            assert [(await served.ask(*put, guess)).status for guess in guesses] == [401, 401, 429, 429, 429]
            assert served.accounts.asked == asked + 2
            assert (await served.ask(*put, GOOD)).status == 400  # from memory
            assert (await served.ask(*put, {"Authorization": "Bearer late"})).status == 429

    run(play())


def test_requests_are_counted_under_their_template() -> None:
    async def play() -> None:
        async with serving(Sample()) as served:
            await served.ask("POST", f"{V3}/upload?access_token=", b"12345")
            await served.ask("BREW", "/made/up")
            upload, brew = served.observed.finished
            assert (upload.template, upload.method, upload.status) == (f"{V3}/upload", "POST", 200)
            assert (upload.received_bytes, upload.sent_bytes, upload.uri_path) == (5, 10, f"{V3}/upload")
            assert (brew.template, brew.method, brew.status) == ("unknown", "other", 404)
            assert served.observed.started == 2

    run(play())


def test_only_our_proxies_are_believed() -> None:
    headers = {"X-Forwarded-For": "198.51.100.7", "X-Request-ID": "theirs"}

    async def play(trusts: bool) -> Answer:
        async with serving(Sample(), trusted=lambda address: trusts and address == "127.0.0.1") as served:
            return await served.ask("GET", f"{V3}/hello/a", headers=headers)

    assert run(play(True)).json == {"hello": "a", "ip": "198.51.100.7", "request": "theirs"}
    assert run(play(False)).json == {"hello": "a", "ip": "127.0.0.1", "request": "request-1"}


def test_work_that_is_called_off_while_the_client_waits_is_503() -> None:
    sample = Sample()

    async def play() -> None:
        async with serving(sample) as served:
            connection = await served.connect()
            connection.write(compose("GET", f"{V3}/wait"))
            await until(lambda: sample.waiting is not None)
            assert sample.waiting is not None
            sample.waiting.cancel()
            assert (await connection.answer()).status == 503
            await connection.close()

    run(play())


def test_draining_closes_idle_connections_at_once_and_busy_ones_after_their_answer() -> None:
    sample = Sample()

    async def play() -> None:
        async with serving(sample) as served:
            idle, busy = await served.connect(), await served.connect()
            busy.write(compose("GET", f"{V3}/wait"))
            await until(lambda: sample.waiting is not None)
            served.listener.announce_end()
            drained = ensureDeferred(served.listener.drained(10.0))
            await idle.ended()
            assert not drained.called
            assert sample.waiting is not None
            sample.waiting.callback("long")
            answer = await busy.answer()
            assert (answer.json, answer.headers["connection"]) == ({"waited": "long"}, "close")
            await busy.ended()
            await drained

    run(play())


def test_draining_does_not_wait_for_ever() -> None:
    sample = Sample()

    async def play() -> None:
        async with serving(sample) as served:
            connection = await served.connect()
            connection.write(compose("GET", f"{V3}/wait"))
            await until(lambda: sample.waiting is not None)
            await served.listener.drained(0.01)
            assert sample.cancelled == 1
            await connection.ended()

    run(play())


def test_connections_are_limited() -> None:
    async def play() -> None:
        async with serving(Sample(), connections_limit=2) as served:
            first, second = await served.connect(), await served.connect()
            for connection in (first, second):
                connection.write(compose("GET", f"{V3}/hello/a"))
                assert (await connection.answer()).status == 200
            third = await served.connect()
            await third.ended()
            await first.close()
            await until(lambda: len(served.listener.channels) == 1)
            assert (await served.ask("GET", f"{V3}/hello/a")).status == 200
            await second.close()

    run(play())
