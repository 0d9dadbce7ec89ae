"""Servers for plays: started once a test process and layout, shared, and their last words shown when a play fails."""

from collections.abc import Generator, Iterator
from typing import Any

import pytest

from tests.scenarios.server import Server

_LINES_BEFORE = pytest.StashKey[int]()


@pytest.fixture(scope="session", params=["all-in-one", "split"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server of each layout that many plays share: accounts and rooms have names of their own."""
    with Server(split=request.param == "split") as running:
        yield running


@pytest.fixture(scope="session")
def split() -> Iterator[Server]:
    """A split with a standby master, for what only a split can show."""
    with Server(split=True, masters=2) as running:
        yield running


def _server_of(item: pytest.Item) -> Server | None:
    arguments: dict[str, Any] = getattr(item, "funcargs", {})
    return next((value for value in arguments.values() if isinstance(value, Server)), None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Remembers where the server's output stood when the play began."""
    running = _server_of(item)
    if running is not None:
        item.stash[_LINES_BEFORE] = running.lines_so_far()
    yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Adds what the server said during a play that failed."""
    report = yield
    running = _server_of(item)
    if report.failed and running is not None:
        report.sections.append(("server", running.output_since(item.stash.get(_LINES_BEFORE, 0))))
    return report
