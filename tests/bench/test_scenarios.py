"""Every scenario runs against a server that answers, and says what went wrong with one that does not."""

import asyncio
import dataclasses
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from hs_common.appservices.files import read_file
from hs_common.matrix.appservice import Service as Service_
from tests.bench.bridge import Bridge
from tests.bench.calibration import Metronome
from tests.bench.fake_homeserver import FakeHomeserver
from tests.bench.http_client import Address
from tests.bench.population import Population
from tests.bench.results import summary
from tests.bench.run import Run
from tests.bench.scenarios import SCENARIOS
from tests.bench.scenarios.files import numbered, photograph
from tests.bench.scenarios.reading import initial_sync
from tests.bench.scenarios.searching import search
from tests.bench.scenarios.sliding import sliding_sync
from tests.bench.servers import RunningServer
from tests.bench.service import Registration, Service
from tests.bench.size import QUICK

_TINY = dataclasses.replace(
    QUICK,
    slices=1,
    seconds=0.1,
    rooms=32,
    big_room=33,
    waiting=5,
    sync_rooms=3,
    history=5,
    initial_rooms=4,
    sliding_rooms=5,
    messages=12,
    devices=6,
    files=2,
    joins=8,
    ghost_joins=8,
    ghost_room=33,
    rates_per_s=(5,),
    backlog=40,
)


async def measured(name: str, server: FakeHomeserver) -> Run:
    """One scenario against one server."""
    service = Service()
    await server.start()
    try:
        async with Metronome() as metronome:
            run = Run(_TINY, metronome, lambda text: None, None)
            target = RunningServer("fake", server.url, [])
            server.service_port = await service.start()
            bridge = Bridge(Address(server.url), Registration.made_up(server.service_port), service)
            await run.scenario(name, [target], [Population(Address(server.url), "test", bridge)])
            return run
    finally:
        service.stop()
        server.stop()


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario_counts_operations_and_no_errors(name: str) -> None:
    run = asyncio.run(measured(name, FakeHomeserver()))
    assert run.failures == []
    assert run.measurements
    for measurement in run.measurements:
        found = summary(measurement, 1000.0)
        assert not found["errors"]
        assert found["operations"] > 0
        assert found["latency_ms"]["p50"] <= found["latency_ms"]["p99"]


def test_every_waiting_client_receives_every_event() -> None:
    run = asyncio.run(measured("fanout", FakeHomeserver()))
    for measurement in run.measurements:
        assert len(measurement.latencies_ms) % _TINY.waiting == 0


def test_joins_are_counted_once_for_each_user() -> None:
    server = FakeHomeserver()
    run = asyncio.run(measured("join", server))
    assert [len(measurement.latencies_ms) for measurement in run.measurements] == [2, 2, 2, 2]
    assert server.seen["join"] == _TINY.joins


def test_ghosts_join_once_each_in_quarters() -> None:
    run = asyncio.run(measured("ghost-join", FakeHomeserver()))
    assert [len(measurement.latencies_ms) for measurement in run.measurements] == [2, 2, 2, 2]


def test_the_whole_backlog_is_caught_up() -> None:
    run = asyncio.run(measured("catch-up", FakeHomeserver()))
    (measurement,) = run.measurements
    assert len(measurement.latencies_ms) == _TINY.backlog


def test_every_device_receives_each_message_once() -> None:
    run = asyncio.run(measured("to-device", FakeHomeserver()))
    assert [len(measurement.latencies_ms) for measurement in run.measurements] == [10, _TINY.devices]


def test_works_share_rooms_and_what_was_said_in_them() -> None:
    server = FakeHomeserver()

    async def prepare() -> None:
        await server.start()
        population = Population(Address(server.url), "test")
        for scenario in (sliding_sync, initial_sync, search):
            await scenario(population, _TINY)
        server.stop()

    asyncio.run(prepare())
    assert server.seen["createRoom"] == _TINY.sliding_rooms
    assert server.seen["send"] == _TINY.messages


def test_pictures_are_unlike_each_other_and_whole() -> None:
    first, second = (numbered(photograph()) for _ in range(2))
    assert first != second
    with Image.open(BytesIO(first)) as picture:
        assert picture.format == "PNG"
        picture.load()


def test_a_registration_is_read_as_it_was_written(tmp_path: Path) -> None:
    made = Registration.made_up(19_999)
    path = tmp_path / "registration.yaml"
    path.write_text(made.file())
    assert Registration.read(path) == made
    assert made.port == 19_999
    registration, _ = read_file(path, "test")
    assert Service_(registration, "test").owns_user(f"@{made.prefix}7:test")


def test_bridges_are_not_measured_on_a_server_that_knows_none() -> None:
    with pytest.raises(LookupError, match="--registration"):
        _ = Population(Address("http://127.0.0.1:1"), "test").bridge


def test_a_refused_operation_is_an_error_of_the_slice() -> None:
    run = asyncio.run(measured("register", FakeHomeserver(refuse="register")))
    (measurement,) = run.measurements
    assert measurement.latencies_ms == []
    assert list(measurement.errors) == ["RefusedError: POST /_matrix/client/v3/register 500 M_UNKNOWN refused"]
    assert summary(measurement, 1000.0)["operations"] == 0


def test_a_scenario_that_cannot_be_prepared_fails_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.bench.together._PAUSE_S", 0.0)
    run = asyncio.run(measured("send-many", FakeHomeserver(refuse="createRoom")))
    assert len(run.failures) == 1
    assert run.failures[0].startswith("send-many: RefusedError: POST /_matrix/client/v3/createRoom 500")
