"""What Prometheus is told."""

import gc

from twisted.internet.defer import Deferred
from twisted.logger import LogLevel, capturedLogs

from hs_common.http.reception import FinishedRequest
from hs_common.process.background import Background
from hs_common.process.metrics import Metrics
from hs_common.process.request_log import RequestLog


def finished(status: int = 200, seconds: float = 0.01, waits: bool = False) -> FinishedRequest:
    return FinishedRequest(
        request_id="r1",
        client_ip="192.0.2.1",
        method="GET",
        template="/rooms/{roomId}",
        uri_path="/rooms/!secret",
        status=status,
        seconds=seconds,
        received_bytes=3,
        sent_bytes=5,
        waits=waits,
    )


def samples(metrics: Metrics) -> dict[str, float]:
    """The exposition as a dict from name with labels to value."""
    lines = (line for line in metrics.exposition().decode().splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def test_all_names_are_ours() -> None:
    metrics = Metrics()
    metrics.watch_background(Background())
    metrics.watch_reactor(lambda: 0.25)
    found = samples(metrics)
    assert found["viaduct_reactor_longest_turn_seconds"] == 0.25
    assert [name for name in found if not name.startswith("viaduct_")] == []


def test_requests_by_endpoint_method_and_status() -> None:
    metrics = Metrics()
    for status in (200, 200, 429):
        metrics.request_started()
        metrics.request_finished(finished(status))
    metrics.request_started()
    found = samples(metrics)
    labels = 'endpoint="/rooms/{roomId}",method="GET"'
    assert found[f'viaduct_http_request_seconds_count{{{labels},status="200"}}'] == 2
    assert found[f'viaduct_http_request_seconds_count{{{labels},status="429"}}'] == 1
    assert found[f"viaduct_http_received_bytes_total{{{labels}}}"] == 9
    assert found[f"viaduct_http_sent_bytes_total{{{labels}}}"] == 15
    assert found["viaduct_http_requests_in_flight"] == 1


def test_no_label_is_made_of_what_a_client_sent() -> None:
    metrics = Metrics()
    metrics.request_finished(finished())
    assert "secret" not in metrics.exposition().decode()


def test_the_log_and_its_followers() -> None:
    metrics = Metrics()
    metrics.committed(["event", "event", "receipt"], 0.004)
    metrics.statement_finished("SELECT 1", 0.001)
    metrics.request_forwarded("sync")
    follower = metrics.follower("sync")
    follower.at(position=90, head=100, lag_seconds=1.5)
    for counted in ((0, 0), (2, 1), (2, 1), (3, 1)):
        follower.has_counted(*counted)
    found = samples(metrics)
    assert found['viaduct_appended_items_total{kind="event"}'] == 2
    assert found["viaduct_append_batch_items_sum"] == 3
    assert found["viaduct_append_commit_seconds_count"] == 1
    assert found["viaduct_database_statement_seconds_count"] == 1
    assert found['viaduct_http_forwarded_total{wanted="sync"}'] == 1
    assert found['viaduct_follower_position{follower="sync"}'] == 90
    assert found['viaduct_follower_head{follower="sync"}'] == 100
    assert found['viaduct_follower_lag_seconds{follower="sync"}'] == 1.5
    assert found['viaduct_follower_repairs_total{follower="sync"}'] == 3
    assert found['viaduct_follower_restarts_total{follower="sync"}'] == 1


def test_queues_caches_and_background_work_are_asked_on_scrape() -> None:
    metrics, background, queue = Metrics(), Background(), [1, 2]
    metrics.watch_queue("append", lambda: len(queue), lambda: 0.5)
    metrics.watch_queue("jobs", lambda: 0)
    metrics.watch_cache("tokens", lambda: 7)
    metrics.watch_background(background)
    work: Deferred[None] = Deferred()

    async def waiting() -> None:
        await work

    background("sweep", waiting())
    queue.append(3)
    found = samples(metrics)
    assert found['viaduct_queue_length{queue="append"}'] == 3
    assert found['viaduct_queue_oldest_seconds{queue="append"}'] == 0.5
    assert found['viaduct_queue_length{queue="jobs"}'] == 0
    assert found['viaduct_cache_entries{cache="tokens"}'] == 7
    assert found['viaduct_background_running{name="sweep"}'] == 1
    assert found['viaduct_background_failures_total{name="sweep"}'] == 0
    work.callback(None)
    assert samples(metrics)['viaduct_background_running{name="sweep"}'] == 0


def test_the_process_itself() -> None:
    metrics = Metrics()
    gc.collect()
    found = samples(metrics)
    assert found['viaduct_gc_collections_total{generation="2"}'] >= 1
    assert found["viaduct_process_resident_memory_bytes"] > 1_000_000
    assert found["viaduct_process_cpu_seconds_total"] > 0


def logged(request: FinishedRequest, slow_ms: int = 1000, log_all: bool = False) -> list[LogLevel]:
    metrics = Metrics()
    log = RequestLog(metrics, slow_ms, log_all)
    with capturedLogs() as logs:
        log.request_started()
        log.request_finished(request)
        log.request_forwarded("sync")
    found = samples(metrics)
    assert found["viaduct_http_requests_in_flight"] == 0
    assert found['viaduct_http_forwarded_total{wanted="sync"}'] == 1
    return [event["log_level"] for event in logs]


def test_only_slow_and_failed_requests_are_logged_unless_told() -> None:
    assert logged(finished()) == []
    assert logged(finished(), log_all=True) == [LogLevel.debug]
    assert logged(finished(404)) == []
    assert logged(finished(500)) == [LogLevel.warn]
    assert logged(finished(seconds=1.5)) == [LogLevel.warn]
    assert logged(finished(seconds=1.5), slow_ms=0) == []
    assert logged(finished(seconds=30, waits=True)) == []
