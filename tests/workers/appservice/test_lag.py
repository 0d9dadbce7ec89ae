"""How far a service is behind, as metrics tell it."""

from hs_common.process.metrics import Metrics
from hs_common.replication.calls import PauseAppService
from hs_workers.appservice.lag import Lag
from tests.master.harness import START_MS
from tests.reactor import reactor, run, until
from tests.workers.appservice.world import world


def test_events_and_seconds_of_what_waits_are_metrics(database_url: str) -> None:
    async def play() -> None:
        async with world(database_url) as w:
            await w.register()
            await w.master.call(PauseAppService(service_id="irc", paused=True))
            worker = w.start_worker()
            await until(lambda: worker.deliveries.sending_to)
            room = await w.bridged_room()
            await w.send(room, 4)
            metrics = Metrics()
            lag = Lag(w.master.db, reactor, lambda: START_MS + 60_000, metrics, lambda: worker.deliveries.sending_to)
            await lag.start()
            await until(lambda: lag.events("irc"))
            assert lag.events("irc") == 5
            assert 59 < lag.seconds("irc") <= 60
            text = metrics.exposition().decode()
            assert 'viaduct_queue_length{queue="appservice irc"} 5.0' in text
            assert 'viaduct_queue_oldest_seconds{queue="appservice irc"}' in text
            assert lag.seconds("another") == 0.0
            await lag.stop()

    run(play())
