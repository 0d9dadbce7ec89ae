"""What a process tells Prometheus. All names begin with `viaduct_`, and all labels come from short, fixed lists:
endpoints' templates, roles, names of followers, queues, caches and background work; never a user, room or path.

Whoever has something to tell gets the part of this that concerns it (an observer of requests, of one follower, of
appends) and knows nothing of Prometheus; whoever has a length or an age registers a function that is asked on scrape.
"""

import gc
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from hs_common.http.reception import FinishedRequest
from hs_common.process.background import Background

CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4
REQUEST_BUCKETS_S: Final = (0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0)
"""Few, because there is a series for each endpoint, method and status; a factor of 4 or 5 tells what one needs."""
STATEMENT_BUCKETS_S: Final = (0.0005, 0.002, 0.01, 0.05, 0.25, 1.0, 5.0)
EGRESS_BUCKETS_S: Final = (0.02, 0.1, 0.5, 2.0, 10.0, 60.0)
BATCH_BUCKETS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 500)


class FollowerMetrics:
    """What one follower tells: where it is, where the log's head is, and what went wrong on the way."""

    def __init__(
        self, name: str, position: Gauge, head: Gauge, lag: Gauge, repairs: Counter, restarts: Counter
    ) -> None:
        self._position, self._head, self._lag = position.labels(name), head.labels(name), lag.labels(name)
        self._repairs, self._restarts = repairs.labels(name), restarts.labels(name)
        self._counted = (0, 0)

    def at(self, position: int, head: int, lag_seconds: float) -> None:
        """The follower has applied everything up to `position`; the newest it heard of is `head`."""
        self._position.set(position)
        self._head.set(head)
        self._lag.set(lag_seconds)

    def has_counted(self, repairs: int, restarts: int) -> None:
        """So often, so far, it filled a hole in the stream from the database; and was too far behind, or lost history,
        so that it dropped what it held and went to the head."""
        before, self._counted = self._counted, (repairs, restarts)
        self._repairs.inc(repairs - before[0])
        self._restarts.inc(restarts - before[1])


