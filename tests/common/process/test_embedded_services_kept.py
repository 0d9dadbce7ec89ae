"""What `viaduct up --split` starts again: a private PostgreSQL or Redis that ended, and nothing that runs."""

import os
import signal
import time
from pathlib import Path

from hs_common.process.embedded_postgres import EmbeddedPostgres, EmbeddedPostgresError
from hs_common.process.embedded_redis import EmbeddedRedis
from hs_common.process.embedded_services import RETRY_PAUSE_S, EmbeddedServices
from tests.common.process.test_embedded_services import one_value, wait_until_gone
from tests.services import say


def wait_until_ended(server: EmbeddedPostgres | EmbeddedRedis) -> None:
    deadline = time.monotonic() + 30.0
    while not server.has_ended():
        assert time.monotonic() < deadline, "the killed server still runs"
        time.sleep(0.01)


class Service:
    """A service that ends when told, and starts when it can."""

    process_id = 7

    def __init__(self) -> None:
        self.ended = False
        self.can_start = True
        self.starts = 0

    def has_ended(self) -> bool:
        return self.ended

    def start(self) -> None:
        self.starts += 1
        if not self.can_start:
            raise EmbeddedPostgresError("the disk is full")
        self.ended = False


def test_what_runs_is_left_alone_and_what_ended_is_started_once() -> None:
    said: list[str] = []
    services, service = EmbeddedServices(said.append), Service()
    services.add("postgres", service, "on a socket")
    services.tell()
    services.look()
    assert service.starts == 0
    service.ended = True
    services.look()
    services.look()
    assert service.starts == 1
    assert said == [
        "postgres   process 7       on a socket",
        "postgres ended; starting it again",
        "postgres runs again as process 7",
    ]


def test_what_does_not_start_is_tried_again_after_a_pause() -> None:
    now = 100.0
    said: list[str] = []
    services, service = EmbeddedServices(said.append, lambda: now), Service()
    services.add("postgres", service, "on a socket")
    service.ended, service.can_start = True, False
    services.look()
    services.look()
    assert service.starts == 1
    assert said[-1] == "postgres does not start: the disk is full"
    now += RETRY_PAUSE_S
    service.can_start = True
    services.look()
    assert service.starts == 2
    assert not service.ended


def test_killed_postgresql_comes_back_on_its_socket_with_its_data(open_folder: Path) -> None:
    server = EmbeddedPostgres(open_folder, say=say, scratch=True)
    server.start()
    try:
        assert not server.has_ended()
        url = server.url("postgres")
        one_value(url, "CREATE TABLE kept AS SELECT 7 AS value; SELECT 1")
        process_id = server.process_id
        os.kill(process_id, signal.SIGINT)
        wait_until_ended(server)
        server.start()
        assert server.process_id != process_id
        assert one_value(url, "SELECT value FROM kept") == 7
    finally:
        server.stop()


def test_killed_redis_comes_back_on_its_port(own_redis: EmbeddedRedis) -> None:
    port, process_id = own_redis.port, own_redis.process_id
    os.kill(process_id, signal.SIGKILL)
    wait_until_ended(own_redis)
    own_redis.start()
    wait_until_gone(process_id)
    assert own_redis.port == port
