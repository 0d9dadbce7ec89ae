"""An application service asks whether it can be reached.

Spec: application-service API, #pinging.
"""

from collections.abc import Callable

import msgspec
import orjson

from hs_common.appservices.http_client import ServiceClient, Unreachable
from hs_common.appservices.registry import ServiceRegistry
from hs_common.http.endpoint import Auth, endpoint, unstable
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.errors import MatrixError, forbidden
from hs_common.replication.calls import WakeAppService
from hs_common.replication.link_interface import Link
from hs_common.storage import service_queue
from hs_common.storage.queries import Queries

PING_TIMEOUT_S = 8.0
"""Below the 10 s in which each request ends."""
TOLD_LIMIT = 2_000
"""Characters of a service's bad answer that it is told: enough to see what went wrong."""


class _Body(msgspec.Struct):
    transaction_id: str | None = None


class AppServicePing:
    """A ping that arrives also ends a pause after failures. `seconds` is a clock that never goes back."""

    def __init__(
        self, db: Queries, master: Link, services: ServiceRegistry, http: ServiceClient, seconds: Callable[[], float]
    ) -> None:
        self._db = db
        self._master = master
        self._services = services
        self._http = http
        self._seconds = seconds

    @endpoint(
        "POST",
        "/_matrix/client/v1/appservice/{appserviceId}/ping",
        auth=Auth.USER,
        aliases=(unstable("fi.mau.msc2659"),),
        spec="application-service-api/#post_matrixclientv1appserviceappserviceidping",
    )
    async def ping(self, request: Request) -> Reply:
        """Pings the service that asks for it."""
        service_id = request.path["appserviceId"]
        service = (await self._services.services()).get(request.requester.app_service_id)
        if service is None or service.id != service_id:
            raise forbidden("Only the application service itself can ask for this, with its own token")
        body = request.body(_Body, optional=True)
        to = self._services.destination(service_id)
        if to is None:
            raise MatrixError(400, "M_URL_NOT_SET", "The application service has no URL")
        sent = orjson.dumps({} if body.transaction_id is None else {"transaction_id": body.transaction_id})
        started = self._seconds()
        try:
            answer = await self._http.ask(to, "POST", "/ping", sent, timeout_s=PING_TIMEOUT_S)
        except Unreachable as error:
            raise MatrixError(502, "M_CONNECTION_FAILED", f"There is no answer: {error}") from error
        duration_ms = round((self._seconds() - started) * 1000)
        if not answer.is_success:
            fields = {"status": answer.status, "body": answer.body.decode("utf-8", "replace")[:TOLD_LIMIT]}
            raise MatrixError(502, "M_BAD_STATUS", f"The application service answered {answer.status}", fields)
        failures, _ = await service_queue.failures(self._db, service_id)
        if failures:
            await self._master.call(WakeAppService(service_id=service_id))
        return {"duration_ms": duration_ms}
