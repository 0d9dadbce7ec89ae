"""What orchestrators, proxies and Prometheus ask a process."""

from hs_common.process.health import Health
from hs_common.process.metrics import Metrics
from hs_common.process.operating import Operating
from tests.common.http.served import Answer, serving
from tests.reactor import reactor, run


def ask(target: str, health: Health | None = None) -> Answer:
    async def play() -> Answer:
        metrics = Metrics()
        async with serving(Operating(health or Health(reactor), metrics)) as served:
            return await served.ask("GET", target)

    return run(play())


def test_health_asks_nobody() -> None:
    health = Health(reactor)

    async def refuses() -> None:
        raise ConnectionError("refused")

    health.check_deeply("postgres", refuses)
    health.not_ready_while("service", lambda: "starting")
    answer = ask("/health", health)
    assert (answer.status, answer.json) == (200, {"alive": True})
    deep = ask("/health?deep", health)
    assert deep.status == 200
    assert deep.json["not_ready"] == {"service": "starting"}
    assert deep.json["checks"]["postgres"]["ok"] is False


def test_a_reactor_that_has_not_turned_is_not_alive() -> None:
    health = Health(reactor)
    health._turned_s -= 11
    assert (ask("/health", health).status, ask("/health", health).json) == (503, {"alive": False})


def test_ready_tells_the_reasons() -> None:
    health = Health(reactor)
    assert (ask("/ready", health).status, ask("/ready", health).json) == (200, {"ready": True, "reasons": {}})
    health.not_ready_while("service", lambda: "draining")
    answer = ask("/ready", health)
    assert (answer.status, answer.json) == (503, {"ready": False, "reasons": {"service": "draining"}})


def test_metrics_are_prometheus_text() -> None:
    answer = ask("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert b"# TYPE viaduct_http_request_seconds histogram" in answer.body


def test_metrics_with_a_port_of_their_own_are_told_there_alone() -> None:
    async def play() -> Answer:
        async with serving(Operating(Health(reactor), None)) as served:
            return await served.ask("GET", "/metrics")

    answer = run(play())
    assert (answer.status, answer.errcode) == (404, "M_UNRECOGNIZED")
