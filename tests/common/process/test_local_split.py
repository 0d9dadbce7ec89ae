"""What `viaduct up` starts and says: the processes of the split, and the three lines."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import click
import pytest
from msgspec.structs import replace

from hs_common.config import Config
from hs_common.process.data_folder import DataFolder
from hs_common.process.greeting import Greeting, base_url
from hs_common.process.local_split import WORKERS, in_order_of_need, programs
from hs_common.process.role_count import RoleCount
from tests.web_servers import serving


def config_on(port: int, address: str = "127.0.0.1") -> Config:
    config = Config()
    return replace(config, listen=replace(config.listen, port=port, address=address))


class _Request(BaseHTTPRequestHandler):
    """Answers /versions as a homeserver does."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"versions": ["v1.19"]}).encode())

    def log_message(self, format: str, *args: object) -> None:
        """Silent: pytest shows what matters."""


@pytest.fixture
def answering_port() -> Iterator[int]:
    with serving(ThreadingHTTPServer(("127.0.0.1", 0), _Request)) as server:
        yield server.server_port


def test_a_role_may_have_other_numbers_of_workers() -> None:
    found = programs(config_on(18800), Path("viaduct.toml"), 1, {"client": 3, "sync": 1})
    assert [program.name for program in found] == ["master-1", "client-1", "client-2", "client-3", "sync-1", "front-1"]
    assert RoleCount(WORKERS).convert("sync=4", None, None) == ("sync", 4)
    for wrong in ("sync", "sync=0", "sync=17", "sync=x", "master=2"):
        with pytest.raises(click.BadParameter):
            RoleCount(WORKERS).convert(wrong, None, None)


def test_split_is_a_master_workers_of_each_role_and_a_front_door() -> None:
    found = programs(config_on(18800), Path("/data/viaduct.toml"), masters=1)
    workers = [
        "client-1",
        "client-2",
        "sync-1",
        "sync-2",
        "appservice-1",
        "media-1",
        "push-1",
        "federation-inbound-1",
        "federation-sender-1",
    ]
    assert [program.name for program in found] == ["master-1", *workers, "front-1"]
    assert found[-1].port == 18800
    arguments = [argument for program in found for argument in program.arguments]
    ports = [arguments[place + 1] for place, argument in enumerate(arguments) if argument.endswith("-port")]
    assert len(ports) == len(set(ports)) == 2 * len(found)
    assert all("/data/viaduct.toml" in program.arguments for program in found)


def test_split_with_standby_and_dev() -> None:
    config = replace(config_on(18800), dev=True)
    found = programs(config, Path("viaduct.toml"), masters=2)
    assert [program.name for program in found][:2] == ["master-1", "master-2"]
    assert all("--dev" in program.arguments for program in found)


def test_ports_in_use_are_passed_over(answering_port: int) -> None:
    found = programs(config_on(answering_port - 1), Path("viaduct.toml"), masters=1)
    assert all(str(answering_port) not in program.arguments for program in found)


def test_greeting_waits_for_the_first_answer(tmp_path: Path, answering_port: int) -> None:
    said: list[str] = []
    folder = DataFolder(tmp_path)
    silent = Greeting(config_on(1), folder, said.append)
    silent.look()
    assert not silent.said
    assert said == []
    greeting = Greeting(config_on(answering_port), folder, said.append)
    greeting.look()
    greeting.look()
    assert said == greeting.lines()
    assert folder.noted("url") == f"http://127.0.0.1:{answering_port}"


def test_three_lines_say_where_how_and_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIADUCT_COMMAND", "./viaduct")
    listens, account, data = Greeting(config_on(8008), DataFolder(tmp_path)).lines()
    assert "localhost on http://127.0.0.1:8008" in listens
    assert f"./viaduct admin create-user NAME --admin --data-dir {tmp_path}" in account
    assert str(tmp_path) in data
    (tmp_path / "postgres").symlink_to("/somewhere/else")
    assert Greeting(config_on(8008), DataFolder(tmp_path)).lines()[2].endswith("the database in /somewhere/else")


def test_url_is_one_that_this_machine_can_reach() -> None:
    assert base_url(config_on(1, "0.0.0.0")) == "http://127.0.0.1:1"
    assert base_url(config_on(1, "::")) == "http://[::1]:1"
    assert base_url(config_on(1, "192.0.2.1")) == "http://192.0.2.1:1"


def test_what_the_first_answer_needs_is_started_first() -> None:
    found = programs(config_on(18800), Path("viaduct.toml"), masters=2)
    first, others = in_order_of_need(found)
    assert [program.name for program in first] == ["master-1", "master-2", "client-1", "sync-1", "front-1"]
    assert sorted(program.name for program in (*first, *others)) == sorted(program.name for program in found)


def test_what_waits_for_the_first_answer_comes_before_the_greeting(tmp_path: Path, answering_port: int) -> None:
    folder = DataFolder(tmp_path)
    folder.open()
    said: list[str] = []
    greeting = Greeting(config_on(answering_port), folder, said.append)
    greeting.before_it_greets(lambda: said.append("the others"))
    greeting.look()
    assert said == ["the others", *greeting.lines()]
