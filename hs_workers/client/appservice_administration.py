"""Application services, as the operator looks after them while the server runs. For `viaduct admin appservice`.

Not in the specification: who calls proves that he knows the server's shared secret.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from hs_common.appservices.files import parse_file
from hs_common.appservices.registry import ServiceRegistry
from hs_common.http.endpoint import Auth, endpoint
from hs_common.http.operator_proof import check_proof
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.appservice import BadRegistration, encode_registration
from hs_common.matrix.errors import bad_json
from hs_common.replication.calls import PauseAppService, RemoveAppService, SetAppService, WakeAppService
from hs_common.replication.link_interface import Link
from hs_common.storage import service_queue
from hs_common.storage.appservices import Registered
from hs_common.storage.queries import Queries
from hs_workers.client.accounts.json_fields import boolean


class _Registration(msgspec.Struct):
    registration: str  # YAML or JSON


class _State(msgspec.Struct):
    paused: bool


class AppServiceAdministration:
    """Adding, removing, pausing, and how far each has received. `secret` is the config's shared one."""

    def __init__(
        self,
        db: Queries,
        master: Link,
        services: ServiceRegistry,
        server_name: str,
        secret: str,
        now_ms: Callable[[], int],
    ) -> None:
        self._db = db
        self._master = master
        self._services = services
        self._server_name = server_name
        self._secret = secret
        self._now_ms = now_ms

    @endpoint("GET", "/_viaduct/admin/v1/appservices", auth=Auth.NONE, spec="Viaduct's own administration")
    async def list(self, request: Request) -> Reply:
        """All services, with what waits for each."""
        self._check(request)
        await self._services.services()
        return {"appservices": [await self._told(row) for row in self._services.rows.values()]}

    @endpoint("POST", "/_viaduct/admin/v1/appservices", auth=Auth.NONE, spec="Viaduct's own administration")
    async def add(self, request: Request) -> Reply:
        """Registers a service, or changes its registration."""
        self._check(request)
        try:
            registration, tokens = parse_file(request.body(_Registration).registration, self._server_name)
        except BadRegistration as error:
            raise bad_json(str(error)) from error
        await self._master.call(
            SetAppService(
                registration=encode_registration(registration),
                as_token_hash=tokens.as_token_hash,
                hs_token=tokens.hs_token,
                source="command",
            )
        )
        return {"id": registration.id}

    @endpoint("DELETE", "/_viaduct/admin/v1/appservices/{id}", auth=Auth.NONE, spec="Viaduct's own administration")
    async def remove(self, request: Request) -> Reply:
        """Forgets a service and what waits for it; its users stay, or (`deactivate_users`) end too."""
        self._check(request)
        ends = boolean(request.json(optional=True), "deactivate_users")
        await self._master.call(RemoveAppService(service_id=request.path["id"], deactivate_users=ends))
        return {}

    @endpoint("PUT", "/_viaduct/admin/v1/appservices/{id}/state", auth=Auth.NONE, spec="Viaduct's own administration")
    async def set_state(self, request: Request) -> Reply:
        """Pauses sending to a service, or goes on."""
        self._check(request)
        await self._master.call(PauseAppService(service_id=request.path["id"], paused=request.body(_State).paused))
        return {}

    @endpoint("POST", "/_viaduct/admin/v1/appservices/{id}/wake", auth=Auth.NONE, spec="Viaduct's own administration")
    async def wake(self, request: Request) -> Reply:
        """Tries to reach a service at once, however often that has failed."""
        self._check(request)
        await self._master.call(WakeAppService(service_id=request.path["id"]))
        return {}

    def _check(self, request: Request) -> None:
        check_proof(self._secret, request, self._now_ms())

    async def _told(self, row: Registered) -> dict[str, Any]:
        registration = row.registration
        waiting, oldest_ms = await service_queue.waiting(self._db, registration.id)
        failures, error = await service_queue.failures(self._db, registration.id)
        told: dict[str, Any] = {
            "id": registration.id,
            "source": row.source,
            "sender": f"@{registration.sender_localpart}:{self._server_name}",
            "paused": row.paused,
            "waiting": waiting,
            "oldest_s": 0 if oldest_ms is None else max(0, (self._now_ms() - oldest_ms) // 1000),
            "failures": failures,
        }
        optional = {"url": registration.url, "last_error": error}
        return {**told, **{key: value for key, value in optional.items() if value is not None}}
