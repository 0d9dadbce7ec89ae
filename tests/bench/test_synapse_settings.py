"""What a Synapse is told, for each way to run it."""

from pathlib import Path

from tests.real_servers.synapse_settings import Settings, Split, Tls, Worker, of_worker, shared

_WORKERS = [Worker("client1", 11), Worker("persister1", replication_port=12), Worker("appservice1")]


def settings(*, database_url: str | None = None, tls: Tls | None = None, split: Split | None = None) -> Settings:
    return Settings("localhost:1", 1, Path("/x"), "INFO", database_url, tls, [Path("/x/bridge.yaml")], split)


def test_one_process_keeps_its_data_in_a_file_and_listens_for_clients_alone() -> None:
    found = shared(settings())
    assert found["database"] == {"name": "sqlite3", "args": {"database": "/x/homeserver.db"}}
    assert [listener["resources"][0]["names"] for listener in found["listeners"]] == [["client"]]
    assert found["app_service_config_files"] == ["/x/bridge.yaml"]
    assert "redis" not in found


def test_a_database_is_named_by_its_url() -> None:
    found = shared(settings(database_url="postgresql://viaduct@/synapse?host=%2Fx%2Fsocket&port=5432"))
    arguments = found["database"]["args"]
    assert (arguments["user"], arguments["dbname"]) == ("viaduct", "synapse")
    assert (arguments["host"], arguments["port"]) == ("/x/socket", 5432)


def test_other_servers_are_spoken_to_by_tls() -> None:
    found = shared(settings(tls=Tls(7, Path("/x/c"), Path("/x/k"), Path("/x/ca"))))
    assert found["listeners"][1]["tls"]
    assert found["federation_custom_ca_list"] == ["/x/ca"]


def test_workers_know_who_writes_and_where() -> None:
    found = shared(settings(split=Split(9, 10, _WORKERS, "persister1", "appservice1")))
    assert found["instance_map"] == {
        "main": {"host": "127.0.0.1", "port": 9},
        "persister1": {"host": "127.0.0.1", "port": 12},
    }
    assert found["stream_writers"] == {"events": ["persister1"]}
    assert found["notify_appservices_from_worker"] == "appservice1"


def test_a_worker_listens_for_whom_it_serves() -> None:
    listeners = [of_worker(worker, Path("/x"))["worker_listeners"] for worker in _WORKERS]
    assert [len(found) for found in listeners] == [1, 1, 0]
    assert listeners[0][0]["resources"] == [{"names": ["client"]}]