class Metrics:
    """All metrics of a process, in a registry of their own."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry = CollectorRegistry() if registry is None else registry
        self._requests: dict[tuple[str, str, int], tuple[Any, Any, Any]] = {}
        self._forwarded_to: dict[str, Counter] = {}
        endpoint = ("endpoint", "method")
        self._request_seconds = Histogram(
            "viaduct_http_request_seconds", "Time from the headers of a request to its answer; status 499: client gone",
            (*endpoint, "status"), buckets=REQUEST_BUCKETS_S, registry=registry,
        )  # fmt: skip
        self._received = Counter("viaduct_http_received_bytes", "Bytes of request bodies", endpoint, registry=registry)
        self._sent = Counter("viaduct_http_sent_bytes", "Bytes of response bodies", endpoint, registry=registry)
        self._in_flight = 0
        in_flight = Gauge("viaduct_http_requests_in_flight", "Requests without an answer", registry=registry)
        in_flight.set_function(lambda: self._in_flight)
        self._forwarded = Counter(
            "viaduct_http_forwarded",
            "Requests for another role that reached this process",
            ("wanted",),  # not `role`, which Prometheus gives each process that it scrapes
            registry=registry,
        )
        self._statement_seconds = Histogram(
            "viaduct_database_statement_seconds", "Time of a statement, waiting for a connection not included",
            buckets=STATEMENT_BUCKETS_S, registry=registry,
        )  # fmt: skip
        self._batch_items = Histogram(
            "viaduct_append_batch_items", "Items in one commit of the log", buckets=BATCH_BUCKETS, registry=registry
        )
        self._commit_seconds = Histogram(
            "viaduct_append_commit_seconds", "Time of one commit", buckets=STATEMENT_BUCKETS_S, registry=registry
        )
        self._appended = Counter("viaduct_appended_items", "Items of the log, by kind", ("kind",), registry=registry)
        follower = ("follower",)
        self._follower = (
            Gauge("viaduct_follower_position", "Applied up to this position of the log", follower, registry=registry),
            Gauge("viaduct_follower_head", "The newest position heard of", follower, registry=registry),
            Gauge("viaduct_follower_lag_seconds", "How long the follower is behind", follower, registry=registry),
            Counter("viaduct_follower_repairs", "Holes filled from the database", follower, registry=registry),
            Counter("viaduct_follower_restarts", "Times that all was dropped", follower, registry=registry),
        )
        self._egress_seconds = Histogram(
            "viaduct_egress_seconds", "Time until a server outside answered, or did not: by purpose and outcome",
            ("purpose", "outcome"), buckets=EGRESS_BUCKETS_S, registry=registry,
        )  # fmt: skip
        self._sent_to_servers = Counter(
            "viaduct_federation_sent", "PDUs and EDUs that other servers received", ("kind",), registry=registry
        )
        self._failed_transactions = Counter(
            "viaduct_federation_failed_transactions", "Transactions that did not arrive", registry=registry
        )
        self._fetches = Counter(
            "viaduct_federation_fetches",
            "Requests to other servers for what events cite, and states taken though nobody gave all of them",
            ("what",),
            registry=registry,
        )
        self._device_lists = Counter(
            "viaduct_remote_device_lists",
            "Users of other servers whose keys were wanted: lists kept, lists or only keys asked for, failed",
            ("how",),
            registry=registry,
        )
        self._told = Counter(
            "viaduct_federation_join_events",
            "Events that other servers told of rooms that are joined",
            registry=registry,
        )
        self._watched = _Watched()
        registry.register(self._watched)
        registry.register(_GarbageCollection())
        ProcessCollector(namespace="viaduct", registry=registry)

    # Requests: an observer as hs_common.http wants it

    def request_started(self) -> None:
        self._in_flight += 1

    def request_finished(self, request: FinishedRequest) -> None:
        self._in_flight -= 1
        key = (request.template, request.method, request.status)
        children = self._requests.get(key)
        if children is None:
            template, method, status = key
            children = self._requests[key] = (
                self._request_seconds.labels(template, method, str(status)),
                self._received.labels(template, method),
                self._sent.labels(template, method),
            )
        seconds, received, sent = children
        seconds.observe(request.seconds)
        received.inc(request.received_bytes)
        sent.inc(request.sent_bytes)

    def request_forwarded(self, role: str) -> None:
        forwarded = self._forwarded_to.get(role)
        if forwarded is None:
            forwarded = self._forwarded_to[role] = self._forwarded.labels(role)
        forwarded.inc()

    # Requests to the outside: an observer as hs_common.http.egress wants it

    def egress_finished(self, purpose: str, outcome: str, seconds: float) -> None:
        self._egress_seconds.labels(purpose, outcome).observe(seconds)

    def sent_to_servers(self, pdus: int, edus: int, failed: bool) -> None:
        """A transaction with so many was received by another server, or failed."""
        if failed:
            self._failed_transactions.inc()
            return
        self._sent_to_servers.labels("pdu").inc(pdus)
        self._sent_to_servers.labels("edu").inc(edus)

    def federation_fetched(self, what: str) -> None:
        """Another server was asked for what an event cites."""
        self._fetches.labels(what).inc()

    def device_lists_asked(self, how: str, users: int) -> None:
        """A client wanted the keys of so many users of other servers, whose lists were kept, asked for, or neither."""
        self._device_lists.labels(how).inc(users)

    def joins_were_told(self, events: int) -> None:
        """So many more events have come of a room that is being joined."""
        self._told.inc(events)

    # The database, the log and its followers

    def statement_finished(self, sql: str, seconds: float) -> None:
        """A statement took that long. Its text is no label: there are too many."""
        self._statement_seconds.observe(seconds)

    def committed(self, kinds: Iterable[str], seconds: float) -> None:
        """A batch with items of these kinds was committed in that time."""
        count = 0
        for kind in kinds:
            self._appended.labels(kind).inc()
            count += 1
        self._batch_items.observe(count)
        self._commit_seconds.observe(seconds)

    def follower(self, name: str) -> FollowerMetrics:
        """The metrics of one follower."""
        return FollowerMetrics(name, *self._follower)

    # What is asked on scrape

    def watch_queue(self, name: str, length: Callable[[], int], oldest_s: Callable[[], float] | None = None) -> None:
        """A queue's length, and the age of its oldest entry in seconds."""
        self._watched.queues[name] = (length, oldest_s)

    def watch_cache(self, name: str, entries: Callable[[], int]) -> None:
        """A cache's number of entries."""
        self._watched.caches[name] = entries

    def watch_reactor(self, longest_turn_s: Callable[[], float]) -> None:
        """How late the reactor came round at worst."""
        self._watched.longest_turn_s = longest_turn_s

    def watch_background(self, background: Background) -> None:
        """What runs in the background, and what of it failed."""
        self._watched.background = background

    def exposition(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self.registry)


