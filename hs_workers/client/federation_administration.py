"""How far other servers have received, and trying them again at once: for `viaduct admin federation` and for tools.

Not in the specification: the paths below /_synapse/ are those of Synapse's documented admin API.
"""

from collections.abc import Callable
from typing import Any, Final

from hs_common.http.endpoint import Auth, endpoint
from hs_common.http.operator_proof import check_proof
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.errors import invalid_param, not_found
from hs_common.matrix.identifiers import is_server_name
from hs_common.replication.federation_calls import WakeDestinations
from hs_common.replication.link_interface import Link
from hs_common.storage import destinations
from hs_common.storage.queries import Queries, Row

OURS: Final = "/_viaduct/admin/v1/federation"
TOOLS: Final = "/_synapse/admin/v1/federation/destinations"


class FederationAdministration:
    """`secret` is the config's shared one; `now_ms` the time of day."""

    def __init__(self, db: Queries, master: Link, secret: str, now_ms: Callable[[], int]) -> None:
        self._db = db
        self._master = master
        self._secret = secret
        self._now_ms = now_ms

    @endpoint("GET", OURS, auth=Auth.NONE, spec="Viaduct's own administration")
    async def list(self, request: Request) -> Reply:
        """The servers that something was sent to, those first that cannot be reached."""
        check_proof(self._secret, request, self._now_ms())
        rows = await destinations.listed(self._db)
        return {"destinations": [self._told(row) for row in rows]}

    @endpoint("POST", f"{OURS}/{{destination}}/retry", auth=Auth.NONE, spec="Viaduct's own administration")
    async def retry(self, request: Request) -> Reply:
        """Tries a server at once."""
        check_proof(self._secret, request, self._now_ms())
        await self._wake(request.path["destination"])
        return {}

    @endpoint("GET", TOOLS, auth=Auth.ADMIN, spec="Synapse's admin API, federation")
    async def list_for_tools(self, request: Request) -> Reply:
        """The same as tools ask for it."""
        rows = await destinations.listed(self._db)
        return {"destinations": [_for_tools(row, self._now_ms()) for row in rows], "total": len(rows)}

    @endpoint("GET", f"{TOOLS}/{{destination}}", auth=Auth.ADMIN, spec="Synapse's admin API, federation")
    async def show_for_tools(self, request: Request) -> Reply:
        """One of them."""
        return _for_tools(await self._row(request.path["destination"]), self._now_ms())

    @endpoint(
        "POST", f"{TOOLS}/{{destination}}/reset_connection", auth=Auth.ADMIN, spec="Synapse's admin API, federation"
    )
    async def reset(self, request: Request) -> Reply:
        """Tries a server at once."""
        await self._wake(request.path["destination"])
        return {}

    async def _row(self, destination: str) -> Row:
        if not is_server_name(destination):
            raise invalid_param(f"{destination[:80]!r} is not the name of a server")
        row = await destinations.one(self._db, destination)
        if row is None:
            raise not_found(f"Nothing has waited for {destination} yet")
        return row

    async def _wake(self, destination: str) -> None:
        await self._row(destination)
        await self._master.call(WakeDestinations(destinations=[destination]))

    def _told(self, row: Row) -> dict[str, Any]:
        destination, is_behind, received_to, failures, retry_at_ms, last_error = row
        told: dict[str, Any] = {
            "destination": destination,
            "is_behind": is_behind,
            "received_to": received_to,
            "failures": failures,
        }
        if failures:
            told["retry_in_ms"] = max(0, retry_at_ms - self._now_ms())
            told["last_error"] = last_error
        return told


def _for_tools(row: Row, now_ms: int) -> dict[str, Any]:
    destination, _, received_to, failures, retry_at_ms, _ = row
    return {
        "destination": destination,
        "retry_last_ts": now_ms if failures else 0,
        "retry_interval": max(0, retry_at_ms - now_ms) if failures else 0,
        "failure_ts": now_ms if failures else None,
        "last_successful_stream_ordering": received_to,
    }
