"""Application services for plays: registrations, ports, and one made with mautrix, as most bridges are."""

import json
import secrets
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from mautrix.appservice import AppService
from mautrix.appservice.state_store import ASStateStore
from mautrix.client.state_store import MemoryStateStore

from tests.scenarios.client import unique
from tests.scenarios.server import Server


def free_port() -> int:
    """One that nobody has at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
        return number


def registration(port: int, **more: Any) -> dict[str, Any]:
    """A registration as bridges write them, of a service with ghosts in an exclusive namespace."""
    name = unique("svc")
    return {
        "id": name,
        "url": f"http://127.0.0.1:{port}",
        "as_token": secrets.token_hex(),
        "hs_token": secrets.token_hex(),
        "sender_localpart": f"{name}-bot",
        "rate_limited": False,
        "namespaces": {"users": [{"regex": f"@{name}_.*", "exclusive": True}]},
        **more,
    }


def register(server: Server, known: dict[str, Any], folder: Path) -> None:
    """Have a running server know a service."""
    path = folder / f"{known['id']}.yaml"
    path.write_text(json.dumps(known))
    server.command("admin", "appservice", "add", str(path))


class _State(ASStateStore, MemoryStateStore):
    """What mautrix remembers of rooms, in memory."""

    def __init__(self) -> None:
        MemoryStateStore.__init__(self)
        ASStateStore.__init__(self)


@asynccontextmanager
async def mautrix_service(
    server: Server, folder: Path, on_event: Callable[[Any], None], **more: Any
) -> AsyncIterator[AppService]:
    """A running service that the server knows; `on_event` is told of all that transactions bring."""
    port = free_port()
    known = registration(port, **{"receive_ephemeral": True, "org.matrix.msc3202": True, **more})
    register(server, known, folder)
    service = AppService(
        server=server.url,
        domain="localhost",
        as_token=known["as_token"],
        hs_token=known["hs_token"],
        bot_localpart=known["sender_localpart"],
        id=known["id"],
        state_store=_State(),
        ephemeral_events=True,
        encryption_events=True,
    )

    async def told(event: Any) -> None:
        on_event(event)

    service.matrix_event_handler(told)
    service.to_device_handler = told
    await service.start("127.0.0.1", port)
    try:
        yield service
    finally:
        await service.stop()