class _Watched(Collector):
    """Values that are asked for on scrape."""

    def __init__(self) -> None:
        self.queues: dict[str, tuple[Callable[[], int], Callable[[], float] | None]] = {}
        self.caches: dict[str, Callable[[], int]] = {}
        self.longest_turn_s: Callable[[], float] | None = None
        self.background: Background | None = None

    def collect(self) -> Iterator[Metric]:
        lengths = GaugeMetricFamily("viaduct_queue_length", "Entries waiting in a queue", labels=["queue"])
        ages = GaugeMetricFamily("viaduct_queue_oldest_seconds", "Age of a queue's oldest entry", labels=["queue"])
        for name, (length, oldest_s) in self.queues.items():
            lengths.add_metric([name], length())
            if oldest_s is not None:
                ages.add_metric([name], oldest_s())
        caches = GaugeMetricFamily("viaduct_cache_entries", "Entries in a cache", labels=["cache"])
        for name, entries in self.caches.items():
            caches.add_metric([name], entries())
        yield from (lengths, ages, caches)
        if self.longest_turn_s is not None:
            late = "How late the reactor came round at worst"
            yield GaugeMetricFamily("viaduct_reactor_longest_turn_seconds", late, value=self.longest_turn_s())
        if self.background is not None:
            yield from _background(self.background)


def _background(background: Background) -> Iterator[Metric]:
    running = GaugeMetricFamily("viaduct_background_running", "Background work under way", labels=["name"])
    failed = CounterMetricFamily("viaduct_background_failures", "Background work that failed", labels=["name"])
    now = background.running()
    for name in background.started:
        running.add_metric([name], now[name])
        failed.add_metric([name], background.failed[name])
    yield from (running, failed)


class _GarbageCollection(Collector):
    """Python's garbage collector: how often it ran and how long everything stood still for it."""

    def __init__(self) -> None:
        self._runs = [0, 0, 0]
        self._seconds = [0.0, 0.0, 0.0]
        self._started_s = 0.0
        gc.callbacks.append(self._collected)

    def _collected(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._started_s = time.perf_counter()
        else:
            self._runs[info["generation"]] += 1
            self._seconds[info["generation"]] += time.perf_counter() - self._started_s

    def collect(self) -> Iterator[Metric]:
        runs = CounterMetricFamily("viaduct_gc_collections", "Garbage collections", labels=["generation"])
        seconds = CounterMetricFamily("viaduct_gc_seconds", "Time spent in them", labels=["generation"])
        for generation in range(3):
            runs.add_metric([str(generation)], self._runs[generation])
            seconds.add_metric([str(generation)], self._seconds[generation])
        yield from (runs, seconds)
